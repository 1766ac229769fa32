"""The follower: nothing is skipped, doubled or taken from another log (I4, I5)."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from edge_agent.sync import follower
from edge_agent.sync.follower import ContradictionError, Follower, Following
from lease_core.domain.commands import Refused
from lease_core.domain.events import EpochStarted, Record, RecoveryStarted
from lease_core.log import wire
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import Answered, Followed, Head, LogUnavailableError
from lease_core.log.reader import Position, advance
from lease_core.log.replay import replay
from lease_core.log.writer import build, commit
from tests.unit.sync.histories import GENESIS, random_events
from tests.waiting import until

EVENTS = random_events(1, 150)
COUNT = len(EVENTS)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds become waits of milliseconds."""
    monkeypatch.setattr(follower, "COMPARE_S", 0.01)
    monkeypatch.setattr(follower, "RETRY_S", 0.01)
    monkeypatch.setattr(follower, "REJOIN_S", 0.01)
    monkeypatch.setattr(follower, "BLOCK_MS", 5)


class Tampering(MemoryLog):
    """Hands on a changed stream of events; the log itself is as it was."""

    tamper: Callable[[list[Record]], list[Record]] | None = None
    elsewhere: Callable[[], Head] | None = None
    """The head at the next address."""

    async def reconnect(self) -> None:
        if self.elsewhere:
            self._site.head = self.elsewhere()

    async def follow(
        self, events_after: str, answers_after: str, block_ms: int = 0, count: int = 500
    ) -> Followed:
        came = await super().follow(events_after, answers_after, block_ms, count)
        if self.tamper is None:
            return came
        await asyncio.sleep(0)  # the log itself has more, so it never waits
        everything = self.tamper(await self.read("0-0", 1000))
        after = int(events_after.split("-")[1])
        start = next((i for i, r in enumerate(everything) if r.seq == after), -1) + 1
        return Followed(records=everything[start:], answers=came.answers)


class Foreseeing(MemoryLog):
    """Tells with a full page what is behind it at that time."""

    foreseen = 0

    async def follow(
        self, events_after: str, answers_after: str, block_ms: int = 0, count: int = 500
    ) -> Followed:
        came = await super().follow(events_after, answers_after, block_ms, count)
        if len(came.records) < count:
            return came
        behind = await super().follow(came.records[-1].entry_id, answers_after, 0, count)

        async def ahead() -> Followed:
            self.foreseen += 1
            return behind

        return replace(came, ahead=ahead)


class LedApart(MemoryLog):
    """Heads come from a promoted server; all else from a deposed one, until it connects anew."""

    def __init__(self, deposed: MemoryServer, promoted: MemoryServer) -> None:
        super().__init__("ams01", deposed)
        self._promoted = promoted

    async def head(self) -> Head | None:
        return await MemoryLog("ams01", self._promoted).head()

    async def reconnect(self) -> None:
        self._server = self._promoted


async def led_apart(server: MemoryServer, causes: Sequence[str]) -> LedApart:
    """One event more at a deposed server, others at a promoted one, whose replicas hold them."""
    promoted = deepcopy(server)
    await write(MemoryLog("ams01", server), [EpochStarted(cause="deposed")])
    await write(MemoryLog("ams01", promoted), [EpochStarted(cause=cause) for cause in causes])
    site = promoted.site("ams01")
    assert site.head
    site.head = replace(site.head, committed=site.head.seq, committed_h=site.head.h)
    return LedApart(server, promoted)


class Edge:
    """Takes what the follower hands on."""

    def __init__(self, log: MemoryLog, genesis: str = GENESIS, *, needs_rebuild: bool = False):
        self.log = log
        self.applied: list[int] = []
        self.answers: list[Answered] = []
        self.states: list[Following] = []
        self.rebuilds = 0
        self.refuses: int | None = None
        self.taken_at: Position | None = None
        self.follower = Follower(
            log,
            Position(genesis),
            apply=self._apply,
            rebuild=self._rebuild,
            rejoin=self._rejoin,
            tell=self.states.append,
            needs_rebuild=needs_rebuild,
        )

    def _apply(self, records: list[Record], end: Position, answers: list[Answered]) -> None:
        position = self.follower.position
        for record in records:
            if record.seq == self.refuses:
                raise ContradictionError(position, "refused")
            position = advance(position, record)
            self.applied.append(record.seq)
        assert position == end
        self.answers += answers

    async def _rejoin(self) -> Position | None:
        return self.taken_at

    async def _rebuild(self) -> Position:
        self.rebuilds += 1
        _, end = await replay(self.log, GENESIS)
        self.applied = list(range(1, end.seq + 1))
        return end

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Edge"]:
        task = asyncio.create_task(self.follower.run())
        try:
            yield self
            assert not task.done(), "the follower must not end"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @property
    def state(self) -> Following:
        return self.follower.state

    async def until_state(self, state: Following) -> None:
        await until(lambda: self.state is state, state)


