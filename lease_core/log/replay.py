"""Reading a whole log: the state of a site as its log tells it."""

from lease_core.domain.ledger import Ledger
from lease_core.log.port import MAX_COUNT, ForeignLogError, SiteLog
from lease_core.log.reader import Position, advance


async def replay(log: SiteLog, genesis: str = "") -> tuple[Ledger, Position]:
    """The ledger of a site at the end of its log, and that end.

    Raises:
        ForeignLogError: there is no such log, or not of that genesis.
        GapError, BrokenChainError: the log is not whole.
    """
    head = await log.head()
    if head is None or genesis not in ("", head.genesis):
        raise ForeignLogError(f"there is no log of site {log.site} with genesis {genesis or 'any'}")
    ledger, position = Ledger(), Position(head.genesis)
    while records := await log.read(position.entry_id, MAX_COUNT):
        for record in records:
            position = advance(position, record)
            ledger.evolve(record.seq, record.epoch, record.event)
    return ledger, position
