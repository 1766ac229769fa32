"""Leaders of one site: whoever dies, stops or loses a reply, the log says everything once."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from lease_core.clock import elapsed_ns
from lease_core.domain.columns import bindings_digest
from lease_core.domain.commands import Command, ReportLoss
from lease_core.domain.desk import Timing
from lease_core.domain.events import (
    EpochStarted,
    HorizonGranted,
    LeaseAssigned,
    PoolAdded,
    RecoveryStarted,
    SnapshotTaken,
)
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import Appended, Batch, ClockError, LogUnavailableError
from lease_core.log.replay import ledger_at, replay
from lease_core.log.writer import build
from lease_core.service import condition
from lease_core.service import leader as leader_module
from lease_core.service.leader import SiteLeader
from lease_core.service.snapshots import SnapshotPolicy
from tests.forging import forge
from tests.unit.service.logs import (
    FIRST,
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


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds become waits of milliseconds."""
    make_fast(monkeypatch)


@pytest.fixture
def steady(fast: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with much to do, no leadership lapses by itself."""
    monkeypatch.setattr("lease_core.service.leadership.LEADERSHIP_MS", 1000)


@pytest.fixture
async def server() -> MemoryServer:
    made = MemoryServer()
    await MemoryLog("ams01", made).create(GENESIS)
    return made


def has(log: MemoryLog, kind: type, count: int = 1) -> Callable[[], Any]:
    async def found() -> bool:
        return len(await events(log, kind)) >= count

    return found


class TestLeading:
    async def test_the_first_leader_begins_an_epoch_and_adds_the_pools(
        self, server: MemoryServer
    ) -> None:
        """A new log gets its epoch, then its pools, then what is asked."""
        log = Trying(server)
        await log.send(request(1), "bng1")
        async with running(leader_of(log, "one#1")):
            await until(has(log, LeaseAssigned))

        assert [type(event) for event in await events(log)][:3] == [
            EpochStarted,
            PoolAdded,
            LeaseAssigned,
        ]
        assert {record.by for record in await records(log)} == {"one"}

    async def test_a_pool_that_is_planned_later_is_taken_up(self, server: MemoryServer) -> None:
        """The plan grows while the site is led."""
        log = Trying(server)
        leader = leader_of(log, "one#1")
        async with running(leader):
            await until(has(log, PoolAdded))
            leader.planned.append(prefix("res-2", number=1))
            await until(has(log, PoolAdded, 2))
            await log.send(request(1, prefix(number=1).first), "bng1")
            await until(has(log, LeaseAssigned))

        numbers = [e.number for e in await events(log, PoolAdded) if isinstance(e, PoolAdded)]
        assert numbers == [1, 2]

    async def test_a_command_takes_effect_once(self, server: MemoryServer) -> None:
        """The cursor moves with the effect: a restart does not decide anything again."""
        log = Trying(server)
        for number in range(10):
            await log.send(beat(f"n{number}"), "bng1")
        for life in range(3):
            async with running(leader_of(Trying(server), f"one#{life}")):
                await until(has(log, EpochStarted, life + 1))
                await until(has(log, HorizonGranted, 10))

        granted = await events(log, HorizonGranted)
        assert [e.nonce for e in granted if isinstance(e, HorizonGranted)] == [
            f"n{number}" for number in range(10)
        ]

    async def test_a_leader_that_stops_gives_up_at_once(self, server: MemoryServer) -> None:
        """An orderly end does not cost the standby the time to live."""
        log = Trying(server)
        async with running(leader_of(log, "one#1")):
            await until(has(log, EpochStarted))
        leadership = server.site("ams01").leader

        assert leadership
        assert leadership[1] - server.now_ms() <= 1


class TestSharing:
    async def test_an_idle_site_is_left_in_peace(self, server: MemoryServer) -> None:
        """I12: who shares sites does not ask again and again for what nobody sends."""
        logs = [Trying(server), Trying(server)]
        living = frozenset({"one#1", "two#1"})
        leaders = [
            leader_of(log, f"{name}#1") for name, log in zip(("one", "two"), logs, strict=True)
        ]
        for leader in leaders:
            leader.share(living)
        async with running(*leaders):
            await until(has(logs[0], PoolAdded))
            await asyncio.sleep(0.1)
            before = sum(log.calls for log in logs)
            await asyncio.sleep(0.3)
            assert sum(log.calls for log in logs) - before <= 2

    async def test_a_change_of_the_plan_ends_the_wait(self, server: MemoryServer) -> None:
        """A pool is there as soon as it is planned, however idle its site is."""
        log = Trying(server)
        leader = leader_of(log, "one#1")
        leader.share(frozenset({"one#1"}))
        async with running(leader):
            await until(has(log, PoolAdded))
            await asyncio.sleep(0.1)
            leader.planned.append(prefix("res-2", number=1))
            leader.bell.ring()
            await until(has(log, PoolAdded, 2))

    async def test_a_dead_leader_is_not_waited_for(self, server: MemoryServer) -> None:
        """A leadership that lasts a minute more is taken over once its holder is no member."""
        logs = {name: Trying(server) for name in ("one", "two")}
        living = frozenset(f"{name}#1" for name in logs)
        leaders = {name: leader_of(log, f"{name}#1") for name, log in logs.items()}
        for leader in leaders.values():
            leader.share(living)
        client = Trying(server)
        async with running(*leaders.values()):
            await until(has(client, PoolAdded))
            dead = (await records(client))[0].by
            other = next(name for name in logs if name != dead)
            logs[dead].goes_on.clear()
            leaders[other].share(frozenset({f"{other}#1"}))
            await until(has(client, EpochStarted, 2))
            logs[dead].goes_on.set()

        assert (await records(client))[-1].by == other

    async def test_who_is_in_doubt_finds_out_that_he_is_deposed(self, server: MemoryServer) -> None:
        """I13: whoever was taken for dead notices at once that another leads, though nobody asks
        for anything; and if the other claims only after the first look, soon after."""
        log, other, client = Trying(server), Trying(server), Trying(server)
        leader = leader_of(log, "one#1")
        leader.share(frozenset({"one#1"}))
        with capture_logs() as lines:
            async with running(leader):
                await until(has(client, PoolAdded))
                leader.doubt()
                await asyncio.sleep(0.005)
                await other.claim("two#1", 60_000, GENESIS, dead="one#1")
                leader.share(frozenset({"one#1", "two#1"}))
                await until(lambda: any(line["event"] == "leadership.lost" for line in lines))


class Unsafe(Trying):
    """A server whose settings lose leases until somebody mends them."""

    faults: tuple[str, ...] = ("appendfsync is everysec: an answered client's lease could be lost",)

    async def settings_faults(self) -> list[str]:
        return list(self.faults)


class TestSettings:
    async def test_nobody_leads_where_leases_may_be_lost(self, server: MemoryServer) -> None:
        """No epoch begins and no client is answered; mended, the same process leads (I2)."""
        log = Unsafe(server)
        with capture_logs() as lines:
            async with running(leader_of(log, "one#1")):
                await until(lambda: any(line["event"] == "redis.unsafe" for line in lines))
                await log.send(beat(), "bng1")
                await asyncio.sleep(0.05)
                head = await log.head()
                log.faults = ()
                await until(has(log, HorizonGranted))

        assert head
        assert (head.epoch, head.seq) == (0, 0)
        told = [line for line in lines if line["event"] == "redis.unsafe"]
        assert [(line["log_level"], line["reason"]) for line in told] == [
            ("critical", *Unsafe.faults)
        ]

    async def test_who_insists_leads_and_it_is_told(self, server: MemoryServer) -> None:
        """The switch lets a leader on, with one critical line for each process that leads."""
        log = Unsafe(server)
        leader = SiteLeader(log, GENESIS, Timing(), "one#1", elapsed_ns, allows_unsafe=True)
        with capture_logs() as lines:
            async with running(leader):
                await until(has(log, EpochStarted))

        told = [line for line in lines if line["event"] == "redis.unsafe"]
        assert [(line["log_level"], line["is_allowed"]) for line in told] == [("critical", True)]


class TestStatus:
    async def test_a_leader_says_that_it_leads_and_what_it_decides_by(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beside the log stand its name and the digest of its bindings, which equals a replay's."""
        monkeypatch.setattr(condition, "STATUS_S", 0.01)
        monkeypatch.setattr(condition, "DIGEST_S", 0.01)
        log = Trying(server)
        await log.send(request(1), "bng1")

        async def is_told() -> bool:
            ledger, end = await replay(log)
            expected = f"{bindings_digest(ledger.bound.values())}@{end.seq}"
            return bool(ledger.bound) and (await log.status()).get("digest") == expected

        async with running(leader_of(log, "one#1")):
            await until(is_told)
        told = await log.status()

        assert (told["by"], told["is"]) == ("one#1", "leads")

    @pytest.mark.parametrize("trouble", ["log.foreign", "log.damaged", "log.unavailable"])
    async def test_trouble_is_said_beside_the_log(
        self, server: MemoryServer, trouble: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever may lead and cannot says why; when it is over, that it leads."""
        monkeypatch.setattr(condition, "STATUS_S", 0.01)
        log, site = Trying(server), server.site("ams01")
        assert site.head
        good = site.head
        failing = {"log.foreign": replace(good, genesis="99"), "log.damaged": good}
        site.head = failing.get(trouble, good)
        if trouble == "log.damaged":
            site.events.add((1, 5), {b"v": b"9", b"type": b"LeaseTeleported"})
        if trouble == "log.unavailable":
            monkeypatch.setattr(Trying, "commands", unavailable)

        async def says(word: str) -> bool:
            return (await log.status()).get("is") == word

        async with running(leader_of(log, "one#1")):
            await until(lambda: says(trouble))
            assert (await log.status())["reason"]
            monkeypatch.undo()
            make_fast(monkeypatch)
            site.events.drop(1 if trouble == "log.damaged" else 0)
            site.head = good if trouble != "log.unavailable" else site.head
            await until(lambda: says("leads"))


async def unavailable(*_: Any, **__: Any) -> None:
    raise LogUnavailableError("not now")


class TestTakeover:
    async def test_a_standby_takes_over_and_the_resumed_leader_is_fenced(
        self, server: MemoryServer
    ) -> None:
        """I5: the old leader is stopped without a word; when it wakes up it writes nothing."""
        logs = {"old": Trying(server), "new": Trying(server)}
        client = Trying(server)
        async with running(*(leader_of(log, f"{name}#1") for name, log in logs.items())):
            await until(has(client, PoolAdded))
            stopped = (await records(client))[0].by
            logs[stopped].goes_on.clear()
            await client.send(request(1), "bng1")
            await until(has(client, LeaseAssigned), "the command that waited")
            before = await records(client)
            with capture_logs() as lines:
                logs[stopped].goes_on.set()
                await until(lambda: any(x["event"] == "leadership.lost" for x in lines))
            after = await records(client)

        assert after[: len(before)] == before
        assert {record.by for record in after if record.epoch == 2} == set(logs) - {stopped}
        assert [record.epoch for record in after] == sorted(record.epoch for record in after)
        assert len(await events(client, LeaseAssigned)) == 1

    async def test_a_deposed_leader_that_has_nothing_to_say_stands_by(
        self, server: MemoryServer
    ) -> None:
        """I5: it hears by the renewal alone that it was deposed, and follows the log again."""
        old_log, new_log = Trying(server), Trying(server)
        async with running(leader_of(old_log, "old#1")):
            await until(has(new_log, PoolAdded))
            old_log.goes_on.clear()
            async with running(leader_of(new_log, "new#1")):
                await until(has(new_log, EpochStarted, 2), "the new leader")
                with capture_logs() as lines:
                    old_log.goes_on.set()
                    await until(lambda: any(x["event"] == "leadership.lost" for x in lines))

        assert {record.by for record in await records(new_log) if record.epoch == 2} == {"new"}

    async def test_who_lost_the_epoch_before_its_first_batch_has_not_won(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """I5: another may begin an epoch between a claim and what follows it; nobody leads then,
        not even for as long as it takes to be refused."""
        log, epochs = Trying(server), []

        async def deposed_at_once(owner: str, ttl_ms: int, genesis: str, above: int = 0) -> Any:
            claim = await MemoryLog.claim(log, owner, ttl_ms, genesis, above)
            if not epochs:
                server.site("ams01").leader = None
                epochs.append(await MemoryLog.claim(log, "other#1", 20, genesis))
            return claim

        monkeypatch.setattr(log, "claim", deposed_at_once)
        with capture_logs() as lines:
            async with running(leader_of(log, "one#1")):
                await until(has(log, PoolAdded))

        won = [line["epoch"] for line in lines if line["event"] == "leadership.won"]
        assert won
        assert min(won) > epochs[0].epoch

    async def test_a_leader_stopped_before_its_append_writes_nothing_after(
        self, server: MemoryServer
    ) -> None:
        """I5: a decision made before the stop is refused after it, and decided again by the
        new."""
        old_log, new_log = Trying(server), Trying(server)
        async with running(leader_of(old_log, "old#1")):
            await until(has(new_log, PoolAdded))
            old_log.goes_on.clear()
            await new_log.send(request(1), "bng1")
            async with running(leader_of(new_log, "new#1")):
                await until(has(new_log, LeaseAssigned), "the new leader")
                old_log.goes_on.set()
                await asyncio.sleep(0.05)
                assigned = [r for r in await records(new_log) if isinstance(r.event, LeaseAssigned)]

        assert [record.by for record in assigned] == ["new"]
        epochs = [record.epoch for record in await records(new_log)]
        assert epochs == sorted(epochs)

    async def test_many_takeovers_keep_one_history(self, server: MemoryServer) -> None:
        """Leaders that stop and go on at random leave a whole log, each command decided once."""
        logs = [Trying(server) for _ in range(3)]
        client = Trying(server)
        async with running(*(leader_of(log, f"a{n}#1") for n, log in enumerate(logs))):
            for number in range(1, 9):
                await client.send(request(number, FIRST), "bng1")
                stopped = logs[number % 3]
                stopped.goes_on.clear()
                await asyncio.sleep(0.03)
                stopped.goes_on.set()
            await client.send(beat("last"), "bng1")
            await until(has(client, HorizonGranted))
        ledger, _ = await replay(client, GENESIS)

        assert len(ledger.bound) == 1, "one address, one holder (I1)"
        assert len(await events(client, LeaseAssigned)) == 1


@pytest.mark.usefixtures("steady")
class TestUncertainty:
    async def test_an_append_whose_reply_was_lost_is_written_once(
        self, server: MemoryServer
    ) -> None:
        """Outcome unknown: the same batch is sent again and found there already."""
        log = Trying(server)
        async with running(leader_of(log, "one#1")):
            await until(has(log, PoolAdded))
            log.lost = 5
            for number in range(1, 6):
                await log.send(request(number), "bng1")
                await until(has(log, LeaseAssigned, number))

        assigned = await events(log, LeaseAssigned)
        assert len(assigned) == len({e.req for e in assigned if isinstance(e, LeaseAssigned)}) == 5
        assert len(await events(log, EpochStarted)) == 1, "nobody lost the leadership"

    async def test_an_append_that_never_arrived_is_written(self, server: MemoryServer) -> None:
        """Outcome unknown and not written: sent again until it is; said once, not each time."""
        log = Trying(server)
        with capture_logs() as lines:
            async with running(leader_of(log, "one#1")):
                await until(has(log, PoolAdded))
                log.unsent = 7
                await log.send(request(1), "bng1")
                await until(has(log, LeaseAssigned))
                await until(lambda: any(x["event"] == "append.settled" for x in lines))

        assert len(await events(log, LeaseAssigned)) == 1
        assert sum(line["event"] == "append.unsettled" for line in lines) == 1

    async def test_an_outage_is_said_once_and_got_over(self, server: MemoryServer) -> None:
        """I12: however long the log is away, one line; then the site is led on."""
        log = Trying(server)
        with capture_logs() as lines:
            async with running(leader_of(log, "one#1")):
                await until(has(log, PoolAdded))
                server.is_down = True
                await asyncio.sleep(0.1)
                server.is_down = False
                await log.send(request(1), "bng1")
                await until(has(log, LeaseAssigned))

        told = [x["event"] for x in lines if x["event"] in {"log.unavailable", "append.unsettled"}]
        assert len(told) == 1

    async def test_another_clock_is_followed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The log's clock is an hour ahead: the batch is written at its time, once."""
        server = MemoryServer(now_ms=lambda: 1_900_000_000_000)
        log = Trying(server)
        await log.create(GENESIS)
        await log.send(request(1), "bng1")
        async with running(leader_of(log, "one#1")):
            await until(has(log, LeaseAssigned))
            appends = log.appends

        assert all(0 <= r.commit_ms - 1_900_000_000_000 < 1000 for r in await records(log))
        assert appends <= 5, "the difference is remembered"

    async def test_a_clock_that_keeps_jumping_does_not_end_the_allocator(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Refused for its time again and again, the batch waits until the clock stands."""
        log, refusals = Trying(server), 9

        async def jumping(batch: Any) -> Any:
            nonlocal refusals
            if refusals:
                refusals -= 1
                raise ClockError(server.now_ms() + refusals)
            return await MemoryLog.append(log, batch)

        monkeypatch.setattr(log, "append", jumping)
        await log.send(request(1), "bng1")
        async with running(leader_of(log, "one#1")):
            await until(has(log, LeaseAssigned))

        assert refusals == 0
        assert len(await events(log, EpochStarted)) == 1


class Slow(Trying):
    """Its appends arrive when they are let through, the others at once."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server)
        self.let_through = asyncio.Event()
        self.let_through.set()
        self.asked_for = 0
        """Appends."""

    async def append(self, batch: Batch) -> Appended:
        self.asked_for += 1
        await self.let_through.wait()
        return await super().append(batch)

    async def hold(self, *commands: Command) -> None:
        """Of a leader who has come to rest, hold up the append that these commands make."""
        await until(self.status)
        self.let_through.clear()
        asked_for = self.asked_for
        for command in commands:
            await self.send(command, "bng1")
        await until(lambda: self.asked_for > asked_for)


@pytest.fixture
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two commands are many."""
    monkeypatch.setattr(leader_module, "READ_AT_ONCE", 2)
    monkeypatch.setattr(leader_module, "MANY", 2)


@pytest.mark.usefixtures("steady", "two_at_once")
class TestAppendsUnderWay:
    async def test_the_next_are_decided_meanwhile_and_no_more(self, server: MemoryServer) -> None:
        """I12: while one append is under way, what the next takes is decided; the rest waits in
        the log. Afterwards all are served."""
        log = Slow(server)
        leader = leader_of(log, "one#1")
        async with running(leader):
            await log.hold(*map(request, range(1, 10)))
            await until(lambda: decided(leader) == 4)
            await asyncio.sleep(0.05)
            assert (decided(leader), await events(log, LeaseAssigned)) == (4, [])
            log.let_through.set()
            await until(has(log, LeaseAssigned, 9))

    async def test_a_refusal_voids_what_was_decided_behind_it(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """I5: who is fenced with more decided behind decides no more; whoever leads next decides
        all of it."""
        log, void = Slow(server), []
        leader = leader_of(log, "one#1")
        forget = leader._warm.forget

        def noted() -> None:
            void.append(decided(leader))
            forget()

        monkeypatch.setattr(leader._warm, "forget", noted)
        async with running(leader):
            await log.hold(*map(request, range(1, 10)))
            await until(lambda: decided(leader) == 4)
            server.site("ams01").leader = None
            await Trying(server).claim("two#1", 20, GENESIS)
            with capture_logs() as lines:
                log.let_through.set()
                await until(has(log, LeaseAssigned, 9))

        assert [line["event"] for line in lines].count("leadership.lost") == 1
        assert void == [4]
        assert {r.epoch for r in await records(log) if isinstance(r.event, LeaseAssigned)} == {3}

    async def test_who_cannot_read_goes_on_with_what_the_log_holds(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """I3: commands cannot be read while an append is under way; it is settled first, and the
        same leader goes on with a ledger that equals the log."""
        log = Slow(server)
        leader = leader_of(log, "one#1")
        async with running(leader):
            monkeypatch.setattr(Trying, "commands", once(Trying.commands))
            await log.hold(request(1), request(2))
            await asyncio.sleep(0.05)
            log.let_through.set()
            monkeypatch.undo()
            make_fast(monkeypatch)
            await log.send(request(3), "bng1")
            await until(has(log, LeaseAssigned, 3))
        ledger, _ = await replay(log, GENESIS)

        assert (len(ledger.bound), ledger.epoch) == (3, 1)

    async def test_a_snapshot_is_taken_however_many_commands_wait(
        self, server: MemoryServer
    ) -> None:
        """I3: where the next append always follows, a leader waits until the log holds all of its
        ledger."""
        log = Trying(server)
        policy = SnapshotPolicy(events=3, pause_s=0)
        for number in range(1, 100):
            await log.send(request(number), "bng1")
        async with running(leader_of(log, "one#1", [prefix(size=200)], policy=policy)):
            await until(has(log, LeaseAssigned, 99))
        [taken, *_] = await events(log, SnapshotTaken)
        assert isinstance(taken, SnapshotTaken)

        assert taken.covers < 50
        assert (await ledger_at(log, taken.covers, below=taken.covers)).digest() == taken.digest


def once(read: Any) -> Any:
    """`read` when it finds something for the first time; then it fails."""
    found: list[Any] = []

    async def commands(*args: Any, **more: Any) -> Any:
        if found:
            raise LogUnavailableError("not now")
        found.extend(await read(*args, **more))
        return list(found)

    return commands


def decided(leader: SiteLeader) -> int:
    """Leases, whether the log holds them or not."""
    return len(leader._warm.ledger.bound)


class TestPoison:
    async def test_an_unreadable_command_is_passed_over(self, server: MemoryServer) -> None:
        """What no program can read is refused, counted and left behind."""
        log = Trying(server)
        with capture_logs() as lines:
            async with running(leader_of(log, "one#1")):
                await until(has(log, PoolAdded))
                commands = server.site("ams01").commands
                for entry in ({b"v": b"9"}, {}, {b"v": b"1", b"cmd": b"\xff\n"}):
                    commands.add_now(server.now_ms(), entry)
                await log.send(request(1), "bng1")
                await until(has(log, LeaseAssigned))

        refused = [line for line in lines if line["event"] == "command.refused"]
        assert [line["reason"] for line in refused] == ["unreadable"] * 3


@pytest.mark.usefixtures("steady")
class TestAnotherServer:
    async def test_who_led_leads_anew_at_a_promoted_replica(self, server: MemoryServer) -> None:
        """I5, I6: a leader that lost nothing begins an epoch there, and so extends A, before it
        decides anything."""
        log = Trying(server)
        async with running(leader_of(log, "one#1")):
            await until(has(log, PoolAdded))
            server.site("ams01").server += 1
            await log.send(request(1), "bng1")
            await until(has(log, LeaseAssigned))

        begun = await events(log, EpochStarted)
        [assigned] = [r for r in await records(log) if isinstance(r.event, LeaseAssigned)]
        assert [event.cause for event in begun] == ["first-start", "takeover"]
        assert assigned.epoch == 2


class TestDamage:
    @pytest.mark.parametrize(
        "how", ["unreadable", "gap", "forged", "contradiction", "foreign", "no tail", "empty"]
    )
    async def test_a_damaged_log_is_not_led_and_harms_nobody_else(
        self, server: MemoryServer, how: str
    ) -> None:
        """A log that cannot be replayed stops its site, said once, while another site goes on;
        no epoch is burnt on it."""
        log = Trying(server)
        async with running(leader_of(log, "one#1")):
            await until(has(log, PoolAdded))
        await self._damage(server, log, how)
        other = Trying(server, "fra01")
        await other.create(GENESIS)
        head = await log.head()
        assert head
        with capture_logs() as lines:
            async with running(leader_of(log, "two#1"), leader_of(other, "two#1")):
                await until(has(other, PoolAdded))
                await asyncio.sleep(0.1)
                after = await log.head()

        told = [x for x in lines if x["event"] in {"log.damaged", "log.foreign"}]
        assert [x["site"] for x in told] == ["ams01"]
        assert after == head

    async def _damage(self, server: MemoryServer, log: MemoryLog, how: str) -> None:
        site = server.site("ams01")
        assert site.head
        site.leader = None
        if how == "unreadable":
            forge(site.events, 1, b"type", b"Unheard")
        elif how == "gap":
            del site.events.ids[0], site.events.entries[0]
        elif how == "forged":
            forge(site.events, 1, b"gateway", b"10.6.6.6")
        elif how == "no tail":
            del site.events.ids[-1], site.events.entries[-1]
        elif how == "empty":
            site.events.ids.clear()
            site.events.entries.clear()
        elif how == "foreign":
            site.head = replace(site.head, genesis="ee" * 16)
        else:
            doubled = build(
                site.head,
                list(await events(log, PoolAdded)),
                by="x",
                epoch=site.head.epoch,
                commit_ms=server.now_ms(),
                batch_id=secrets.token_hex(4),
            )
            await log.append(doubled)

    async def test_a_log_that_went_back_is_led_in_recovery(self, server: MemoryServer) -> None:
        """I1, I5: a leader that saw more than the log holds begins a newer epoch and assigns
        nothing on it, because what was lost may be promised."""
        log = Trying(server)
        with capture_logs() as lines:
            async with running(leader_of(log, "one#1")):
                await log.send(request(1), "bng1")
                await until(has(log, LeaseAssigned))
                await asyncio.sleep(0.02)
                site = server.site("ams01")
                assert site.head
                kept = (await records(log))[1]
                del site.events.ids[2:], site.events.entries[2:]
                site.head = replace(site.head, seq=2, h=kept.h, last_id=kept.entry_id)
                await log.send(request(2, FIRST), "bng1")
                await until(has(log, RecoveryStarted))
                await until(lambda: any(x.get("reason") == "recovering" for x in lines))

        assert len(await events(log, LeaseAssigned)) == 0
        assert [record.epoch for record in await records(log)][-2:] == [2, 2]
        assert sum(x["event"] == "log.went-back" for x in lines) == 1

    async def test_a_log_whose_past_was_exchanged_is_led_in_recovery(
        self, server: MemoryServer
    ) -> None:
        """A log of the same length, or longer, that holds other events is told from ours."""
        log = Trying(server)
        async with running(leader_of(log, "one#1")):
            await until(has(log, PoolAdded))
            await asyncio.sleep(0.02)
            other = MemoryServer()
            copy = MemoryLog("ams01", other)
            await copy.create(GENESIS)
            async with running(leader_of(copy, "evil#1", [prefix(size=3)])):
                await until(has(copy, PoolAdded))
                await copy.send(request(1), "x")
                await until(has(copy, LeaseAssigned))
            site, forged = server.site("ams01"), other.site("ams01")
            site.events, site.head = forged.events, forged.head
            site.leader = None
            await until(has(log, RecoveryStarted))

    async def test_a_newer_epoch_that_an_edge_has_seen_is_outrun(
        self, server: MemoryServer
    ) -> None:
        """I5: nobody here remembers what was lost, but the edge does: it comes over only to an
        epoch above its own, and the leader begins one."""
        log = Trying(server)
        loss = ReportLoss(req="x", edge="bng1", incarnation="a", epoch=7, applied=99)
        async with running(leader_of(log, "one#1")):
            await until(has(log, PoolAdded))
            await log.send(loss, "bng1")
            await until(lambda: server.site("ams01").head.epoch == 8)  # type: ignore[union-attr]
            await log.send(loss, "bng1")
            await until(has(log, RecoveryStarted))

    async def test_a_log_in_the_place_of_a_lost_one_begins_in_recovery(
        self, server: MemoryServer
    ) -> None:
        """What was promised by the log that is gone is known to edges alone."""
        log = Trying(server)
        leader = leader_of(log, "one#1", replaces="0d" * 16)
        async with running(leader):
            await until(has(log, PoolAdded))
        async with running(leader_of(log, "two#1")):
            await until(has(log, EpochStarted, 2))

        [started] = await events(log, RecoveryStarted)
        assert started.replaces == "0d" * 16  # type: ignore[union-attr]