async def write(log: MemoryLog, events: Sequence[object], answers: Sequence[object] = ()) -> Head:
    """Append as the leader of the current epoch does."""
    head = await log.head()
    assert head
    if not head.epoch:
        await log.claim("allocator", 10_000, GENESIS)
        head = await log.head()
        assert head
    batch = build(
        head,
        events,  # type: ignore[arg-type]
        by="allocator",
        epoch=head.epoch,
        commit_ms=await log.now_ms(),
        batch_id=secrets.token_hex(4),
        answers=answers,  # type: ignore[arg-type]
    )
    written, _ = await commit(log, batch)
    return written.after


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
async def log(server: MemoryServer) -> Tampering:
    made = Tampering("ams01", server)
    await made.create(GENESIS)
    await write(made, EVENTS)
    return made


class TestFollowing:
    async def test_each_event_is_applied_once_in_order(self, log: Tampering) -> None:
        """From nothing to live, and on with what comes."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            await write(log, [EpochStarted(cause="more")])
            await until(lambda: len(edge.applied) == COUNT + 1)

        assert edge.applied == list(range(1, COUNT + 2))
        assert edge.states == [Following.LIVE]

    @pytest.mark.parametrize(("compare_s", "foreseen"), [(60, (COUNT // 10 + 1) // 2), (0, 0)])
    async def test_what_was_asked_for_ahead_comes_next(
        self,
        server: MemoryServer,
        log: Tampering,
        monkeypatch: pytest.MonkeyPatch,
        compare_s: float,
        foreseen: int,
    ) -> None:
        """Behind a full page it goes on with what was asked for then, unless the head was looked at
        since: that knows of events which were not there yet."""
        monkeypatch.setattr(follower, "READ_COUNT", 10)
        monkeypatch.setattr(follower, "COMPARE_S", compare_s)
        foreseeing = Foreseeing("ams01", server)
        async with Edge(foreseeing).running() as edge:
            await edge.until_state(Following.LIVE)

        assert edge.applied == list(range(1, COUNT + 1))
        assert foreseeing.foreseen == foreseen
        assert edge.states == [Following.LIVE]

    async def test_answers_of_the_past_are_not_read(self, log: Tampering) -> None:
        """Only answers that came since the start matter: nobody waits for older ones."""
        await write(log, [], [Refused(req="old", reason="pool-full")])
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            await write(log, [], [Refused(req="new", reason="pool-full")])
            await until(lambda: bool(edge.answers))

        assert [answered.answer.req for answered in edge.answers] == ["new"]

    async def test_an_unreadable_answer_is_passed_over(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """An answer is no state, so a damaged one does not stop the log."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            server.site("ams01").answers.add_now(server.now_ms(), {b"v": b"9"})
            await write(log, [], [Refused(req="next", reason="pool-full")])
            await until(lambda: bool(edge.answers))

        assert [answered.answer.req for answered in edge.answers] == ["next"]


