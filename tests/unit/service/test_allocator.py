"""The allocator process follows the plan; planners change it one at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from lease_core.domain.events import (
    EpochStarted,
    HorizonGranted,
    LeaseAssigned,
    OptionsPlanned,
    PoolAdded,
    PoolOptionsSet,
    PrefixPlanned,
    RecoveryStarted,
    SiteAdded,
)
from lease_core.domain.plan import (
    Plan,
    PlanRefusedError,
    add_site,
    plan_options,
    plan_prefix,
    replace_log,
)
from lease_core.domain.values import InvalidValueError, ip_from_text
from lease_core.log.keys import PLAN
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import LogUnavailableError, SiteLog
from lease_core.service import planner
from lease_core.service.allocator import Allocator
from lease_core.service.planner import change_plan, read_plan
from tests.forging import forge
from tests.unit.service.logs import (
    GENESIS,
    Trying,
    beat,
    events,
    make_fast,
    records,
    request,
)
from tests.waiting import until


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds become waits of milliseconds."""
    make_fast(monkeypatch)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


def a_site(name: str, genesis: str = GENESIS) -> Callable[[Plan], SiteAdded]:
    return lambda plan: add_site(
        plan, site=name, genesis=genesis, horizon_s=14_400, reuse_guard_s=120, cause="test"
    )


def a_pool(site: str, pool: str, network: str, **more: Any) -> Callable[[Plan], PrefixPlanned]:
    fields: dict[str, Any] = {"gateway": None, "dns": (), "lease_time_s": 3600, "cause": "test"}
    return lambda plan: plan_prefix(plan, site=site, pool=pool, network=network, **(fields | more))


def options(site: str, pool: str, *changed: str) -> Callable[[Plan], OptionsPlanned]:
    return lambda plan: plan_options(
        plan, site=site, pool=pool, changed=changed, unset=(), cause="test"
    )


async def add(server: MemoryServer, change: Callable[[Plan], Any]) -> None:
    event = await change_plan(MemoryLog(PLAN, server), "operator", change)
    if isinstance(event, SiteAdded):
        await MemoryLog(event.site, server).create(event.genesis)


