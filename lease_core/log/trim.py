"""Where a log may be cut: below the newest snapshot that stands and that was verified."""

from lease_core.domain.events import Record, SnapshotTaken, SnapshotVerified
from lease_core.log.errors import SnapshotError, TrimRefusedError
from lease_core.log.port import MAX_COUNT, SiteLog
from lease_core.log.replay import known_head
from lease_core.log.snapshot import load_snapshot, position_of
from lease_core.log.snapshot_port import Cut, SnapshotMeta


async def find_cut(log: SiteLog) -> Cut:
    """The cut below the newest verified snapshot; below the newest one if none is verified.

    Reads the log behind the oldest snapshot, and the snapshot itself once more.

    Raises:
        TrimRefusedError: there is no snapshot, or it cannot be read.
        ForeignLogError: there is no log.
    """
    head = await known_head(log)
    metas = [meta for meta in await log.snapshots() if meta.genesis == head.genesis]
    if not metas:
        raise TrimRefusedError(["there is no snapshot yet"])
    taken, verified = await _marks(log, metas[-1])
    meta = next((meta for meta in metas if meta.seq in verified), metas[0])
    try:
        await load_snapshot(log, meta)
    except SnapshotError as error:
        raise TrimRefusedError([str(error)]) from error
    return Cut(
        genesis=head.genesis,
        seq=meta.seq,
        h=meta.h,
        commit_ms=meta.commit_ms,
        taken_id=taken.get(meta.seq, ""),
        verified_id=verified.get(meta.seq, ""),
    )


async def _marks(log: SiteLog, oldest: SnapshotMeta) -> tuple[dict[int, str], dict[int, str]]:
    """Entries that tell of snapshots and of their verification, by the event they cover."""
    taken: dict[int, str] = {}
    verified: dict[int, str] = {}
    after = position_of(oldest).entry_id
    while records := await log.read(after, MAX_COUNT):
        for record in records:
            _mark(record, taken, verified)
        after = records[-1].entry_id
    return taken, verified


def _mark(record: Record, taken: dict[int, str], verified: dict[int, str]) -> None:
    match record.event:
        case SnapshotTaken(covers=covers):
            taken[covers] = record.entry_id
        case SnapshotVerified(covers=covers):
            verified[covers] = record.entry_id
        case _:
            pass