class TestMark:
    async def test_nothing_is_applied_before_replicas_hold_it(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """Up to the mark, and further only when it moves, with the answers that came (I2)."""
        site, held = server.site("ams01"), await log.read("0-0", 1000)
        assert site.head
        site.head = replace(site.head, committed=COUNT - 3, committed_h=held[COUNT - 4].h)
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            await write(log, [EpochStarted(cause="more")], [Refused(req="x", reason="pool-full")])
            await asyncio.sleep(0.1)
            assert edge.applied == list(range(1, COUNT - 2))
            assert not edge.answers
            site.head = replace(site.head, committed=COUNT + 1, committed_h=site.head.h)
            await until(lambda: len(edge.applied) == COUNT + 1)
            await until(lambda: bool(edge.answers))

        assert edge.applied == list(range(1, COUNT + 2))
        assert edge.states == [Following.LIVE]
        assert edge.rebuilds == 0

    async def test_a_mark_on_another_event_is_no_leave(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """Replicas hold another event under that number: what was read comes from a server that
        is not theirs. It is not applied, and the next one is asked."""
        site = server.site("ams01")
        assert site.head
        right = site.head.h
        site.head = replace(site.head, committed=COUNT, committed_h="ab" * 8)
        log.elsewhere = lambda: replace(site.head, committed_h=right)
        async with Edge(log).running() as edge:
            await edge.until_state(Following.HALTED)
            assert edge.applied == []
            await edge.until_state(Following.LIVE)

        assert edge.states == [Following.HALTED, Following.LIVE]
        assert edge.applied == list(range(1, COUNT + 1))

    @pytest.mark.usefixtures("log")
    async def test_a_mark_of_another_server_is_no_leave(self, server: MemoryServer) -> None:
        """Replicas of a promoted server hold more events than the deposed one that is read has:
        none of its own is applied, however low its number, and the next one is asked (I2)."""
        apart = await led_apart(server, ["promoted", "more"])
        async with Edge(apart).running() as edge:
            await until(lambda: len(edge.applied) == COUNT + 2)

        assert edge.states == [Following.UNREACHABLE, Following.CATCHING_UP, Following.LIVE]

    @pytest.mark.usefixtures("log")
    async def test_tables_are_not_rebuilt_from_two_servers(self, server: MemoryServer) -> None:
        """What ends at the mark of a promoted server, but with another event, comes from a deposed
        one (I2): the next one is asked."""
        apart = await led_apart(server, ["promoted"])
        with pytest.raises(LogUnavailableError):
            await replay(apart)
        _, end = await replay(apart)

        head = await apart.head()
        assert head
        assert end.h == head.h

    @pytest.mark.parametrize(("ahead", "rebuilds"), [(COUNT, 0), (20, 1)])
    async def test_what_replicas_hold_is_read_to_its_end(
        self,
        log: Tampering,
        server: MemoryServer,
        monkeypatch: pytest.MonkeyPatch,
        ahead: int,
        rebuilds: int,
    ) -> None:
        """More than one read fetches is applied in one go; what is too much for that is rebuilt."""
        monkeypatch.setattr(follower, "READ_COUNT", 10)
        monkeypatch.setattr(follower, "MAX_AHEAD", ahead)
        site = server.site("ams01")
        assert site.head
        site.head = replace(site.head, committed=COUNT, committed_h=site.head.h)
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            more = [EpochStarted(cause="more")] * 15
            head = await write(log, more, [Refused(req="x", reason="pool-full")])
            site.head = replace(site.head, committed=head.seq, committed_h=head.h)
            await until(lambda: bool(edge.answers))
            assert edge.applied == list(range(1, COUNT + 16))

        assert edge.rebuilds == rebuilds

    async def test_nothing_is_applied_for_a_mark_whose_event_is_missing(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """Without the event that replicas hold nobody knows whether they hold those before it."""
        site = server.site("ams01")
        assert site.head
        held = await log.read("0-0", 1000)
        site.head = replace(site.head, committed=COUNT - 1, committed_h=held[-2].h)
        log.tamper = lambda records: [r for r in records if r.seq != COUNT - 1]
        async with Edge(log).running() as edge:
            edge.follower._apply = lambda *_: pytest.fail("it applied some")
            await until(lambda: Following.GAP in edge.states)


class TestTampering:
    @pytest.mark.parametrize("index", [0, 1, COUNT // 2, COUNT - 2])
    async def test_a_dropped_event_is_noticed(self, log: Tampering, index: int) -> None:
        """One event missing from the stream: nothing behind it is applied, the tables are
        rebuilt."""
        log.tamper = lambda records: records[:index] + records[index + 1 :]
        async with Edge(log).running() as edge:
            await until(lambda: edge.rebuilds > 0)
            log.tamper = None
            await edge.until_state(Following.LIVE)

        assert Following.GAP in edge.states
        assert edge.applied == list(range(1, COUNT + 1))

    async def test_a_dropped_last_event_is_noticed(self, log: Tampering) -> None:
        """The head says that there is more than comes: behind without progress is a gap."""
        log.tamper = lambda records: records[:-1]
        async with Edge(log).running() as edge:
            await until(lambda: edge.rebuilds > 0)

        assert Following.GAP in edge.states

    @pytest.mark.parametrize("index", [0, 1, COUNT // 2, COUNT - 1])
    async def test_a_doubled_event_is_noticed(self, log: Tampering, index: int) -> None:
        """One event that comes twice halts the follower; it is not applied twice."""
        log.tamper = lambda records: records[: index + 1] + records[index:]
        async with Edge(log).running() as edge:
            await edge.until_state(Following.HALTED)

        assert edge.applied == list(range(1, len(edge.applied) + 1))

    @pytest.mark.parametrize("index", [0, COUNT // 2, COUNT - 2])
    async def test_swapped_events_are_noticed(self, log: Tampering, index: int) -> None:
        """Two events in the wrong order are a gap; neither is applied out of order."""

        def swap(records: list[Record]) -> list[Record]:
            first, second = records[index : index + 2]
            return [*records[:index], second, first, *records[index + 2 :]]

        log.tamper = swap
        async with Edge(log).running() as edge:
            await until(lambda: bool(edge.states))
            assert edge.states[0] is Following.GAP
            log.tamper = None
            await edge.until_state(Following.LIVE)

        assert edge.applied == list(range(1, COUNT + 1))

    async def test_an_edited_event_is_noticed(self, log: Tampering) -> None:
        """An event whose hash does not continue the log halts the follower."""
        log.tamper = lambda records: [
            replace(r, octets=r.octets[:-1] + b"?") if r.seq == 5 else r for r in records
        ]
        async with Edge(log).running() as edge:
            await edge.until_state(Following.HALTED)

        assert edge.applied == []


class TestWrongLogs:
    async def test_a_log_that_went_back_is_not_followed(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """REGRESSED: nothing new is accepted from a log that lost what was applied."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            self._cut(server, (await log.read("0-0", 10))[-1])
            await edge.until_state(Following.REGRESSED)
            await write(log, [EpochStarted(cause="another life")])
            await asyncio.sleep(0.05)

        assert edge.state is Following.REGRESSED
        assert edge.applied == list(range(1, COUNT + 1))

    async def test_a_log_that_takes_the_edge_back_is_followed_again(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """I4, I13: nothing is read of a log that went back until it is agreed where to go on."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            last = (await log.read("0-0", 10))[-1]
            self._cut(server, last)
            await edge.until_state(Following.REGRESSED)
            edge.applied = list(range(1, last.seq + 1))
            edge.taken_at = Position(GENESIS).behind(last)
            await edge.until_state(Following.LIVE)
            await write(log, [EpochStarted(cause="another life")])
            await until(lambda: len(edge.applied) == last.seq + 1)

        assert edge.applied == list(range(1, last.seq + 2))

    def _cut(self, server: MemoryServer, last: Record) -> None:
        """The log goes back to `last`."""
        site = server.site("ams01")
        lost, count = site.events, last.seq
        assert site.head
        site.events = type(lost)(lost.ids[:count], lost.entries[:count], lost.ids[count - 1])
        site.head = replace(site.head, seq=count, h=last.h, last_id=last.entry_id)

    @pytest.mark.parametrize("how", ["other genesis", "no log", "damaged"])
    async def test_a_foreign_log_is_not_followed(
        self, log: Tampering, server: MemoryServer, how: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """FOREIGN: a log of another genesis, none, or one that cannot be read is told, not
        followed, and does not end the agent."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            site = server.site("ams01")
            assert site.head
            if how == "other genesis":
                site.head = replace(site.head, genesis="ee" * 16)
            elif how == "no log":
                site.head = None
            else:

                async def damaged() -> Head:
                    raise follower.ForeignLogError("its head is damaged")

                monkeypatch.setattr(log, "head", damaged)
            await edge.until_state(Following.FOREIGN)

        assert edge.applied == list(range(1, COUNT + 1))

    async def test_an_older_epoch_is_not_followed(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """STALE: a source that has not heard of the epoch we know is left (I5)."""
        await log.claim("second", 10, GENESIS)
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            site = server.site("ams01")
            assert site.head
            edge.follower.position = replace(edge.follower.position, epoch=site.head.epoch + 1)
            await edge.until_state(Following.STALE)

    async def test_an_unknown_event_halts_and_stays_halted(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """An event of a newer program halts after what stands before it: never skipped, told
        once, however long it stands there."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            site = server.site("ams01")
            assert site.head
            seq, ms = site.head.seq + 1, server.now_ms()
            site.events.add((ms, seq), {b"v": b"7", b"type": b"LeaseTeleported"})
            site.head = replace(site.head, seq=seq, h="ab" * 8, last_id=f"{ms}-{seq}")
            site.wake()
            await edge.until_state(Following.HALTED)
            await asyncio.sleep(0.1)

        assert edge.applied == list(range(1, COUNT + 1))
        assert edge.states == [Following.LIVE, Following.HALTED]

    async def test_an_edge_that_is_too_old_halts_until_it_is_upgraded(
        self, log: Tampering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An event that its version does not know is told as an alarm; the next version goes on
        where it stands, with each event once (I4)."""
        await write(log, [RecoveryStarted(cause="operator"), EpochStarted(cause="more")])
        known = (b"RecoveryStarted", b"1")
        with capture_logs() as lines, monkeypatch.context() as old:
            old.delitem(wire.EVENTS, known)
            async with Edge(log).running() as edge:
                await edge.until_state(Following.HALTED)
        upgraded = Edge(log)
        upgraded.follower.position = edge.follower.position
        async with upgraded.running():
            await upgraded.until_state(Following.LIVE)

        [told] = [line for line in lines if line.get("state") is Following.HALTED]
        assert told["log_level"] == "critical"
        assert "RecoveryStarted" in told["reason"]
        assert edge.applied + upgraded.applied == list(range(1, COUNT + 3))

    async def test_an_event_against_the_tables_halts_behind_those_before_it(
        self, log: Tampering
    ) -> None:
        """What contradicts the tables is asked for again and again; what stands before it is
        applied once."""
        edge = Edge(log)
        edge.refuses = 20
        async with edge.running():
            await edge.until_state(Following.HALTED)
            await asyncio.sleep(0.05)
            assert edge.applied == list(range(1, 20))
            edge.refuses = None
            await edge.until_state(Following.LIVE)

        assert edge.applied == list(range(1, COUNT + 1))


class TestOutages:
    async def test_an_outage_is_told_and_got_over(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """UNREACHABLE while it lasts; afterwards what came meanwhile is applied."""
        async with Edge(log).running() as edge:
            await edge.until_state(Following.LIVE)
            server.is_down = True
            await edge.until_state(Following.UNREACHABLE)
            server.is_down = False
            await write(log, [EpochStarted(cause="meanwhile")])
            await edge.until_state(Following.LIVE)

        assert edge.applied == list(range(1, COUNT + 2))
        assert edge.rebuilds == 0

    async def test_a_rebuild_that_fails_is_done_later(
        self, log: Tampering, server: MemoryServer
    ) -> None:
        """Tables that cannot be gone on with are never gone on with (I8)."""
        server.is_down = True
        async with Edge(log, needs_rebuild=True).running() as edge:
            await edge.until_state(Following.UNREACHABLE)
            assert edge.applied == []
            server.is_down = False
            await edge.until_state(Following.LIVE)

        assert edge.rebuilds == 2

    async def test_a_log_with_a_hole_halts(self, log: Tampering, server: MemoryServer) -> None:
        """Where even a rebuild meets a gap, the follower halts instead of turning in circles."""
        site = server.site("ams01")
        del site.events.ids[10], site.events.entries[10]
        async with Edge(log).running() as edge:
            await edge.until_state(Following.HALTED)
            rebuilds = edge.rebuilds
            await asyncio.sleep(0.1)

        assert edge.states == [Following.GAP, Following.HALTED]
        assert edge.rebuilds - rebuilds < 20

    async def test_a_failing_read_is_told_once(
        self, log: Tampering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An outage of any length is one change of state (I12)."""

        async def down(*_: object, **__: object) -> None:
            raise LogUnavailableError("no reply")

        edge = Edge(log)
        monkeypatch.setattr(log, "head", down)
        async with edge.running():
            await edge.until_state(Following.UNREACHABLE)
            await asyncio.sleep(0.1)

        assert edge.states == [Following.UNREACHABLE]
