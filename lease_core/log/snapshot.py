"""A ledger as a snapshot beside the log, and back: whole, of this log, or refused.

Chunks are msgpack with bounded sizes, of plain rows or, for live bindings, of columns; nothing in
them is ever executed. Programs from before the columns refuse such a snapshot.
"""

import asyncio
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import msgpack

from lease_core.domain.columns import (
    Bindings,
    bindings_of,
    check_bindings,
    pack_bindings,
    unpack_bindings,
)
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.restore import Restoring
from lease_core.domain.rows import BOUND, PORTION, Row, RowsDigest, portions_of
from lease_core.log.errors import SnapshotError
from lease_core.log.layout import MAX_VALUE_OCTETS
from lease_core.log.port import Head, SiteLog
from lease_core.log.reader import BrokenChainError, GapError, Position, advance, holds
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
_COLUMNS: Final = tuple(b"\x95" + kind for kind in (b"\xc4", b"\xc5", b"\xc6"))
"""So begins a chunk of columns: five parts, the first of them octets."""
_COLUMN_LIMITS: Final = _LIMITS | {"max_bin_len": 8 * PORTION}
_ALLOCATORS: Final = ("freed", "declines", "since")
"""Kinds of rows that only an allocator needs."""


def encode_rows(rows: Sequence[Row]) -> bytes:
    """A chunk of at most `PORTION` rows, all of live bindings or none."""
    bound: list[Any] = [row[1:] for row in rows if row[0] == BOUND]
    assert len(bound) in {0, len(rows)}
    parts = pack_bindings(bindings_of(bound)) if bound else rows
    octets: bytes = msgpack.packb(parts)
    assert len(rows) <= PORTION
    assert len(octets) <= MAX_CHUNK_OCTETS
    return octets


def decode_rows(octets: bytes) -> tuple[Row, ...]:
    """Read a chunk; what its rows say is still to be checked. Raises SnapshotError as below."""
    chunk = decode_chunk(octets)
    return tuple(chunk.rows(BOUND)) if isinstance(chunk, Bindings) else chunk


def decode_chunk(octets: bytes) -> tuple[Row, ...] | Bindings:
    """Read a chunk; what it says is still to be checked.

    Raises:
        SnapshotError: it holds something else than rows or columns of plain values.
    """
    if len(octets) > MAX_CHUNK_OCTETS:
        raise SnapshotError(f"a chunk has {len(octets)} octets")
    try:
        if octets.startswith(_COLUMNS):
            return unpack_bindings(msgpack.unpackb(octets, **_COLUMN_LIMITS))
        parts = msgpack.unpackb(octets, **_LIMITS)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise SnapshotError(f"a chunk cannot be decoded: {error}") from error
    if type(parts) is not tuple or any(type(row) is not tuple for row in parts):
        raise SnapshotError("a chunk holds something else than rows")
    return parts


async def write_snapshot(log: SiteLog, ledger: Ledger, position: Position) -> SnapshotMeta:
    """Write the state at `position` chunk by chunk; readers see it when it is whole.

    `ledger` must not change meanwhile. Others get their turn after each chunk, some milliseconds.

    Raises:
        LogUnavailableError: it is not published; begin anew later.
    """
    assert ledger.seq == position.seq > 0
    digest, whole, chunks = RowsDigest(), blake2b(digest_size=16), 0
    await log.begin_snapshot(position.seq)
    for rows in portions_of(ledger):
        digest.update(rows)
        octets = encode_rows(rows)
        whole.update(octets)
        await log.put_chunk(position.seq, chunks, octets)
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
        octets=whole.hexdigest(),
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
    restoring, digest, whole = Restoring(), RowsDigest(), blake2b(digest_size=16)
    for number in range(meta.chunks):
        octets = await _chunk(log, meta, number)
        whole.update(octets)
        rows = decode_rows(octets)
        digest.update(rows)
        try:
            restoring.add(rows)
        except LedgerError as error:
            raise SnapshotError(f"snapshot {meta.seq}: {error}") from error
        await asyncio.sleep(0)
    ledger = restoring.ledger
    is_whole = meta.octets in ("", whole.hexdigest())
    if not is_whole or (ledger.seq, ledger.epoch, digest.text()) != (
        *(meta.seq, meta.epoch, meta.digest),
    ):
        raise SnapshotError(f"snapshot {meta.seq} is not what its digest says")
    return ledger


def _taken(chunks: list[bytes]) -> Iterator[bytes]:
    """Each in turn, and none is kept."""
    chunks.reverse()
    while chunks:
        yield chunks.pop()


async def _chunk(log: SiteLog, meta: SnapshotMeta, number: int) -> bytes:
    octets = await log.chunk(meta.seq, number)
    if octets is None:
        raise SnapshotError(f"snapshot {meta.seq} lacks chunk {number}")
    return octets


async def load_columns(log: SiteLog, meta: SnapshotMeta) -> tuple[Ledger, list[Bindings]]:
    """What an edge needs of the snapshot: a ledger without live bindings, and these as columns.

    Raises:
        SnapshotError: it is not whole, not what `octets` says, or does not say that.
    """
    chunks = [await _chunk(log, meta, number) for number in range(meta.chunks)]
    whole = blake2b(digest_size=16)
    for octets in chunks:
        whole.update(octets)
    if whole.hexdigest() != meta.octets:
        raise SnapshotError(f"snapshot {meta.seq} is not what its digest says")
    restoring, columns = Restoring(), []
    try:
        for chunk in map(decode_chunk, _taken(chunks)):
            if isinstance(chunk, Bindings):
                columns.append(chunk)
            else:
                restoring.add(row for row in chunk if not row or row[0] not in _ALLOCATORS)
        ledger = restoring.ledger
        check_bindings(columns, ledger)
    except LedgerError as error:
        raise SnapshotError(f"snapshot {meta.seq}: {error}") from error
    if (ledger.seq, ledger.epoch) != (meta.seq, meta.epoch):
        raise SnapshotError(f"snapshot {meta.seq} is of event {ledger.seq}")
    return ledger, columns


async def is_of_log(log: SiteLog, head: Head, meta: SnapshotMeta) -> bool:
    """Whether the log goes on from the snapshot: its own entry, or what follows, says so."""
    if meta.genesis != head.genesis or meta.epoch > head.epoch or not 0 < meta.seq <= head.seq:
        return False
    own_or_next = await log.read(position_of(meta).before_id, 1)
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


async def newest_columns(
    log: SiteLog, head: Head
) -> tuple[Ledger, list[Bindings], Position] | None:
    """The newest snapshot that can be read as columns and is of this log, see `load_columns`."""
    for meta in await log.snapshots():
        if meta.octets and await is_of_log(log, head, meta):
            try:
                return *await load_columns(log, meta), position_of(meta)
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
    return not first or first[0].seq > seen.seq or await holds(log, seen)
