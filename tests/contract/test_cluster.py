"""A real cluster: sites on their slots, resharded and with a node lost under load."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count

import pytest

from lease_core.domain.commands import RequestLease
from lease_core.domain.events import LeaseAssigned
from lease_core.domain.plan import add_site, plan_prefix
from lease_core.domain.values import Ipv4, Mac
from lease_core.endpoint import Endpoint
from lease_core.log.connecting import connect
from lease_core.log.errors import LogError
from lease_core.log.keys import PLAN
from lease_core.log.port import ZERO_ID, SiteLog
from lease_core.log.redis_log import RedisLog
from lease_core.log.replay import replay
from lease_core.service.allocator import Allocator
from lease_core.service.planner import change_plan
from tests.contract.story import GENESIS, begun, known_head, lease, written
from tests.redis_cluster import RedisCluster
from tests.redis_server import is_installed

pytestmark = pytest.mark.redis

SITES = ("par03", "rom06", "ams01")
"""Each on another master of three, until one is moved."""
DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    if not is_installed():
        pytest.skip("redis-server is not installed")
    with RedisCluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


async def test_a_site_is_found_and_followed(cluster: RedisCluster) -> None:
    """Reads, scripts and pipelines go to the slot's node, and go on where the slot goes; there the
    site is claimed anew (I5)."""
    log = connect(cluster.endpoint, "moving")
    batch = await written(log, await begun(log), [lease(1)], "a")
    await log.report("bng1", {"applied": "1"})
    before = cluster.owner("moving")
    await asyncio.to_thread(cluster.reshard, "moving")

    assert cluster.owner("moving") is not before
    assert (await known_head(log)).seq == 1
    assert (await log.reports())["bng1"] == {"applied": "1"}
    second = await written(log, await begun(log), [lease(2)], "b")
    assert second.after.epoch == batch.after.epoch + 1
    assert await log.read(ZERO_ID) == [*batch.records, *second.records]
    await log.close()


async def test_waiting_reader_follows_the_slot(cluster: RedisCluster) -> None:
    """A reader that blocks while its slot moves is told, and reads on at the new node."""
    log = connect(cluster.endpoint, "waiting")
    batch = await written(log, await begun(log), [lease(1)], "a")
    reading = asyncio.create_task(log.read(batch.after.last_id, block_ms=10_000))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(cluster.reshard, "waiting")
    second = await written(log, await begun(log), [lease(2)], "b")
    try:
        found = await reading
    except LogError:
        found = await log.read(batch.after.last_id)

    assert found == list(second.records)
    await log.close()


@asynccontextmanager
async def allocators(endpoint: Endpoint, *names: str) -> AsyncIterator[None]:
    async def opened(site: str) -> SiteLog:
        return connect(endpoint, site)

    tasks = [asyncio.create_task(Allocator(opened, name, 20).run()) for name in names]
    try:
        yield
        assert not any(task.done() for task in tasks), tasks
    finally:
        await ended(tasks)


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def planned(endpoint: Endpoint) -> None:
    plan = connect(endpoint, PLAN)
    for number, site in enumerate(SITES):
        log = connect(endpoint, site)
        genesis = await log.create(GENESIS)
        await log.close()
        await change_plan(
            plan, "test",
            lambda plan, site=site, genesis=genesis: add_site(
                plan, site=site, genesis=genesis, horizon_s=14_400, reuse_guard_s=120,
                cause="test",
            ),
        )  # fmt: skip
        await change_plan(
            plan, "test",
            lambda plan, site=site, number=number: plan_prefix(
                plan, site=site, pool="res-1", network=f"100.{64 + number}.0.0/16", gateway=None,
                dns=(), lease_time_s=3600, cause="test",
            ),
        )  # fmt: skip
    await plan.close()


class Subscribers:
    """New ones at one site, one after the other, each asking until it has an address."""

    def __init__(self, log: RedisLog, number: int) -> None:
        self.log = log
        self._first = 0x64400001 + (number << 16)
        self.served = 0
        self._more = asyncio.Condition()

    async def have(self, goal: int) -> None:
        async with self._more:
            await self._more.wait_for(lambda: self.served >= goal)

    async def come(self) -> None:
        after = ZERO_ID
        for number in count(1):
            req = f"r{number}"
            while True:
                try:
                    await self._ask(number, req)
                    found = await self.log.read(after, block_ms=300)
                except LogError:
                    await asyncio.sleep(0.05)
                    continue
                after = found[-1].entry_id if found else after
                mine = [r for r in found if getattr(r.event, "req", "") == req]
                if any(isinstance(record.event, LeaseAssigned) for record in mine):
                    break
            async with self._more:
                self.served = number
                self._more.notify_all()

    async def _ask(self, number: int, req: str) -> None:
        command = RequestLease(
            req=req,
            mac=Mac(0x020000000000 + number),
            line="access0",
            ip=Ipv4(self._first + number),
            kind="selecting",
        )
        await self.log.send(command, "bng1")


async def more(subscribers: list[Subscribers], than: int) -> None:
    """Wait until every site has served so many more."""
    wanted = {each: each.served + than for each in subscribers}
    async with asyncio.timeout(DEADLINE_S):
        for each, goal in wanted.items():
            await each.have(goal)


async def test_resharding_and_a_lost_node_under_load(cluster: RedisCluster) -> None:
    """Sites whose node is well go on; all go on afterwards; each subscriber has one address,
    and every log replays (I1, I3)."""
    await planned(cluster.endpoint)
    subscribers = [Subscribers(connect(cluster.endpoint, s), n) for n, s in enumerate(SITES)]
    async with allocators(cluster.endpoint, "one", "two"):
        coming = [asyncio.create_task(each.come()) for each in subscribers]
        await more(subscribers, 10)
        await asyncio.to_thread(cluster.reshard, SITES[0])
        await more(subscribers, 10)
        lost = cluster.owner(SITES[0])
        well = [each for each in subscribers if cluster.owner(each.log.site) is not lost]
        lost.kill()
        await more(well, 10)
        lost.start()
        await more(subscribers, 10)
        await ended(coming)

    assert well
    for each in subscribers:
        ledger, _ = await replay(each.log, GENESIS)
        holders = {binding.mac for binding in ledger.bound.values()}
        assert len(ledger.bound) == len(holders) >= each.served
        await each.log.close()
