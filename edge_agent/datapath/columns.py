"""Entries of `subscriber_pools` as columns: what `abi` does for one, for thousands at a time."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.datapath import abi
from edge_agent.dhcp.tables import CIRCUIT_TAG, LINE_TAG, Assignment, SubscriberKey
from lease_core.domain.columns import Bindings
from lease_core.domain.mixing import Words, mix64_all

Rows = NDArray[np.void]
"""Values of `subscriber_pools`, an element each."""
Slots = NDArray[np.uint32]

ROW: Final = np.dtype(
    [
        ("ip_be", ">u4"),
        ("pool_id", "<u4"),
        ("slot", "<u4"),
        ("ifindex", "<u4"),
        ("s_vlan", "<u2"),
        ("c_vlan", "<u2"),
        ("check", "<u4"),
        ("seq", "<u8"),
        ("mac", "u1", 6),
        ("reserved", "u1", 2),
    ]
)
"""`abi.POOL_ASSIGNMENT`."""
PLACE: Final = ["ifindex", "s_vlan", "c_vlan", "pool_id"]
"""The fields that many bindings share."""
_TAGS: Final = np.array([LINE_TAG, CIRCUIT_TAG], np.uint64)


def keys_of(macs: Words) -> Words:
    """The keys that the kernel finds these MACs by on a port in mode `MAC`."""
    return macs.byteswap() >> np.uint64(16)


def are_by_mac(keys: Words) -> NDArray[np.bool_]:
    """Which keys are of mode `MAC`."""
    return ~np.isin(keys >> np.uint64(56), _TAGS)


def discriminators(keys: Words) -> Words:
    return keys >> np.uint64(48)


def macs_of(keys: Words, rows: Rows) -> Words:
    """Whom each entry belongs to, see `tables.holder`."""
    wire = np.where(are_by_mac(keys), keys, _macs_le(rows))
    return (wire << np.uint64(16)).byteswap()


def groups_of(keys: Words, slots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first slots of the two groups in which the kernel reaches for each key's promise."""
    mixed, half = mix64_all(keys), np.uint64(32)
    groups = np.uint64(slots // abi.SLOTS_PER_GROUP)
    first, second = (
        (part * groups >> half).astype(np.int64) * abi.SLOTS_PER_GROUP
        for part in (mixed & np.uint64(0xFFFFFFFF), mixed >> half)
    )
    return first, second


def pack(bindings: Bindings, slots: Slots, places: NDArray[np.void]) -> tuple[Words, Rows]:
    """Entries under `keys_of`; `places` has the fields `PLACE` for each of the bindings' places."""
    keys, rows = keys_of(bindings.mac), np.zeros(len(bindings), ROW)
    for name in PLACE:
        rows[name] = places[name][bindings.place]
    rows["ip_be"], rows["slot"], rows["seq"] = bindings.ip, slots, bindings.seq
    rows["mac"] = keys.view(np.uint8).reshape(-1, 8)[:, :6]
    rows["check"] = _check_words(keys, rows)
    return keys, rows


def are_whole(keys: Words, rows: Rows) -> NDArray[np.bool_]:
    """Which check words fit, as `abi.unpack_assignment` says."""
    is_own = (_macs_le(rows) == keys & np.uint64((1 << 48) - 1)) | ~are_by_mac(keys)
    whole: NDArray[np.bool_] = is_own & (rows["check"] == _check_words(keys, rows))
    return whole


def places_of(rows: Rows) -> tuple[list[tuple[int, ...]], NDArray[np.uint32]]:
    """The distinct `PLACE` fields of the rows, and for each row which of them."""
    line = rows["ifindex"].astype(np.uint64) << np.uint64(32)
    line |= rows["s_vlan"].astype(np.uint64) << np.uint64(16) | rows["c_vlan"]
    _, line_number = np.unique(line, return_inverse=True)
    pair = line_number.astype(np.uint64) << np.uint64(32) | rows["pool_id"]
    _, firsts, number = np.unique(pair, return_index=True, return_inverse=True)
    return rows[firsts][PLACE].tolist(), number.astype(np.uint32)


def packed(entries: Iterable[tuple[SubscriberKey, Assignment]]) -> tuple[Words, Rows]:
    """Single entries as columns."""
    listed = list(entries)
    octets = b"".join([abi.pack_assignment(key, found) for key, found in listed])
    return np.array([key for key, _ in listed], np.uint64), np.frombuffer(octets, ROW)


def _macs_le(rows: Rows) -> Words:
    octets = np.zeros((len(rows), 8), np.uint8)
    octets[:, :6] = rows["mac"]
    return octets.reshape(-1).view(np.uint64)


def _check_words(keys: Words, rows: Rows) -> NDArray[np.uint32]:
    """See `abi.check_word`."""
    half, quarter = np.uint64(32), np.uint64(16)
    wide = {name: rows[name].astype(np.uint64) for name in (*PLACE, "slot")}
    ip_be = rows["ip_be"].astype(np.uint32).byteswap()
    vlans = wide["s_vlan"] | wide["c_vlan"] << quarter
    holder, address, place, event = map(np.uint64, abi.CHECK_FACTORS)
    total = (keys ^ _macs_le(rows) << quarter) * holder
    total += (ip_be | wide["pool_id"] << half) * address
    total += (wide["slot"] | wide["ifindex"] << half) * place
    total += (vlans | rows["seq"] << half) * event
    return mix64_all(total).astype(np.uint32)
