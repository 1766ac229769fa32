"""Entries by the thousand are octet for octet what they are one by one."""

import random

import numpy as np

from edge_agent.datapath import abi
from edge_agent.datapath.columns import (
    PLACE,
    ROW,
    are_whole,
    macs_of,
    pack,
    packed,
    places_of,
)
from edge_agent.dhcp.tables import Assignment, KeyMode, Line, SubscriberKey, holder, key_of
from lease_core.domain.columns import bindings_of
from lease_core.domain.values import Ipv4, Mac

COUNT = 300


def entry(chance: random.Random, mode: KeyMode) -> tuple[SubscriberKey, Assignment]:
    mac, line = Mac(chance.getrandbits(48)), Line(chance.getrandbits(32), 4094, 17)
    if mode is KeyMode.CIRCUIT:
        line = line._replace(giaddr=Ipv4(9), circuit=b"port")
    owner = Mac(0) if mode is KeyMode.MAC else mac
    numbers = [chance.getrandbits(32) for _ in range(3)]
    found = Assignment(Ipv4(numbers[0]), *numbers[1:], line, chance.getrandbits(64), mac=owner)
    return key_of(mac, line, mode), found


def test_the_layout_is_that_of_the_abi() -> None:
    """Every field stands where `abi` has it, and none is left out."""
    assert ROW.itemsize == abi.POOL_ASSIGNMENT.size
    assert {name: ROW.fields[name][1] for name in ROW.names or ()} == abi.POOL_ASSIGNMENT.offsets


def test_bindings_are_packed_as_one_by_one() -> None:
    """Keys, values and check words of newcomers are those of `pack_assignment`."""
    chance = random.Random(1)
    entries = [entry(chance, KeyMode.MAC) for _ in range(COUNT)]
    bindings = bindings_of(
        [
            (holder(key, found), str(number), found.ip, "p", found.seq)
            for number, (key, found) in enumerate(entries)
        ]
    )
    keys, rows = packed(entries)
    made = pack(bindings, rows["slot"].astype(np.uint32), rows[PLACE])

    assert made[0].tolist() == keys.tolist()
    assert made[1].tobytes() == rows.tobytes()


def test_every_kind_of_entry_is_read_as_one_by_one() -> None:
    """Holder, place and check word of any entry, whole or damaged, are those of `abi`."""
    chance = random.Random(2)
    keys, rows = packed(entry(chance, chance.choice(list(KeyMode))) for _ in range(COUNT))
    octets = np.frombuffer(bytearray(rows.tobytes()), np.uint8).reshape(COUNT, ROW.itemsize)
    for number in range(0, COUNT, 3):
        octets[number, chance.randrange(ROW.itemsize - 2)] ^= 1 << chance.randrange(8)
    rows = octets.reshape(-1).view(ROW)
    read = [
        abi.unpack_assignment(key, row.tobytes())
        for key, row in zip(keys.tolist(), rows, strict=True)
    ]
    places, place = places_of(rows)

    assert are_whole(keys, rows).tolist() == [found.check_ok for found in read]
    assert 0 < sum(not found.check_ok for found in read) <= COUNT // 3
    assert macs_of(keys, rows).tolist() == [
        holder(key, found) for key, found in zip(keys.tolist(), read, strict=True)
    ]
    assert [places[number] for number in place] == [
        (f.line.ifindex, f.line.s_vlan, f.line.c_vlan, f.pool_id) for f in read
    ]
