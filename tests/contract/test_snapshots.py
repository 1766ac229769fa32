"""Snapshots beside the log: whole or not there, of this log or not used, on every store."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgpack
import numpy as np
import pytest

from lease_core.domain.columns import Bindings, check_bindings, pack_bindings
from lease_core.domain.events import Event
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.rows import rows_of
from lease_core.log.errors import LogUnavailableError, SnapshotError
from lease_core.log.layout import MAX_VALUE_OCTETS
from lease_core.log.port import Head, SiteLog
from lease_core.log.reader import GapError, Position
from lease_core.log.replay import fold, replay
from lease_core.log.snapshot import (
    decode_rows,
    encode_rows,
    load_columns,
    load_snapshot,
    newest_columns,
    newest_snapshot,
    write_snapshot,
)
from lease_core.log.snapshot_port import MAX_CHUNK_OCTETS, Archived, SnapshotMeta
from tests.contract.backends import Backend
from tests.contract.story import GENESIS, begun, known_head, written
from tests.histories import folded, random_history

META = SnapshotMeta(
    genesis=GENESIS, seq=7, h="ab" * 8, commit_ms=5, epoch=1, digest="cd" * 16, chunks=2
)


async def told(log: SiteLog, events: Sequence[Event], head: Head | None = None) -> Head:
    """Write a history in batches of a few events."""
    head = head or await begun(log)
    for start in range(0, len(events), 7):
        head = (await written(log, head, events[start : start + 7], f"{head.seq}")).after
    return head


async def state_at(log: SiteLog, seq: int) -> tuple[Ledger, Position]:
    ledger = Ledger()
    return ledger, await fold(log, ledger, Position(GENESIS), until=seq)


async def snapped(log: SiteLog, seq: int) -> SnapshotMeta:
    return await write_snapshot(log, *await state_at(log, seq))


class TestStore:
    async def test_a_snapshot_is_seen_when_it_is_whole(
        self, backend: Backend, log: SiteLog
    ) -> None:
        """Until it is published no reader sees a snapshot; then every one sees all of it."""
        other = backend.client()
        await log.begin_snapshot(7)
        await log.put_chunk(7, 0, b"\x00\xff")
        await log.put_chunk(7, 1, b"")
        assert await other.snapshots() == []
        await log.publish_snapshot(META)

        assert await other.snapshots() == [META]
        assert [await other.chunk(7, n) for n in range(3)] == [b"\x00\xff", b"", None]
        assert await other.chunk(8, 0) is None

    async def test_newest_first_and_old_ones_go(self, log: SiteLog) -> None:
        """Snapshots are listed newest first by number; old ones are dropped, the half-written one
        too, and never one that is newer than whoever drops knows."""
        for seq in (9, 100, 20, 10):
            await log.begin_snapshot(seq)
            await log.put_chunk(seq, 0, b"x")
            await log.publish_snapshot(replace(META, seq=seq))
        await log.begin_snapshot(50)
        await log.put_chunk(50, 0, b"x")
        assert [meta.seq for meta in await log.snapshots()] == [100, 20, 10, 9]
        await log.drop_snapshots(60, {20, 7})

        assert [meta.seq for meta in await log.snapshots()] == [100, 20]
        assert await log.chunk(50, 0) is None
        assert await log.chunk(9, 0) is None

    async def test_beginning_anew_hides_the_old_one(self, log: SiteLog) -> None:
        """Chunks of two writers are never seen as one snapshot."""
        await log.begin_snapshot(7)
        await log.put_chunk(7, 1, b"old")
        await log.publish_snapshot(META)
        await log.begin_snapshot(7)

        assert await log.snapshots() == []
        assert await log.chunk(7, 1) is None

    async def test_a_giant_chunk_is_not_read(self, log: SiteLog) -> None:
        """I12: a chunk larger than any we write is told before it is taken into memory."""
        await log.begin_snapshot(7)
        await log.put_chunk(7, 0, b"x" * (MAX_CHUNK_OCTETS + 1))

        assert await log.chunk(7, 0) is None

    async def test_the_mark_of_the_archive(self, backend: Backend, log: SiteLog) -> None:
        """How far the history has come is told to every client, and the last word counts."""
        assert await log.archived() is None
        await log.set_archived(Archived(genesis=GENESIS, seq=5, h="00" * 8, by="a"))
        last = Archived(genesis=GENESIS, seq=9, h="11" * 8, by="b")
        await log.set_archived(last)

        assert await backend.client().archived() == last

    async def test_an_outage_is_told(self, backend: Backend, log: SiteLog) -> None:
        """Every call of the store fails as the others do when there is no service."""
        backend.fail()
        try:
            for call in (
                log.begin_snapshot(1),
                log.put_chunk(1, 0, b""),
                log.publish_snapshot(META),
                log.snapshots(),
                log.chunk(1, 0),
                log.drop_snapshots(9, []),
                log.archived(),
            ):
                with pytest.raises(LogUnavailableError):
                    await call
        finally:
            backend.recover()


class TestReplay:
    async def test_snapshot_and_tail_are_the_whole_log(self, log: SiteLog) -> None:
        """I3: whatever the history and wherever it is cut, replay from the snapshot gives the
        digest and the end of a full replay."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        events = random_history(seed, 150)
        head = await told(log, events)
        whole, end = await state_at(log, head.seq)
        for cut in random.Random(seed).sample(range(1, head.seq + 1), 5):
            meta = await snapped(log, cut)
            found = await newest_snapshot(log, head)
            assert found
            assert found[1].seq == cut
            assert found[0].digest() == meta.digest
            ledger, position = await replay(log, GENESIS)

            assert (ledger.digest(), position) == (whole.digest(), end), f"cut {cut}"
            await log.drop_snapshots(10**9, [])

    async def test_the_newest_readable_one_is_taken(self, log: SiteLog) -> None:
        """A snapshot with a chunk gone or changed costs that snapshot, and no service."""
        head = await told(log, random_history(1, 150))
        old, middle, new = [await snapped(log, head.seq // 4 * n) for n in (1, 2, 3)]
        chunk = await log.chunk(middle.seq, 0)
        assert chunk
        for rows in (b"\xc1", chunk[:-1], msgpack.packb([("site", 1, 2)]), b"\x91\x01"):
            await log.put_chunk(middle.seq, 0, rows)
            await log.publish_snapshot(replace(new, chunks=9))
            with pytest.raises(SnapshotError):
                await load_snapshot(log, middle)
            found = await newest_snapshot(log, head)

            assert found
            assert found[1].seq == old.seq

    async def test_a_chunk_of_another_state_is_found_out(self, log: SiteLog) -> None:
        """A chunk that decodes and restores, but says something else, fails the digest."""
        head = await told(log, random_history(1, 150))
        meta = await snapped(log, head.seq)
        chunk = await log.chunk(meta.seq, 1)
        assert chunk
        [first, *rows] = decode_rows(chunk)
        assert first[0] == "bound"
        await log.put_chunk(meta.seq, 1, encode_rows([("bound", first[1] + 1, *first[2:]), *rows]))

        for load in (load_snapshot, load_columns):
            with pytest.raises(SnapshotError, match="digest"):
                await load(log, meta)
        with pytest.raises(SnapshotError, match="digest"):
            await load_snapshot(log, replace(meta, octets=""))

    async def test_columns_say_what_the_rows_say(self, log: SiteLog) -> None:
        """An edge that reads columns knows the bindings, removals and pools of the ledger (I3)."""
        head = await told(log, random_history(1, 150))
        meta = await snapped(log, head.seq)
        ledger, columns = await load_columns(log, meta)
        whole = await load_snapshot(log, meta)

        told_of = [each.row(number) for each in columns for number in range(len(each))]
        assert told_of == list(whole.bound.values())
        assert (ledger.removed, ledger.pools) == (whole.removed, whole.pools)
        assert (ledger.seq, ledger.epoch, ledger.edge) == (whole.seq, whole.epoch, whole.edge)

    async def test_a_snapshot_of_rows_alone_is_read(self, log: SiteLog) -> None:
        """What a program wrote that knew no columns is restored, and no columns are read of it."""
        head = await told(log, random_history(1, 150))
        ledger, position = await state_at(log, head.seq)
        meta = await write_snapshot(log, ledger, position)
        await log.begin_snapshot(head.seq)
        await log.put_chunk(head.seq, 0, msgpack.packb(list(rows_of(ledger))))
        old = replace(meta, chunks=1, octets="")
        await log.publish_snapshot(old)

        assert await log.snapshots() == [old]
        assert (await load_snapshot(log, old)).digest() == ledger.digest()
        assert await newest_columns(log, head) is None

    @pytest.mark.parametrize(
        "change",
        [{"genesis": "feed"}, {"h": "00" * 8}, {"commit_ms": 1}, {"epoch": 9}, {"seq": 10_000}],
    )
    async def test_a_snapshot_of_another_log_is_not_used(
        self, log: SiteLog, change: dict[str, Any]
    ) -> None:
        """Genesis, hash, time, epoch and seq must be those of the log's own entry."""
        head = await told(log, random_history(1, 150))
        ledger, position = await state_at(log, 20)
        await write_snapshot(log, ledger, position)
        assert await newest_snapshot(log, head)
        await log.drop_snapshots(10**9, [])
        ledger.epoch = change.get("epoch", ledger.epoch)
        ledger.seq = change.get("seq", ledger.seq)
        await write_snapshot(log, ledger, replace(position, **change))

        assert await newest_snapshot(log, head) is None
        assert (await replay(log))[1].seq == head.seq

    async def test_a_log_whose_beginning_is_gone(self, backend: Backend, log: SiteLog) -> None:
        """Where the entry of a snapshot is gone, what follows it must continue it; where both are
        gone, no replay pretends to know."""
        events = random_history(1, 150)
        head = await told(log, events)
        cut = head.seq // 2
        meta = await snapped(log, cut)
        await backend.drop_events(range(1, cut + 1))
        assert (await replay(log))[0].digest() == folded(events).digest()

        await log.begin_snapshot(cut)
        await log.put_chunk(cut, 0, b"")
        await log.publish_snapshot(replace(meta, h="00" * 8))
        assert await newest_snapshot(log, head) is None
        with pytest.raises(GapError):
            await replay(log)

    async def test_a_log_of_nothing_but_a_snapshot(self, backend: Backend, log: SiteLog) -> None:
        """A snapshot at the very end stands for a log whose every event is gone."""
        events = random_history(1, 60)
        head = await told(log, events)
        meta = await snapped(log, head.seq)
        await backend.drop_events(range(1, head.seq + 1))
        ledger, position = await replay(log)

        assert ledger.digest() == folded(events).digest() == meta.digest
        assert (position.seq, position.h) == (head.seq, head.h)
        await log.publish_snapshot(replace(meta, h="00" * 8))
        assert await newest_snapshot(log, head) is None

    async def test_an_end_that_is_gone_is_told(self, backend: Backend, log: SiteLog) -> None:
        """A log that ends before its head is no whole log, though every hash in it is right."""
        head = await told(log, random_history(1, 60))
        await backend.drop_events([head.seq])

        with pytest.raises(GapError, match=str(head.seq)):
            await replay(log)

    async def test_a_snapshot_may_be_the_end(self, log: SiteLog) -> None:
        """A snapshot at the last event is the whole replay."""
        head = await told(log, random_history(1, 60))
        meta = await snapped(log, head.seq)

        assert (await replay(log))[0].digest() == meta.digest
        assert (await known_head(log)) == head


BOUND = Bindings(
    np.array([1], np.uint64),
    np.array([2], np.uint32),
    np.array([3], np.uint64),
    np.array([0], np.uint32),
    (("access0", "res-1"),),
)


@pytest.mark.parametrize(
    "octets",
    [
        *(
            msgpack.packb([*parts[:at], other, *parts[at + 1 :]])
            for parts in [pack_bindings(BOUND)]
            for at in range(5)
            for other in (b"", b"x", bytes(9 * 4096), "x", 7, [], [["line"]], [["line", 7]])
            if at < 4 or other != b""
        ),
        msgpack.packb([*pack_bindings(BOUND)[:3], b"\1\0", [["line", "pool"]]]),
        msgpack.packb(pack_bindings(BOUND)[:4]),
        b"",
        b"\x93",
        msgpack.packb({"a": 1}),
        msgpack.packb([["bound"], {"a": 1}]),
        msgpack.packb([("bound", b"bytes")]),
        msgpack.packb([("bound", {"a": 1})]),
        msgpack.packb([("bound", msgpack.ExtType(4, b"x"))]),
        msgpack.packb([("bound", "x" * (MAX_VALUE_OCTETS + 1))]),
        msgpack.packb([()] * 5000),
        msgpack.packb([()]) + b"\x00",
        msgpack.packb(7),
        b"\xdd\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\x91" * 5000,
        b"\x00" * (MAX_CHUNK_OCTETS + 1),
    ],
)
def test_what_is_no_chunk_is_refused(octets: bytes) -> None:
    """Only short rows of plain values are decoded, and sizes are checked before memory is taken."""
    with pytest.raises(SnapshotError):
        decode_rows(octets)


@pytest.mark.parametrize(
    "change",
    [
        {"mac": np.array([1 << 48], np.uint64)},
        {"seq": np.array([0], np.uint64)},
        {"seq": np.array([10**9], np.uint64)},
        {"places": (("access0", "no-pool"),)},
    ],
)
def test_columns_that_contradict_the_ledger_are_refused(change: dict[str, Any]) -> None:
    """MACs, events and pools are what a ledger may hold, and an address is bound once (I1)."""
    ledger = folded(random_history(1, 150))
    [pool, *_] = ledger.pools
    bound = replace(BOUND, places=(("access0", pool),))
    check_bindings([bound], ledger)

    for columns in ([replace(bound, **change)], [bound, bound]):
        with pytest.raises(LedgerError):
            check_bindings(columns, ledger)
