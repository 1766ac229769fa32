"""Newcomers: runs of events that bind subscribers whom these tables never held, in one go.

Most of a log is made of them. They need not ask what others must: no entry of their MAC is there
and no removal of their address is owed. So a run is one write of many entries.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edge_agent.dhcp.tables import Assignment, KeyMode, subscriber_key
from lease_core.domain.events import LeaseAssigned, Record
from lease_core.domain.values import Mac

if TYPE_CHECKING:
    from edge_agent.sync.projection import Projection

_BITS: Final = 24
_SPREAD: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: neighbours among MACs fall far apart."""


class KnownMacs:
    """Whether a MAC was ever written into the tables: "no" is certain, "yes" may be another's.

    Takes 16 MB at most, where a set of a million MACs takes a hundred.
    """

    def __init__(self) -> None:
        self._seen = bytearray(1 << _BITS)

    def __contains__(self, mac: Mac) -> bool:
        return bool(self._seen[_place(mac)])

    def add(self, mac: Mac) -> None:
        self._seen[_place(mac)] = 1


def _place(mac: Mac) -> int:
    return (mac * _SPREAD & 0xFFFFFFFFFFFFFFFF) >> 64 - _BITS


def assign_newcomers(
    projection: "Projection", records: Sequence[Record], start: int, now_boot_ns: int
) -> int:
    """Apply the newcomers from record `start` up to the first other event; return how many."""
    run: list[tuple[LeaseAssigned, Assignment]] = []
    for at in range(start, len(records)):
        found = _newcomer(projection, records[at])
        if found is None:
            break
        projection.known.add(found[0].mac)
        run.append(found)
    written = projection.datapath.put_many(
        [(subscriber_key(event.mac), assignment) for event, assignment in run]
    )
    for _, assignment in run[written:]:
        projection.slots.give(assignment.slot)
    _promise(projection, run[:written], now_boot_ns)
    for event, assignment in run[:written]:
        projection.digest.add_parts(event.mac, event.line, event.ip, event.pool, assignment.seq)
        projection.occupancy.add(assignment.line)
    return written


def _newcomer(projection: "Projection", record: Record) -> tuple[LeaseAssigned, Assignment] | None:
    """What to write for an event that binds somebody new; None = it asks for more than that."""
    event = record.event
    if not isinstance(event, LeaseAssigned) or event.mac in projection.known:
        return None
    line = projection.lines.parse(event.line)
    pool = projection.pools.find(event.pool)
    if line is None or pool is None or projection.removals.of(event.ip):
        return None
    if projection.mode_of(line) is not KeyMode.MAC:
        return None
    slot = projection.slots.take()
    if slot is None:
        return None
    return event, Assignment(event.ip, pool, slot, line, record.seq)


def _promise(
    projection: "Projection", run: Sequence[tuple[LeaseAssigned, Assignment]], now_boot_ns: int
) -> None:
    """See `Projection.promise_as_if_answered`."""
    ends: dict[int, int] = {}
    for _, assignment in run:
        number = assignment.pool_id
        if number not in ends:
            pool = projection.datapath.pool(number)
            lease_time_s = pool.lease_time_s if pool else 0
            ends[number] = projection.longest_promise(lease_time_s, now_boot_ns)
        if ends[number]:
            projection.datapath.raise_promise(assignment.slot, ends[number])