@asynccontextmanager
async def allocator(server: MemoryServer, name: str = "one") -> AsyncIterator[asyncio.Task[None]]:
    async def connect(site: str) -> SiteLog:
        return Trying(server, site)

    task = asyncio.create_task(Allocator(connect, name, 0).run())
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class TestPlan:
    async def test_sites_and_pools_are_taken_up_as_they_are_planned(
        self, server: MemoryServer
    ) -> None:
        """Added before or after the start, a site is led and its pools are assigned from."""
        await add(server, a_site("ams01"))
        ams, fra = MemoryLog("ams01", server), MemoryLog("fra01", server)
        async with allocator(server):
            await add(server, a_pool("ams01", "res-1", "100.64.0.0/24"))
            await until(lambda: _has(ams, PoolAdded))
            await ams.send(request(1), "bng1")
            await until(lambda: _has(ams, LeaseAssigned))
            await add(server, a_site("fra01", "0d" * 16))
            await fra.send(beat(), "bng1")
            await until(lambda: _has(fra, HorizonGranted))
            await add(server, a_pool("fra01", "res-1", "100.65.0.0/24"))
            await until(lambda: _has(fra, PoolAdded))

        assert {r.by for r in await records(ams)} == {"one"}

    async def test_options_are_set_while_the_site_is_led(self, server: MemoryServer) -> None:
        """Each change of the plan comes into the site's log once, whichever allocator leads."""
        await add(server, a_site("ams01"))
        await add(server, a_pool("ams01", "res-1", "100.64.0.0/24", options=("mtu=1300",)))
        await add(server, options("ams01", "res-1", "mtu=1400"))
        ams = MemoryLog("ams01", server)
        async with allocator(server):
            await until(lambda: _has(ams, PoolOptionsSet))
            await add(server, options("ams01", "res-1", "mtu=1500", "dns=192.0.2.53"))
            await until(lambda: _has(ams, PoolOptionsSet, 2))
        async with allocator(server, "two"):
            await ams.send(beat(), "bng1")
            await until(lambda: _has(ams, HorizonGranted))

        told = await events(ams, PoolOptionsSet)
        assert [(e.options, e.dns) for e in told if isinstance(e, PoolOptionsSet)] == [
            ("mtu=1400", ""),
            ("mtu=1500", "192.0.2.53"),
        ]

    async def test_a_new_log_in_the_place_of_a_lost_one_is_led_in_recovery(
        self, server: MemoryServer
    ) -> None:
        """The operator gave the site another log: whoever runs or starts leads that one, with the
        pools of the plan, and says which log it stands in for."""
        await add(server, a_site("ams01"))
        await add(server, a_pool("ams01", "res-1", "100.64.0.0/24"))
        ams = MemoryLog("ams01", server)
        async with allocator(server):
            await until(lambda: _has(ams, PoolAdded))
            lost = server.sites.pop("ams01").head
            assert lost
            genesis = await ams.create("0e" * 16)
            await add(server, lambda plan: replace_log(plan, site="ams01", genesis=genesis))
            await until(lambda: _has(ams, PoolAdded))
        async with allocator(server, "two"):
            await until(lambda: _has(ams, EpochStarted, 2))

        [started] = await events(ams, RecoveryStarted)
        assert started.replaces == lost.genesis  # type: ignore[union-attr]

    async def test_a_log_that_was_replaced_is_led_in_recovery_each_time_it_is_taken_up(
        self, server: MemoryServer
    ) -> None:
        """Whichever log the plan goes back to says that it stands in for the others, although it
        has said so of the last one before."""
        await add(server, a_site("ams01"))
        ams, logs = MemoryLog("ams01", server), [server.site("ams01")]
        async with allocator(server):
            await until(lambda: _has(ams, EpochStarted))
            del server.sites["ams01"]
            await ams.create("0e" * 16)
            logs.append(server.site("ams01"))
            for count, log in ((1, logs[1]), (1, logs[0]), (2, logs[1])):
                server.sites["ams01"], log.leader = log, None
                await add(server, partial(replace_log, site="ams01", genesis=log.head.genesis))
                await until(lambda count=count: _has(ams, RecoveryStarted, count))

    async def test_a_log_that_was_replaced_is_not_led_while_the_plan_is_read(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """I1: who starts and finds a copy of the replaced log leads nobody by it, however much of
        the plan lies between."""
        await add(server, a_site("ams01"))
        await add(server, partial(replace_log, site="ams01", genesis="0e" * 16))
        read = Trying.read

        async def by_one(log: Trying, after_id: str, count: int = 500, block_ms: int = 0) -> Any:
            if log.site == PLAN:
                await asyncio.sleep(0.05)
            return await read(log, after_id, 1, block_ms)

        monkeypatch.setattr(Trying, "read", by_one)
        ams = MemoryLog("ams01", server)
        with capture_logs() as lines:
            async with allocator(server):
                await until(lambda: any(line["event"] == "log.foreign" for line in lines))

        assert await records(ams) == []

    async def test_the_plans_outage_does_not_stop_the_sites(self, server: MemoryServer) -> None:
        """What is led is led on while the plan cannot be read; that is said once."""
        await add(server, a_site("ams01"))
        ams = MemoryLog("ams01", server)
        with capture_logs() as lines:
            async with allocator(server):
                await ams.send(beat("n1"), "bng1")
                await until(lambda: _has(ams, HorizonGranted))
                forge(server.site(PLAN).events, 0, b"site", b"evil\n")
                server.site(PLAN).head = None
                await asyncio.sleep(0.05)
                await ams.send(beat("n2"), "bng1")
                await until(lambda: _has(ams, HorizonGranted, 2))

        assert sum(x["event"] == "log.damaged" and x["site"] == PLAN for x in lines) == 1

    async def test_an_unknown_event_of_the_plan_stops_nobody(self, server: MemoryServer) -> None:
        """A plan that a newer program wrote is followed up to there; sites go on."""
        await add(server, a_site("ams01"))
        plan = server.site(PLAN)
        assert plan.head
        plan.events.add((server.now_ms() + 1, 2), {b"v": b"1", b"type": b"SiteClosed"})
        ams = MemoryLog("ams01", server)
        with capture_logs() as lines:
            async with allocator(server):
                await ams.send(beat(), "bng1")
                await until(lambda: _has(ams, HorizonGranted))
                await asyncio.sleep(0.05)

        assert sum(x["event"] == "log.damaged" for x in lines) == 1

    async def test_a_prefix_of_no_site_stops_nobody(self, server: MemoryServer) -> None:
        """A plan event that fits no site is said and left; what comes behind it is taken up."""
        await add(server, a_site("ams01"))
        stray = plan_prefix(
            Plan(sites={"x": a_site("x")(Plan())}), site="x", pool="p", network="10.0.0.0/24",
            gateway=None, dns=(), lease_time_s=3600, cause="test",
        )  # fmt: skip
        await add(server, lambda _: stray)
        await add(server, a_pool("ams01", "res-1", "100.64.0.0/24"))
        async with allocator(server):
            await until(lambda: _has(MemoryLog("ams01", server), PoolAdded))

    async def test_two_allocators_lead_each_site_once(self, server: MemoryServer) -> None:
        """As many may run as you like: one of them leads."""
        await add(server, a_site("ams01"))
        ams = MemoryLog("ams01", server)
        async with allocator(server, "one"), allocator(server, "two"):
            for number in range(5):
                await ams.send(beat(f"n{number}"), "bng1")
            await until(lambda: _has(ams, HorizonGranted, 5))

        assert len({r.by for r in await records(ams)}) == 1


async def _has(log: MemoryLog, kind: type, count: int = 1) -> bool:
    return len(await events(log, kind)) >= count


class TestPlanner:
    async def test_a_change_is_decided_on_the_plan_as_it_stands(self, server: MemoryServer) -> None:
        """Site, then pool: the whole prefix but network, broadcast and gateway is assignable."""
        await add(server, a_site("ams01"))
        await add(server, a_pool("ams01", "res-1", "100.64.0.0/24"))
        plan, head = await read_plan(MemoryLog(PLAN, server))

        assert head
        assert head.seq == 2
        [planned] = plan.prefixes_of("ams01")
        assert (planned.first, planned.last) == (
            ip_from_text("100.64.0.2"),
            ip_from_text("100.64.0.254"),
        )

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (a_pool("ams01", "res-2", "100.64.0.0/25"), "overlaps 100.64.0.0/24 of ams01/res-1"),
            (a_pool("ams01", "res-2", "100.0.0.0/8"), "overlaps 100.64.0.0/24 of ams01/res-1"),
            (a_pool("ams01", "res-1", "100.65.0.0/24"), "exists already"),
            (a_pool("fra01", "res-1", "100.65.0.0/24"), "leasectl site add fra01"),
            (a_pool("ams01", "res-2", "100.65.0.0/24", lease_time_s=20), "not in 300..86400 s"),
            (a_pool("ams01", "res-2", "100.65.0.0/24", lease_time_s=9000), "half of the site's"),
            (a_pool("ams01", "res-2", "100.65.0.0/24", gateway="100.65.0.9"), "first or the last"),
            (a_pool("ams01", "res-2", "100.65.0.1/24"), "is no prefix"),
            (a_pool("ams01", "res-2", "100.65.0.0/30"), "use /8 to /29"),
            (a_pool("ams01", "Res 2", "100.65.0.0/24"), "is no name"),
            (a_pool("ams01", "res-2", "100.65.0.0/24", dns=("dns",)), "is no IPv4 address"),
            (a_site("ams01"), "exists already"),
            (a_site("plan"), "names the plan log itself"),
        ],
    )
    async def test_a_refusal_says_what_stands_against_it(
        self, server: MemoryServer, change: Callable[[Plan], Any], words: str
    ) -> None:
        """Nothing is written, and the text names the fault and the remedy."""
        await add(server, a_site("ams01"))
        await add(server, a_pool("ams01", "res-1", "100.64.0.0/24"))
        with pytest.raises((PlanRefusedError, InvalidValueError), match=words):
            await add(server, change)

        assert len(await MemoryLog(PLAN, server).read("0-0")) == 2
        await add(server, a_site("next"))

    async def test_two_operators_do_not_plan_one_prefix_twice(self, server: MemoryServer) -> None:
        """However many change the plan at once, overlapping prefixes never both get in."""
        await add(server, a_site("ams01"))
        changes = (
            add(server, a_pool("ams01", f"pool-{number}", f"100.64.0.0/{20 + number % 5}"))
            for number in range(12)
        )
        done = await asyncio.gather(*changes, return_exceptions=True)
        plan, _ = await read_plan(MemoryLog(PLAN, server))

        assert sum(each is None for each in done) == 1
        assert all(isinstance(each, PlanRefusedError) for each in done if each is not None)
        assert len(plan.prefixes) == 1

    async def test_who_never_gets_its_turn_is_told(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While another holds the plan a change gives up after a while, without a trace."""
        monkeypatch.setattr(planner, "CLAIM_TRIES", 3)
        await add(server, a_site("ams01"))
        server.site(PLAN).leader = ("somebody", server.now_ms() + 10_000)

        with pytest.raises(LogUnavailableError, match="somebody else"):
            await add(server, a_site("fra01"))

    async def test_a_lost_reply_does_not_plan_twice(
        self, server: MemoryServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Outcome unknown is settled by asking again with the same batch."""
        log = Trying(server, PLAN)
        log.lost = 3
        await change_plan(log, "operator", a_site("ams01"))

        assert len(await log.read("0-0")) == 1
