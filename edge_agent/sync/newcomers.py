"""Newcomers: bindings of subscribers whom these tables never held, put many at a time.

Most of a log is made of them, and all of a table that is rebuilt. They need not ask what others
must: no entry of their MAC is there and no removal of their address is owed.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from edge_agent.dhcp.tables import Assignment, KeyMode, subscriber_key
from lease_core.domain.events import LeaseAssigned, Record
from lease_core.domain.ledger import Binding
from lease_core.domain.values import Mac

if TYPE_CHECKING:
    from edge_agent.sync.projection import Projection

Bound = LeaseAssigned | Binding

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


def leases(records: Sequence[Record], start: int) -> Iterator[tuple[LeaseAssigned, int]]:
    """The leases from `start` up to the first other event."""
    for at in range(start, len(records)):
        event = records[at].event
        if not isinstance(event, LeaseAssigned):
            return
        yield event, records[at].seq


def put_newcomers(
    projection: "Projection", bindings: Iterable[tuple[Bound, int]], now_boot_ns: int
) -> int:
    """Put bindings, each with its event, up to the first one of somebody known; return how many."""
    run: list[tuple[Bound, Assignment]] = []
    for bound, seq in bindings:
        made = _assignment(projection, bound, seq)
        if made is None:
            break
        projection.known.add(bound.mac)
        run.append((bound, made))
    written = projection.datapath.put_many(
        [(subscriber_key(bound.mac), assignment) for bound, assignment in run]
    )
    for _, assignment in run[written:]:
        projection.slots.give(assignment.slot)
    _promise(projection, run[:written], now_boot_ns)
    for bound, assignment in run[:written]:
        projection.digest.add_parts(bound.mac, bound.line, bound.ip, bound.pool, assignment.seq)
        projection.occupancy.add(assignment.line)
    return written


def _assignment(projection: "Projection", bound: Bound, seq: int) -> Assignment | None:
    """What to write for somebody new; None = his binding asks for more than that."""
    if bound.mac in projection.known:
        return None
    line = projection.line_of(bound.line)
    pool = projection.pools.find(bound.pool)
    if line is None or pool is None or projection.removals.of(bound.ip):
        return None
    if projection.mode_of(line) is not KeyMode.MAC:
        return None
    slot = projection.slots.take()
    return None if slot is None else Assignment(bound.ip, pool, slot, line, seq)


def _promise(
    projection: "Projection", run: Sequence[tuple[Bound, Assignment]], now_boot_ns: int
) -> None:
    """Raise P as an ACK would now, see `Projection.put`."""
    ends: dict[int, int] = {}
    for _, assignment in run:
        number = assignment.pool_id
        if number not in ends:
            pool = projection.datapath.pool(number)
            lease_time_s = pool.lease_time_s if pool else 0
            ends[number] = projection.longest_promise(lease_time_s, now_boot_ns)
        if ends[number]:
            projection.datapath.raise_promise(assignment.slot, ends[number])
