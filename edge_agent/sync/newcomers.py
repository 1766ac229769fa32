"""Newcomers: bindings of subscribers who have none in these tables, put many at a time.

Most of a log is made of them, and all of a table that is rebuilt. They need not ask what others
must: no entry of their MAC is there and no removal of their address is owed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_agent.datapath.columns import PLACE, ROW, Slots, keys_of, pack
from edge_agent.dhcp.tables import KeyMode, Line, subscriber_key
from lease_core.domain.columns import Bindings, Place
from lease_core.domain.values import Mac

if TYPE_CHECKING:
    from edge_agent.sync.projection import Projection


@dataclass(frozen=True, slots=True)
class _Placed:
    """A line and a pool as the tables know them."""

    line: Line
    pool_id: int
    lease_time_s: int


def put_strangers(projection: "Projection", bindings: Bindings, now_boot_ns: int) -> int:
    """Put bindings of newcomers, a MAC once, until there is no room; return how many."""
    placed = [_placed(projection, place) for place in bindings.places]
    slots = projection.slots.take_many(keys_of(bindings.mac))
    keys, rows = pack(bindings[: len(slots)], slots, _fields(placed))
    projection.known.add_all(bindings.mac[: len(slots)])
    written = projection.datapath.put_rows(keys, rows)
    for slot in slots[written:].tolist():
        projection.slots.give(slot)
    put = bindings[:written]
    _promise(projection, put, slots[:written], placed, now_boot_ns)
    projection.census.add_all(put)
    return written


def are_strangers(projection: "Projection", bindings: Bindings) -> NDArray[np.bool_]:
    """Which of the bindings are of newcomers; of two of one MAC the first."""
    placed = [_placed(projection, place) is not None for place in bindings.places]
    are = np.array(placed, np.bool_)[bindings.place]
    firsts = np.zeros(len(bindings), np.bool_)
    firsts[np.unique(bindings.mac, return_index=True)[1]] = True
    are &= firsts
    for at in np.flatnonzero(are & projection.known.which(bindings.mac)).tolist():
        are[at] = projection.datapath.lookup(subscriber_key(Mac(int(bindings.mac[at])))) is None
    return are & ~np.array(projection.removals.among(bindings.ip.tolist()), np.bool_)


def _placed(projection: "Projection", place: Place) -> _Placed | None:
    """None where bindings of the place ask for more than newcomers do."""
    line, pool = projection.line_of(place[0]), projection.pools.named(place[1])
    number = projection.pools.find(place[1])
    if line is None or pool is None or number is None:
        return None
    is_by_mac = projection.mode_of(line) is KeyMode.MAC and not line.circuit
    return _Placed(line, number, pool.lease_time_s) if is_by_mac else None


def _fields(placed: Sequence[_Placed | None]) -> NDArray[np.void]:
    of_each = [
        (each.line.ifindex, each.line.s_vlan, each.line.c_vlan, each.pool_id) if each else (0,) * 4
        for each in placed
    ]
    return np.array(of_each, [(name, ROW[name]) for name in PLACE])


def _promise(
    projection: "Projection",
    bindings: Bindings,
    slots: Slots,
    placed: Sequence[_Placed | None],
    now_boot_ns: int,
) -> None:
    """Raise P as an ACK would now, see `Projection.put`."""
    times = {each.lease_time_s if each else 0 for each in placed}
    ends = {time_s: projection.promises.longest(time_s, now_boot_ns) for time_s in times}
    if any(ends.values()):
        each_end = (ends[each.lease_time_s if each else 0] for each in placed)
        projection.datapath.raise_promises(slots, bindings.of_places(each_end))
