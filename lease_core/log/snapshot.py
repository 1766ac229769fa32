"""A ledger as a snapshot beside the log, and back: whole, of this log, or refused.

Chunks are msgpack of plain rows with bounded sizes; nothing in them is ever executed.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgpack

from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.restore import Restoring
from lease_core.domain.rows import PORTION, Row, RowsDigest, portions_of
from lease_core.log.errors import SnapshotError
from lease_core.log.layout import MAX_VALUE_OCTETS
from lease_core.log.port import Head, SiteLog
from lease_core.log.reader import BrokenChainError, GapError, Position, advance
from lease_core.log.snapshot_port import MAX_CHUNK_OCTETS, SnapshotMeta

_LIMITS: Final[dict[str, Any]] = {
    "raw": False,
    "use_list": False,
    "strict_map_key": True,
    "max_str_len": MAX_VALUE_OCTETS,
    "max_array_len": PORTION,
    "max_bin_len": 0,
    "max_map_len": 0,
    "max_ext_len": 0,
}


def encode_rows(rows: Sequence[Row]) -> bytes:
    """A chunk of at most `PORTION` rows."""
    octets: bytes = msgpack.packb(rows)
    assert len(rows) <= PORTION
    assert len(octets) <= MAX_CHUNK_OCTETS
    return octets


def decode_rows(octets: bytes) -> tuple[Row, ...]:
    """Read a chunk; what its rows say is still to be checked.

    Raises:
        SnapshotError: it holds something else than rows of plain values.
    """
    if len(octets) > MAX_CHUNK_OCTETS:
        raise SnapshotError(f"a chunk has {len(octets)} octets")
    try:
        rows = msgpack.unpackb(octets, **_LIMITS)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise SnapshotError(f"a chunk cannot be decoded: {error}") from error
    if type(rows) is not tuple or any(type(row) is not tuple for row in rows):
        raise SnapshotError("a chunk holds something else than rows")
    return rows


async def write_snapshot(log: SiteLog, ledger: Ledger, position: Position) -> SnapshotMeta:
    """Write the state at `position` chunk by chunk; readers see it when it is whole.

    `ledger` must not change meanwhile. Others get their turn after each chunk, some milliseconds.

    Raises:
        LogUnavailableError: it is not published; begin anew later.
    """
    assert ledger.seq == position.seq > 0
    digest, chunks = RowsDigest(), 0
    await log.begin_snapshot(position.seq)
    for rows in portions_of(ledger):
        digest.update(rows)
        await log.put_chunk(position.seq, chunks, encode_rows(rows))
        chunks += 1
        await asyncio.sleep(0)
    meta = SnapshotMeta(
        genesis=position.genesis,
        seq=position.seq,
        h=position.h,
        commit_ms=position.commit_ms,
        epoch=position.epoch,
        digest=digest.text(),
        chunks=chunks,
    )
    await log.publish_snapshot(meta)
    return meta


def position_of(meta: SnapshotMeta) -> Position:
    """Where a reader stands that starts from the snapshot."""
    return Position(meta.genesis, meta.seq, meta.h, meta.commit_ms, meta.epoch)


async def load_snapshot(log: SiteLog, meta: SnapshotMeta) -> Ledger:
    """The ledger as the snapshot holds it.

    Raises:
        SnapshotError: it is not whole, or not what `meta` says.
    """
    restoring, digest = Restoring(), RowsDigest()
    for number in range(meta.chunks):
        octets = await log.chunk(meta.seq, number)
        if octets is None:
            raise SnapshotError(f"snapshot {meta.seq} lacks chunk {number}")
        rows = decode_rows(octets)
        digest.update(rows)
        try:
            restoring.add(rows)
        except LedgerError as error:
            raise SnapshotError(f"snapshot {meta.seq}: {error}") from error
        await asyncio.sleep(0)
    ledger = restoring.ledger
    if (ledger.seq, ledger.epoch, digest.text()) != (meta.seq, meta.epoch, meta.digest):
        raise SnapshotError(f"snapshot {meta.seq} is not what its digest says")
    return ledger


async def is_of_log(log: SiteLog, head: Head, meta: SnapshotMeta) -> bool:
    """Whether the log goes on from the snapshot: its own entry, or what follows, says so."""
    if meta.genesis != head.genesis or meta.epoch > head.epoch or not 0 < meta.seq <= head.seq:
        return False
    own_or_next = await log.read(f"{meta.commit_ms}-{meta.seq - 1}", 1)
    if not own_or_next:
        return (meta.seq, meta.h) == (head.seq, head.h)
    [record] = own_or_next
    if record.seq == meta.seq:
        return (record.commit_ms, record.h) == (meta.commit_ms, meta.h)
    try:
        advance(position_of(meta), record)
    except (GapError, BrokenChainError):
        return False
    return True


async def newest_snapshot(
    log: SiteLog, head: Head, below: int | None = None
) -> tuple[Ledger, Position] | None:
    """The newest snapshot that can be read and is of this log, before event `below` if given."""
    for meta in await log.snapshots():
        if (below is None or meta.seq < below) and await is_of_log(log, head, meta):
            try:
                return await load_snapshot(log, meta), position_of(meta)
            except SnapshotError:
                continue
    return None


async def still_holds(log: SiteLog, seen: Position, start: Position) -> bool:
    """Whether a log that is read from `start` on may hold what was read up to `seen`.

    What lies behind `start` is compared here, unless it was cut off since.
    """
    if not 0 < seen.seq <= start.seq:
        return True
    if seen.seq == start.seq:
        return seen.h == start.h
    first = await log.read(Position(seen.genesis).entry_id, 1)
    if not first or first[0].seq > seen.seq:
        return True
    at_seen = await log.read(f"{seen.commit_ms}-{seen.seq - 1}", 1)
    return bool(at_seen) and (at_seen[0].seq, at_seen[0].h) == (seen.seq, seen.h)
