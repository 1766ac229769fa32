"""Clocks under an edge: what is slewed is borne, what is stepped or stopped costs the horizon."""

import random
import shutil
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from edge_agent.agent.config import EdgeConfig
from edge_agent.agent.opening import open_datapath
from edge_agent.agent.runtime import now
from edge_agent.agent.slow_path import Now
from edge_agent.agent.status import report_of
from edge_agent.datapath.errors import FastPathError
from edge_agent.sync.clock_watch import TOLERANCE_NS, ClockWatch
from edge_agent.sync.far_clock import FarClock
from edge_agent.sync.follower import Following
from edge_agent.sync.horizon import RATE_ERROR
from lease_core import clock
from lease_core.domain.commands import AckRemoval, ReportExpiry
from lease_core.domain.events import LeaseExpired, RemovalAcked
from lease_core.domain.ledger import Ledger
from tests.unit.agent.town import SECOND, Town, discover, release, renewing

HOUR = 3600 * SECOND
YEAR = 8766 * HOUR


@pytest.mark.parametrize(
    ("boot_went", "elapsed_went", "is_steady"),
    [
        (SECOND, SECOND, True),
        (SECOND * 12 // 11, SECOND, True),
        (SECOND - SECOND // 12, SECOND, True),
        (HOUR, HOUR, True),
        (5 * HOUR, 5 * HOUR, True),
        (SECOND + HOUR, SECOND, False),
        (SECOND - HOUR, SECOND, False),
        (SECOND + 10 * YEAR, SECOND, False),
        (0, SECOND, False),
        (SECOND, 0, False),
        (-HOUR, -HOUR, False),
        (-SECOND // 2, -SECOND // 2, False),
        (SECOND + TOLERANCE_NS // 2, SECOND, True),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else f"{value / SECOND:.2f}s",
)
def test_shapes(boot_went: int, elapsed_went: int, is_steady: bool) -> None:
    """Slewing, suspending and pausing move both clocks; stepping or stopping one of them shows."""
    watch = ClockWatch(20 * YEAR, 20 * YEAR)

    assert watch.are_steady(20 * YEAR + boot_went, 20 * YEAR + elapsed_went) is is_steady
    assert watch.are_steady(20 * YEAR + boot_went + SECOND, 20 * YEAR + elapsed_went + SECOND), (
        "once"
    )


class TestEdge:
    @pytest.mark.parametrize("step_ns", [HOUR, -HOUR, 10 * YEAR])
    async def test_a_stepped_clock_costs_the_horizon(self, step_ns: int) -> None:
        """I6: E is given up, nobody is answered, and a heartbeat brings service back."""
        town = await Town().begin()
        ip = await town.lease(1)
        stepped = Now(town.ns + 20 * YEAR + step_ns, town.ns)
        town.edge.touch(Now(town.ns, town.ns))
        with capture_logs() as lines:
            town.edge.touch(stepped)
        town.edge.receive(renewing(1, ip).octets, 7, stepped)

        assert [line["event"] for line in lines] == ["clock.unsteady"]
        assert town.edge.horizon.remaining_s(town.ns) == 0
        assert town.edge.datapath.state().horizon_boot_ns <= stepped.boot_ns
        assert town.frames[1:] == []

    async def test_promises_are_not_told_over_by_a_stepped_clock(self) -> None:
        """I1, I7: until the E of before has passed, no removal is acknowledged, no end reported."""
        town = await Town().begin()
        ip = await town.lease(1)
        await town.lease(2)
        await town.send(release(1, ip))
        left_ns = int(town.edge.horizon.remaining_s(town.ns) * SECOND)
        stepped = Now(town.ns + 10 * HOUR, town.ns)
        town.edge.touch(stepped)
        town.edge.horizon.beat("n", town.ns)
        town.edge.horizon._end_elapsed_ns = town.ns + 100 * HOUR
        town.edge.touch(stepped)
        town.commands.clear()

        def tells(at: Now) -> list[type]:
            town.edge.touch(at)
            town.edge.duties.acknowledge(town.edge.duties.due_removals(at), at)
            town.edge.duties.report_expiries(at)
            return [type(c) for c in town.commands if isinstance(c, AckRemoval | ReportExpiry)]

        assert tells(Now(stepped.boot_ns + left_ns - SECOND, town.ns + left_ns - SECOND)) == []
        assert AckRemoval in tells(
            Now(stepped.boot_ns + left_ns + SECOND, town.ns + left_ns + SECOND)
        )

    @pytest.mark.parametrize("when", ["before", "while dead"])
    async def test_the_next_agent_knows_that_promises_look_too_short(self, when: str) -> None:
        """I1, I7: a step that only a former process saw, or none, is not forgotten: until the E of
        before has passed nothing is said of promises, and a lost log is told all of them."""
        town = await Town().begin()
        ip = await town.lease(1)
        await town.lease(2)
        await town.send(release(1, ip))
        left_ns = int(town.edge.horizon.remaining_s(town.ns) * SECOND)
        step_ns = 10 * HOUR
        if when == "before":
            town.edge.touch(Now(town.ns + step_ns, town.ns))
        town.step_ns = step_ns
        town.restart_edge()
        town.edge.following = Following.LIVE
        told = town.edge.unknown_to(Ledger(), town.now)
        assert [report.state for report in told] == ["removed", "bound"]
        await town.wait(left_ns // SECOND - 60)
        assert await town.events(RemovalAcked, LeaseExpired) == []
        await town.wait(180)

        assert len(await town.events(RemovalAcked, LeaseExpired)) >= 2

    async def test_a_step_within_the_grace_is_seen_before_the_acknowledgement(self) -> None:
        """I7: promises are read by the clocks of the last look, not by what came behind it."""
        town = await Town().begin()
        await town.send(release(1, await town.lease(1)))
        due = town.edge.duties.due_removals(town.now)
        assert due
        town.step_ns = 10 * HOUR
        town.commands.clear()
        town.edge.touch(town.now)
        town.edge.duties.acknowledge(due, town.now)

        assert town.commands == []

    async def test_an_agent_that_slept_through_its_horizon_answers_nobody(self) -> None:
        """Stopped longer than E: the first look says so, and no client is answered before it."""
        town = await Town().begin()
        ip = await town.lease(1)
        town.ns += 5 * HOUR
        assert await town.send(renewing(1, ip)) == []
        with capture_logs() as lines:
            town.edge.touch(town.now)

        assert [(line["event"], line["paused_s"]) for line in lines] == [("agent.paused", 18_000)]
        assert await town.send(renewing(1, ip)) == []
        assert await town.send(discover(2)) == []
        await town.beat()
        assert len(await town.send(renewing(1, ip))) == 1

    async def test_heartbeats_in_vain_are_told_once(self) -> None:
        """After three misses one line, and one when an answer comes."""
        town = await Town().begin()
        with capture_logs() as lines:
            for _ in range(10):
                town.edge.heartbeat(town.now)
            assert report_of(town.edge, town.now)["heartbeats_unanswered"] == "10"
            await town.beat()
        told = [line["event"] for line in lines if line["event"].startswith("horizon.un")]

        assert told == ["horizon.unanswered"]
        assert [line["event"] for line in lines].count("horizon.answered") == 1
        assert report_of(town.edge, town.now)["heartbeats_unanswered"] == "0"


class TestPause:
    async def test_a_machine_that_was_paused_with_its_clocks_gives_up_its_horizon(self) -> None:
        """I6: the allocator's clock went on; a grant that was under way counts from a moment that
        is further back than it seems. The edge asks anew and goes on."""
        town = await Town().begin()
        ip = await town.lease(1)
        await town.wait(60)
        await town.log.send(town.edge.heartbeat(town.now), "bng1")
        town.ns, town.stood_ns = town.ns + 600 * SECOND, 600 * SECOND
        await town.allocate()
        with capture_logs() as lines:
            await town.follow()
        [stopped] = [line for line in lines if line["event"] == "clock.stopped"]

        assert 597_000 < stopped["stood_ms"] <= 600_000
        assert town.edge.must_ask
        assert await town.send(renewing(1, ip)) == []
        await town.beat()
        assert not town.edge.must_ask
        assert [r.lease_s for r in await town.send(renewing(1, ip))] == [3600]
        left_s = town.edge.horizon.remaining_s(town.now.elapsed_ns)
        assert left_s <= 14_400 * (1 - 1e-3)

    def test_an_allocator_of_another_epoch_has_another_clock(self) -> None:
        """Its clock began elsewhere; that is no pause."""
        far = FarClock()
        assert far.stood_still_ns(1, 10 * HOUR, 0, SECOND) == 0
        assert far.stood_still_ns(2, 20 * HOUR, 60 * SECOND, 61 * SECOND) == 0
        assert far.stood_still_ns(2, 21 * HOUR, 120 * SECOND, 121 * SECOND) > 0

    def test_every_long_pause_is_told_and_nothing_else(self) -> None:
        """I6: whatever the rates within rho and the delays, a pause that is 2.5 s longer than the
        way there and back, and the way there before, shows in the answer; delays never do."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        for _ in range(300):
            far, rate, ours_s, far_s = FarClock(), 1 + chance.uniform(-1, 1) * RATE_ERROR, 0.0, 0.0
            before_s = 0.0
            for beat in range(20):
                there_s, back_s = chance.expovariate(1), chance.expovariate(1)
                is_last = beat == 19
                paused_s = before_s + there_s + back_s + 2.5 if is_last else 0.0
                is_under_way = chance.random() < 0.5
                far_s += 0 if is_under_way else paused_s
                sent_s = ours_s
                read_s = far_s + (there_s + is_under_way * paused_s) * rate
                ours_s += there_s + back_s
                times = (int(each * SECOND) for each in (read_s, sent_s, ours_s))
                assert bool(far.stood_still_ns(1, *times)) is is_last, f"seed {seed}"
                wait_s = chance.uniform(1, 60)
                ours_s += wait_s
                far_s = read_s + (back_s + wait_s) * rate
                before_s = there_s


class TestTimeNamespace:
    def test_it_is_refused_for_the_kernel_and_harmless_without(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An agent whose clock is not the kernel's cannot tell it E; user space has one clock."""
        monkeypatch.setattr("edge_agent.agent.opening.boot_offset_s", lambda: 100_000)
        base = {"site": "ams01", "edge": "bng1", "interfaces": ("access0",)}

        with pytest.raises(FastPathError, match="time namespace, 100000 s off"):
            open_datapath(EdgeConfig.model_validate(base | {"datapath": "xdp"}))
        assert open_datapath(EdgeConfig.model_validate(base)).kind == "user space"

    def test_a_real_one_is_seen(self) -> None:
        """The offset is read where the kernel keeps it; without a namespace it is 0."""
        assert clock.boot_offset_s() == 0
        unshare = shutil.which("unshare")
        look = "from lease_core import clock; print(clock.boot_offset_s())"
        if unshare is None:
            pytest.skip("unshare is not installed")
        found = subprocess.run(
            [unshare, "--time", "--fork", "--boottime", "100000", sys.executable, "-c", look],
            capture_output=True,
            text=True,
            check=False,
        )
        if found.returncode:
            pytest.skip(f"no time namespaces here: {found.stderr.strip()}")
        assert found.stdout.strip() == "100000"


def test_both_clocks_are_read_together() -> None:
    """The agent's own readings never look like a step."""
    first = now()
    watch = ClockWatch(first.boot_ns, first.elapsed_ns)
    assert all(watch.are_steady(*now()) for _ in range(1000))
