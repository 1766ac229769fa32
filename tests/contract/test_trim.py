"""Trimming: only below what is verified, applied and archived; every refusal says why."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from lease_core.domain.events import SnapshotTaken, SnapshotVerified
from lease_core.log.errors import ForeignLogError, TrimRefusedError
from lease_core.log.port import ZERO_ID, Head, SiteLog
from lease_core.log.replay import replay
from lease_core.log.snapshot_port import Archived, Cut, SnapshotMeta
from lease_core.log.trim import find_cut
from tests.contract.backends import Backend
from tests.contract.story import GENESIS, lease, written
from tests.contract.test_snapshots import snapped, told
from tests.histories import random_history

EVENTS = random_history(1, 150, has_snapshots=False)


def taken(meta: SnapshotMeta, taker: str = "one#1") -> SnapshotTaken:
    return SnapshotTaken(covers=meta.seq, digest=meta.digest, chunks=meta.chunks, taker=taker)


def verified(meta: SnapshotMeta, verifier: str = "two#2") -> SnapshotVerified:
    return SnapshotVerified(req="v", covers=meta.seq, digest=meta.digest, verifier=verifier)


class Ready:
    """A log that may be cut at `meta`, in the middle of its events."""

    def __init__(self, backend: Backend, log: SiteLog, head: Head, meta: SnapshotMeta) -> None:
        self.backend, self.log, self.head, self.meta = backend, log, head, meta

    async def cut(self) -> Cut:
        return await find_cut(self.log)


async def site(backend: Backend, log: SiteLog, *, verifier: str = "two#2") -> Ready:
    """A site that lacks nothing; with verifier "" nobody verified."""
    head = await told(log, EVENTS)
    meta = await snapped(log, head.seq // 2)
    head = (await written(log, head, [taken(meta)], "t")).after
    if verifier:
        head = (await written(log, head, [verified(meta, verifier)], "v")).after
    head = (await written(log, head, [lease(77)], "l")).after
    await log.set_archived(Archived(genesis=GENESIS, seq=meta.seq, h=meta.h, by="a"))
    for edge in ("bng1", "bng2"):
        await log.report(edge, {"applied": str(meta.seq), "following": "live"})
    return Ready(backend, log, head, meta)


async def test_what_nobody_needs_goes(backend: Backend, log: SiteLog) -> None:
    """Everything before the snapshot goes at once, its own event stays, and every reader comes
    to the same state as before."""
    ready = await site(backend, log)
    before, end = await replay(log)
    cut = await ready.cut()
    assert await log.trim(cut, dry_run=True) == ready.meta.seq - 1
    assert (await log.read(ZERO_ID, 1))[0].seq == 1
    assert await log.trim(cut) == ready.meta.seq - 1

    assert (await log.read(ZERO_ID, 1))[0].seq == ready.meta.seq
    after, same_end = await replay(backend.client())
    assert (after.digest(), same_end) == (before.digest(), end)
    assert await log.trim(cut) == 0
    assert (await written(log, ready.head, [lease(78)], "m")).after.seq == ready.head.seq + 1


async def report_behind(ready: Ready) -> None:
    await ready.log.report("bng2", {"applied": str(ready.meta.seq - 1), "following": "live"})


async def report_foreign(ready: Ready) -> None:
    await ready.log.report("bng2", {"applied": "100000", "following": "foreign"})


async def report_nothing(ready: Ready) -> None:
    await ready.log.report("bng2", {})


async def report_nonsense(ready: Ready) -> None:
    await ready.log.report("bng2", {"applied": "9e9", "following": "live"})


async def archive_behind(ready: Ready) -> None:
    meta = ready.meta
    await ready.log.set_archived(Archived(genesis=GENESIS, seq=meta.seq - 1, h=meta.h, by="a"))


async def archive_of_another_log(ready: Ready) -> None:
    meta = ready.meta
    await ready.log.set_archived(Archived(genesis="feed", seq=meta.seq, h=meta.h, by="a"))


async def another_digest(ready: Ready) -> None:
    await ready.log.publish_snapshot(replace(ready.meta, digest="00" * 16))


async def another_hash(ready: Ready) -> None:
    await ready.log.publish_snapshot(replace(ready.meta, h="00" * 8))


async def another_event(ready: Ready) -> None:
    await ready.backend.edit_event(ready.meta.seq - 1, lambda entry: entry.update({b"h": b"7"}))


async def a_chunk_missing(ready: Ready) -> None:
    await ready.log.publish_snapshot(replace(ready.meta, chunks=ready.meta.chunks + 1))


async def no_snapshot(ready: Ready) -> None:
    await ready.log.drop_snapshots(10**9, [])


async def no_own_event(ready: Ready) -> None:
    await ready.backend.drop_events([ready.meta.seq])


REFUSALS: dict[str, tuple[Callable[[Ready], Awaitable[None]], str]] = {
    "an edge is behind": (report_behind, "edge bng2 has applied events up to"),
    "an edge follows another log": (report_foreign, "edge bng2 follows another log: it is foreign"),
    "an edge says nothing": (report_nothing, "edge bng2 has applied events up to 0 only"),
    "an edge says nonsense": (report_nonsense, "edge bng2 has applied events up to 9e9 only"),
    "the archive is behind": (archive_behind, "the history is archived up to event"),
    "the archive is of another log": (archive_of_another_log, "archived up to event 0 only"),
    "another digest": (another_digest, "the log does not tell of that snapshot"),
    "another hash": (another_hash, "is not of this log"),
    "another event": (another_event, "is not of this log"),
    "a chunk is missing": (a_chunk_missing, "has lost a chunk"),
    "no snapshot": (no_snapshot, "there is no snapshot at event"),
    "no event": (no_own_event, "is not in the log"),
}


@pytest.mark.parametrize("what", sorted(REFUSALS))
async def test_what_somebody_needs_stays(backend: Backend, log: SiteLog, what: str) -> None:
    """Each single thing that is missing stops the cut, is told, and nothing is cut."""
    ready = await site(backend, log)
    cut = await ready.cut()
    spoil, reason = REFUSALS[what]
    await spoil(ready)
    before = await backend.dump()
    for dry_run in (True, False):
        with pytest.raises(TrimRefusedError) as refused:
            await log.trim(cut, dry_run=dry_run)
        assert any(reason in each for each in refused.value.reasons), refused.value.reasons
    assert before == await backend.dump()


async def test_an_event_of_the_former_version_is_the_snapshots_own(
    backend: Backend, log: SiteLog
) -> None:
    """It shows its hash in hex digits as the snapshot does, not as a number."""
    ready = await site(backend, log)
    h = ready.meta.h.encode()
    await backend.edit_event(ready.meta.seq - 1, lambda entry: entry.update({b"h": h}))

    assert await log.trim(await ready.cut(), dry_run=True) == ready.meta.seq - 1


@pytest.mark.parametrize("verifier", ["", "one#1"])
async def test_only_another_process_verifies(backend: Backend, log: SiteLog, verifier: str) -> None:
    """A snapshot that nobody verified, or only who took it, is none to cut at."""
    ready = await site(backend, log, verifier=verifier)
    with pytest.raises(TrimRefusedError) as refused:
        await log.trim(await ready.cut())

    assert refused.value.reasons == [
        "no other process has verified the snapshot; run: leasectl verify"
    ]


async def test_an_edge_that_is_lost_holds_up_nothing(backend: Backend, log: SiteLog) -> None:
    """Who is declared lost needs nothing any more; all others still do."""
    ready = await site(backend, log)
    cut = await ready.cut()
    await report_behind(ready)
    await log.report("bng1", {"applied": "3"})
    with pytest.raises(TrimRefusedError) as refused:
        await log.trim(cut, ["bng2"])
    assert refused.value.reasons == ["edge bng1 has applied events up to 3 only"]

    assert await log.trim(cut, ["bng1", "bng2"]) == cut.seq - 1


async def test_every_reason_is_told_at_once(backend: Backend, log: SiteLog) -> None:
    """The operator hears all that is to be done, not one thing at a time."""
    ready = await site(backend, log, verifier="")
    await report_behind(ready)
    await archive_behind(ready)
    with pytest.raises(TrimRefusedError) as refused:
        await log.trim(await ready.cut())

    assert len(refused.value.reasons) == 3


async def test_another_log_is_not_cut(backend: Backend, log: SiteLog) -> None:
    """A cut is meant for one genesis; where another log or none stands, nothing happens."""
    ready = await site(backend, log)
    cut = await ready.cut()
    with pytest.raises(ForeignLogError):
        await log.trim(replace(cut, genesis="feed"))
    await backend.flush()
    with pytest.raises(ForeignLogError):
        await log.trim(cut)


async def test_marks_of_another_snapshot_do_not_count(backend: Backend, log: SiteLog) -> None:
    """The entries named must be of the right kind and of this very snapshot."""
    ready = await site(backend, log)
    cut = await ready.cut()
    later = await snapped(log, ready.meta.seq + 3)
    head = (await written(log, ready.head, [taken(later), verified(later)], "w")).after
    other_taken, other_verified = (r.entry_id for r in (await log.read(ready.head.last_id)))
    assert head.seq == ready.head.seq + 2
    for wrong in (
        replace(cut, taken_id=other_taken),
        replace(cut, verified_id=other_verified),
        replace(cut, taken_id=cut.verified_id),
        replace(cut, verified_id=cut.taken_id),
    ):
        with pytest.raises(TrimRefusedError):
            await log.trim(wrong)


@pytest.mark.parametrize("change", [{"covers": 3}, {"digest": "00" * 16}])
async def test_only_its_own_verification_counts(
    backend: Backend, log: SiteLog, change: dict[str, Any]
) -> None:
    """I3: who verified an older snapshot, or came to another digest, verified nothing."""
    ready = await site(backend, log)
    cut = await ready.cut()
    other = replace(verified(ready.meta), **change)
    await written(log, ready.head, [other], "o")
    [record] = await log.read(ready.head.last_id)
    with pytest.raises(TrimRefusedError, match="no other process has verified"):
        await log.trim(replace(cut, verified_id=record.entry_id))


async def test_the_newest_verified_one_is_chosen(backend: Backend, log: SiteLog) -> None:
    """A newer snapshot that nobody verified yet does not keep the log from being cut."""
    ready = await site(backend, log)
    newer = await snapped(log, ready.meta.seq + 3)
    await written(log, ready.head, [taken(newer)], "w")

    assert (await ready.cut()).seq == ready.meta.seq


async def test_an_unreadable_snapshot_is_none_to_cut_at(backend: Backend, log: SiteLog) -> None:
    """The snapshot is read once more before anything goes."""
    ready = await site(backend, log)
    await log.put_chunk(ready.meta.seq, 0, b"\xc1")
    with pytest.raises(TrimRefusedError, match="cannot be decoded"):
        await ready.cut()
    await log.drop_snapshots(10**9, [])
    with pytest.raises(TrimRefusedError, match="no snapshot yet"):
        await ready.cut()
