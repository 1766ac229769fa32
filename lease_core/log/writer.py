"""Turn decided events into one atomic append. Pure but for `commit`, which sends it."""

from collections.abc import Sequence
from dataclasses import replace

from lease_core.domain.commands import Answer
from lease_core.domain.events import LEASE_VERSION, Event
from lease_core.log.errors import ClockError
from lease_core.log.port import Appended, Batch, Head, SiteLog
from lease_core.log.wire import EventEncoder, encode_answer

_CLOCK_TRIES = 3


def build(
    head: Head,
    events: Sequence[Event],
    *,
    by: str,
    epoch: int,
    commit_ms: int,
    batch_id: str,
    answers: Sequence[Answer] = (),
    cursor: str = "",
    reads: int = LEASE_VERSION,
) -> Batch:
    """Chain `events` onto `head`, all committed at `commit_ms` of the log's clock.

    `batch_id` names this append and no other, ever. `cursor` is the last command whose effect
    the batch holds; "" leaves the cursor. `reads` is the newest version of events about leases
    that whoever follows this log reads.

    Raises:
        ValueError: a value that no reader would accept; the fault of whoever decided it.
    """
    if not batch_id:
        raise ValueError("a batch needs an id that no other batch has")
    encoder = EventEncoder(head.h, epoch=epoch, by=by, commit_ms=commit_ms, reads=reads)
    written = [encoder.encode(seq, event) for seq, event in enumerate(events, head.seq + 1)]
    records = tuple(record for record, _ in written)
    after = replace(
        head,
        epoch=epoch,
        seq=head.seq + len(records),
        h=records[-1].h if records else head.h,
        last_id=records[-1].entry_id if records else head.last_id,
        batch=batch_id,
        cursor=cursor or head.cursor,
    )
    return Batch(
        before=head,
        after=after,
        by=by,
        reads=reads,
        cursor=cursor,
        commit_ms=commit_ms,
        records=records,
        event_fields=tuple(entry for _, entry in written),
        answer_fields=tuple(map(encode_answer, answers)),
    )


def restamp(batch: Batch, commit_ms: int) -> Batch:
    """The same batch (same id) committed at another time, so with other ids and hashes."""
    if not batch.records:
        return replace(batch, commit_ms=commit_ms)
    moved = build(
        batch.before,
        [record.event for record in batch.records],
        by=batch.by,
        epoch=batch.after.epoch,
        commit_ms=commit_ms,
        batch_id=batch.batch_id,
        cursor=batch.cursor,
        reads=batch.reads,
    )
    return replace(moved, answer_fields=batch.answer_fields)


async def commit(log: SiteLog, batch: Batch) -> tuple[Batch, Appended]:
    """Append `batch`; where the log's clock disagrees, restamp it and append again.

    Returns:
        The batch as it was written, and where the log ends now.

    Raises:
        LogError: as `SiteLog.append`; ClockError only if the clock keeps jumping.
    """
    for _ in range(_CLOCK_TRIES - 1):
        try:
            return batch, await log.append(batch)
        except ClockError as error:
            batch = restamp(batch, error.commit_ms)
    return batch, await log.append(batch)
