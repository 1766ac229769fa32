"""Snapshots in the service: taken while deciding goes on, verified by another, begun from."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from lease_core.clock import elapsed_ns
from lease_core.domain.desk import SECOND, Timing
from lease_core.domain.events import LeaseAssigned, RecoveryStarted, SnapshotTaken, SnapshotVerified
from lease_core.domain.ledger import Ledger
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import LogUnavailableError
from lease_core.log.reader import Position
from lease_core.log.replay import fold, replay
from lease_core.log.snapshot import load_snapshot, write_snapshot
from lease_core.service.leader import SiteLeader
from lease_core.service.snapshots import SnapshotPolicy, Taking, Verifying
from tests.histories import folded, random_history
from tests.unit.service.logs import (
    GENESIS,
    Trying,
    beat,
    events,
    leader_of,
    make_fast,
    prefix,
    records,
    request,
    running,
)
from tests.waiting import until

OFTEN = SnapshotPolicy(events=3, pause_s=0)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds become waits of milliseconds."""
    make_fast(monkeypatch)


@pytest.fixture
async def server() -> MemoryServer:
    made = MemoryServer()
    await MemoryLog("ams01", made).create(GENESIS)
    return made


def often(log: MemoryLog, owner: str, policy: SnapshotPolicy = OFTEN) -> SiteLeader:
    made = SiteLeader(log, GENESIS, Timing(), owner, elapsed_ns, policy=policy)
    made.planned.append(prefix())
    return made


def has(log: MemoryLog, kind: type, count: int = 1) -> Callable[[], Any]:
    async def found() -> bool:
        return len(await events(log, kind)) >= count

    return found


async def busy_site(server: MemoryServer, leases: int = 6) -> Trying:
    """A site with leases and a snapshot that nobody verified, and no leader any more."""
    log = Trying(server)
    async with running(often(log, "one#1", SnapshotPolicy(events=leases, pause_s=0))):
        await log.send(beat("n"), "bng1")
        for number in range(1, leases + 1):
            await log.send(request(number), "bng1")
        await until(has(log, SnapshotTaken))
    return log


class TestTaking:
    async def test_a_busy_leader_takes_snapshots_that_are_right(self, server: MemoryServer) -> None:
        """I3: every snapshot that the log tells of and that still stands is the state after the
        event that it covers, and old ones are dropped (I12)."""
        log = Trying(server)
        async with running(often(log, "one#1")):
            for number in range(1, 9):
                await log.send(request(number), "bng1")
                await until(has(log, LeaseAssigned, number))
            await until(has(log, SnapshotTaken, 3))
        told = await events(log, SnapshotTaken)
        metas = {meta.seq: meta for meta in await log.snapshots()}

        assert 1 <= len(metas) <= 3
        for taken in told:
            ledger = Ledger()
            await fold(log, ledger, Position(GENESIS), until=taken.covers)
            assert taken.digest == ledger.digest()
            if taken.covers in metas:
                loaded = await load_snapshot(log, metas[taken.covers])
                assert loaded.digest() == taken.digest
        assert told[-1].covers in metas

    async def test_deciding_goes_on_while_a_snapshot_is_written(self, server: MemoryServer) -> None:
        """A store that hangs with a chunk holds up no client."""
        log = Trying(server)
        stuck = asyncio.Event()

        async def hang(*_: Any) -> None:
            await stuck.wait()

        log.put_chunk = hang  # type: ignore[method-assign]
        async with running(often(log, "one#1")):
            for number in range(1, 9):
                await log.send(request(number), "bng1")
            await until(has(log, LeaseAssigned, 8))
            assert await events(log, SnapshotTaken) == []

    async def test_a_failure_costs_that_snapshot_only(self, server: MemoryServer) -> None:
        """What cannot be written is told, and tried again when the next one is due."""
        log, failures = Trying(server), 2
        publish = log.publish_snapshot

        async def fail(meta: Any) -> None:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise LogUnavailableError("OOM")
            await publish(meta)

        log.publish_snapshot = fail  # type: ignore[method-assign]
        with capture_logs() as lines:
            async with running(often(log, "one#1")):
                await log.send(request(1), "bng1")
                await until(has(log, SnapshotTaken))

        assert [x["reason"] for x in lines if x["event"] == "snapshot.failed"] == ["OOM"] * 2

    async def test_not_before_events_and_time(self, server: MemoryServer) -> None:
        """A snapshot waits for enough events and for the pause after the last attempt."""
        log = MemoryLog("ams01", server)
        ledger = folded(random_history(1, 60))
        position = Position(GENESIS, ledger.seq)
        taking = Taking(log, "one#1", SnapshotPolicy(events=ledger.seq + 1, pause_s=100))
        assert step(taking, ledger, position, 0) is None
        await asyncio.sleep(0.01)
        assert step(taking, ledger, position, 0) is None
        taking = Taking(log, "one#1", SnapshotPolicy(events=1, pause_s=100))
        stepped = []
        for now_s in (0, 1, 2, 99, 100, 101):
            stepped.append(step(taking, ledger, position, now_s * SECOND))
            await asyncio.sleep(0.01)

        assert [bool(taken) for taken in stepped] == [False, True, False, False, False, True]

    async def test_a_snapshot_is_of_the_moment_it_was_begun(self, server: MemoryServer) -> None:
        """I3: events that are decided while chunks are written are not in the snapshot."""
        log, history = MemoryLog("ams01", server), random_history(1, 90)
        ledger = folded(history[:40])
        digest = ledger.digest()
        taking = Taking(log, "one#1", SnapshotPolicy(events=1, pause_s=0))
        step(taking, *_at(ledger), 0)
        folded(history[40:], ledger)
        await asyncio.sleep(0.02)
        taken = step(taking, *_at(ledger), 0)

        assert taken
        assert (taken.covers, taken.digest) == (40, digest)

    async def test_what_a_newer_leader_took_is_never_dropped(self, server: MemoryServer) -> None:
        """A leader that slept while another took, verified and cut comes back and drops only
        what is older than its own snapshot."""
        log = MemoryLog("ams01", server)
        ledger = folded(random_history(1, 60))
        await write_snapshot(log, *_at(folded(random_history(1, 30))))
        newer = folded(random_history(1, 90))
        await write_snapshot(log, *_at(newer))
        taking = Taking(log, "old#1", SnapshotPolicy(events=1, pause_s=0))
        step(taking, *_at(ledger), 0)
        await asyncio.sleep(0.05)

        assert [meta.seq for meta in await log.snapshots()] == [newer.seq, ledger.seq]


