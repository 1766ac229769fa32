"""Reading a log: the state of a site as its log tells it, from a snapshot on where there is one."""

from collections.abc import Callable

from lease_core.domain.events import Record
from lease_core.domain.ledger import Ledger
from lease_core.log.port import (
    MAX_COUNT,
    ForeignLogError,
    Head,
    LogUnavailableError,
    LostLogError,
    SiteLog,
)
from lease_core.log.reader import GapError, Position, advance_all
from lease_core.log.snapshot import newest_snapshot, still_holds

Visit = Callable[[Ledger, Record], None]
"""Sees the ledger right after each record."""


async def known_head(log: SiteLog, genesis: str = "") -> Head:
    """The head of a log that is there. Raises ForeignLogError: no such log, or another genesis."""
    head = await log.head()
    if head is None or genesis not in ("", head.genesis):
        raise ForeignLogError(f"there is no log of site {log.site} with genesis {genesis or 'any'}")
    return head


async def replay(
    log: SiteLog, genesis: str = "", seen: Position | None = None
) -> tuple[Ledger, Position]:
    """The ledger of a site at the end of its log, and that end.

    With replicas the end is what they hold.

    Starts from the newest snapshot that can be read and is of this log; without one, from the
    first event.

    Raises:
        LostLogError: it does not go on from what was `seen` of it.
        ForeignLogError: there is no such log, or not of that genesis.
        LogUnavailableError: head and events come from two servers.
        GapError, BrokenChainError: the log is not whole.
        LedgerError: an event contradicts those before it.
    """
    head = await known_head(log, genesis)
    start = await newest_snapshot(log, head)
    ledger, position = start or (Ledger(), Position(head.genesis))
    if seen and not await still_holds(log, seen, position):
        raise LostLogError(f"it does not hold event {seen.entry_id} any more")

    def compare(_: Ledger, record: Record) -> None:
        if seen and record.seq == seen.seq and record.h != seen.h:
            raise LostLogError(f"event {record.entry_id} is not what it was")

    until = None if head.committed is None else max(head.committed, seen.seq if seen else 0)
    position = await fold(log, ledger, position, until=until, visit=compare if seen else None)
    if position.seq == head.committed and position.h != head.committed_h:
        await log.reconnect()
        raise LogUnavailableError(f"replicas hold another event {position.entry_id}")
    if seen and position.seq < seen.seq:
        raise LostLogError(f"it ends after event {position.seq}, {seen.seq} were read")
    if position.seq < head.durable_seq:
        raise GapError(
            f"the log ends after event {position.seq}, but {head.durable_seq} were written"
        )
    return ledger, position


async def fold(
    log: SiteLog,
    ledger: Ledger,
    position: Position,
    *,
    until: int | None = None,
    visit: Visit | None = None,
) -> Position:
    """Evolve a ledger from `position` to the log's end, or to event `until`; return that end.

    Raises as `replay`.
    """
    while records := await log.read(position.entry_id, MAX_COUNT):
        if until is not None and records[-1].seq > until:
            records = [record for record in records if record.seq <= until]
            if not records:
                break
        position = advance_all(position, records)
        for record in records:
            ledger.evolve(record.seq, record.epoch, record.event)
            if visit:
                visit(ledger, record)
    return position


async def ledger_at(
    log: SiteLog, seq: int, genesis: str = "", *, below: int | None = None
) -> Ledger:
    """The ledger right after event `seq`, from a snapshot before event `below` if given.

    Raises:
        ForeignLogError: the log does not have that event any more, or is another.
        Others as `replay`.
    """
    head = await known_head(log, genesis)
    start = await newest_snapshot(log, head, below=seq + 1 if below is None else below)
    ledger, position = start or (Ledger(), Position(head.genesis))
    await fold(log, ledger, position, until=seq)
    if ledger.seq != seq:
        raise ForeignLogError(f"the log of site {log.site} holds no event {seq}")
    return ledger
