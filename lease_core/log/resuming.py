"""Where a reader of a log's events begins anew when it cannot go on from what it read before."""

from lease_core.domain.events import Record, RecoveryStarted
from lease_core.log.port import MAX_COUNT, ZERO_ID, Head, SiteLog
from lease_core.log.reader import Position, holds

FIRST_BATCH = 2
"""Events that a log made anew begins with: its epoch, and what it stands in for."""


async def beginning(log: SiteLog, head: Head, read: Position | None) -> Record | None:
    """The event that a reader begins at who has read up to `read` (None = nothing).

    None = it goes on from there, or cannot read this log at all. It begins anew with a log that
    stands in for the one it read, with the epoch that was begun after its log went back, and where
    what it should read next was cut off.
    """
    if read and read.seq and read.genesis == head.genesis and await holds(log, read):
        return None
    first = await log.read(ZERO_ID, FIRST_BATCH)
    if read and read.genesis != head.genesis:
        named = [each.event.replaces for each in first if isinstance(each.event, RecoveryStarted)]
        stands_in = any(read.genesis in names.split() for names in named)
        return first[0] if stands_in else None
    follows = read.seq + 1 if read else 1
    if not first or first[0].seq == follows:
        return None
    if read is None or first[0].seq > follows:
        return first[0]
    return await _epoch_after(log, read)


async def _epoch_after(log: SiteLog, read: Position) -> Record | None:
    """What begins the first epoch that is newer than all that was read."""
    after = ZERO_ID
    while records := await log.read(after, MAX_COUNT):
        if records[-1].epoch > read.epoch:
            return next(record for record in records if record.epoch > read.epoch)
        after = records[-1].entry_id
    return None