def step(taking: Taking, ledger: Ledger, position: Position, now_ns: int) -> SnapshotTaken | None:
    """What a leader does again and again while nothing is under way."""
    taken = taking.finished()
    taking.begin(ledger, position, now_ns)
    return taken


def _at(ledger: Ledger) -> tuple[Ledger, Position]:
    return ledger, Position(GENESIS, ledger.seq, epoch=ledger.epoch)


class TestVerifying:
    async def test_a_standby_verifies_what_the_leader_took(self, server: MemoryServer) -> None:
        """Another process replays to the same digest, and the log says who took and who
        verified."""
        log = Trying(server)
        async with running(often(log, "one#1"), leader_of(Trying(server), "two#2")):
            await log.send(request(1), "bng1")
            await until(has(log, SnapshotVerified))
        taken, verified = (
            (await events(log, SnapshotTaken))[0],
            (await events(log, SnapshotVerified))[0],
        )

        assert {taken.taker, verified.verifier} == {"one#1", "two#2"}
        assert (taken.covers, taken.digest) == (verified.covers, verified.digest)

    async def test_nobody_verifies_its_own_snapshot(self, server: MemoryServer) -> None:
        """A single process, leading and following in turn, never confirms itself, nor asks to."""
        log = await busy_site(server)
        async with running(leader_of(Trying(server), "one#1")):
            await asyncio.sleep(0.1)
        ledger, _ = await replay(log)
        head = await log.head()
        assert head
        verifying = Verifying(log, "one#1")
        verifying.step(ledger)
        await asyncio.sleep(0.05)

        assert await events(log, SnapshotVerified) == []
        assert await log.commands(head.cursor) == []

    async def test_a_wrong_digest_is_told_and_not_confirmed(self, server: MemoryServer) -> None:
        """I3: where a replay comes to another digest, an operator hears of it at once."""
        log = await busy_site(server)
        site = server.site("ams01")
        taken = (await events(log, SnapshotTaken))[0]
        assert site.head
        with capture_logs() as lines:
            async with running(leader_of(Trying(server), "two#2")):
                await until(has(log, SnapshotVerified))
        assert not [x for x in lines if x["event"] == "snapshot.differs"]
        with capture_logs() as lines:
            verifying = often(Trying(server), "three#3")._verifying
            await verifying._verify(taken.covers, "ff" * 16)

        [line] = [x for x in lines if x["event"] == "snapshot.differs"]
        assert line["log_level"] == "critical"
        assert len(await events(log, SnapshotVerified)) == 1


class TestStarting:
    async def test_a_leader_begins_at_a_snapshot_where_the_log_was_cut(
        self, server: MemoryServer
    ) -> None:
        """With its beginning gone, a log is led on from the snapshot: holders keep their
        addresses and newcomers get others."""
        log = await busy_site(server)
        before, _ = await replay(log)
        meta = (await log.snapshots())[0]
        server.site("ams01").events.drop_below((meta.commit_ms, meta.seq))
        async with running(leader_of(Trying(server), "two#2")):
            await log.send(request(7), "bng1")
            await until(has(log, LeaseAssigned, 2))
        after, _ = await replay(log)

        assert {**after.bound, **before.bound} == after.bound
        assert len(after.bound) == len(before.bound) + 1

    async def test_a_log_that_lost_what_was_seen_is_led_in_recovery(
        self, server: MemoryServer
    ) -> None:
        """A snapshot of another history beyond what this leader saw does not hide that."""
        log = await busy_site(server)
        meta = (await log.snapshots())[0]
        seen = (await records(log))[2]
        leader = often(Trying(server), "two#2")
        leader._warm._seen = Position(GENESIS, seen.seq, "ee" * 8, seen.commit_ms, seen.epoch)
        assert seen.seq < meta.seq
        async with running(leader):
            await until(has(log, RecoveryStarted))

    async def test_what_was_cut_off_since_is_no_loss(self, server: MemoryServer) -> None:
        """A leader that saw events which were cut off meanwhile starts from the snapshot."""
        log = await busy_site(server)
        meta, seen = (await log.snapshots())[0], (await records(log))[2]
        server.site("ams01").events.drop_below((meta.commit_ms, meta.seq))
        leader = leader_of(Trying(server), "two#2")
        leader._warm._seen = Position(GENESIS, seen.seq, seen.h, seen.commit_ms, seen.epoch)
        async with running(leader):
            await log.send(request(7), "bng1")
            await until(has(log, LeaseAssigned, 2))
