"""Many sites: what idle ones cost, and what a lease costs, as the number of sites grows.

Redis and two allocator processes are the real ones. Each edge is the real follower and upstream
without tables, all of them in this process.
"""

import asyncio
import contextlib
import os
import random
import secrets
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import redis

from edge_agent.sync.follower import Follower, Following
from edge_agent.sync.upstream import Upstream
from lease_core import audit
from lease_core.domain.commands import Heartbeat, RequestLease
from lease_core.domain.events import (
    LEASE_VERSION,
    Event,
    HorizonGranted,
    LeaseAssigned,
    PrefixPlanned,
    Record,
    SiteAdded,
)
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.connecting import connect
from lease_core.log.keys import PLAN
from lease_core.log.port import Answered
from lease_core.log.reader import Position
from lease_core.log.redis_log import RedisLog
from scripts.benchmark.bare import FIRST_MAC, LINE, POOL, redis_server
from scripts.benchmark.log import fill
from scripts.benchmark.measure import Series, Table, at_most, say, spent_s
from scripts.lab import LabError
from tests.redis_server import RedisServer

SIZES = (1, 10, 100, 1_000)
SITE_BITS = 15
"""Each site has a /17."""
FIRST_NETWORK = 32 << 24
ALLOCATORS = ("one", "two")
HEARTBEAT_S = 60.0
FIRST_HEARTBEATS_S = 5.0
SETTLE_S = 5.0
WATCHED_S = 60.0
"""In which every site has its heartbeat, its leadership renewed and its status said."""
LIMIT_S = 180.0
LEASES = 20_000
UNDER_WAY = 512
LEASECTL = str(Path(sys.executable).with_name("leasectl"))


def measure(rounds: int) -> list[Table]:
    """Once each: a round takes minutes, and processor time drifts less than speed."""
    del rounds
    idle = Table(f"Idle sites for {WATCHED_S:.0f} s, heartbeats included", "percent of a core")
    busy = Table("Leases by two allocators, spread evenly over the sites", "leases/s")
    killed = Table("Kill one of two allocators: until a site's next lease", "ms")
    with (
        asyncio.Runner() as runner,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        audit.configure(nowhere)
        for size in SIZES:
            say(f"{size} sites")
            with redis_server() as server:
                found = runner.run(_measure(server, size))
            _add(idle, busy, killed, size, found)
    return [idle, busy, killed]


def _add(idle: Table, busy: Table, killed: Table, size: int, found: dict[str, float]) -> None:
    goals = {"allocators": "; goal 10", "redis": "; goal 5"} if size == SIZES[-1] else {}
    sites = f"{size:,} site{'s' if size > 1 else ''}"
    for who in ("allocators", "redis"):
        note = f"{found['granted']:.0f} horizons granted{goals.get(who, '')}"
        idle.add(f"{sites}, {who}", Series((found[f"idle {who}"],)), note=note)
    note = (
        f"{found['busy allocators']:.0f} us of allocator and {found['busy redis']:.0f} us of "
        f"Redis a lease; {found['octets']:.0f} octets of Redis"
    )
    busy.add(sites, Series((found["leases/s"],)), note=note)
    if size > 1:  # a single site may be the other one's
        note = f"on average {found['taken over']:.0f}"
        last = Series((found["last taken over"],))
        killed.add(f"{sites}, the last of them", last, "", at_most(2000, "ms"), note=note)


def site_of(number: int) -> str:
    return f"site{number:04}"


def first_of(number: int) -> Ipv4:
    """The first assignable address of a site; the gateway stands before it."""
    return Ipv4(FIRST_NETWORK + (number << SITE_BITS) + 2)


async def _measure(server: RedisServer, size: int) -> dict[str, float]:
    genesis = secrets.token_hex(16)
    await _plan(server.url, size, genesis)
    with _allocators(server.url) as processes:
        pids = {"allocators": [p.pid for p in processes], "redis": [server.pid]}
        async with _edges(server.url, size, genesis) as edges:
            await _all_granted(edges)
            found = await _idle(edges, pids) | await _busy(server, edges, pids)
            return found | await _killed(edges, processes[0])


async def _plan(url: str, size: int, genesis: str) -> None:
    events: list[Event] = []
    for number in range(size):
        site = site_of(number)
        log = connect(url, site)
        await log.create(genesis)
        await log.close()
        events.append(
            SiteAdded(
                site=site, genesis=genesis, horizon_s=14_400, reuse_guard_s=120, cause="bench"
            )
        )
        first = first_of(number)
        events.append(
            PrefixPlanned(
                site=site, pool=POOL, network=_network(first), first=first,
                last=Ipv4(first + (1 << SITE_BITS) - 4), gateway=Ipv4(first - 1), dns="",
                lease_time_s=3600, cause="bench",
            )
        )  # fmt: skip
    plan = connect(url, PLAN)
    await fill(plan, events, 256)
    await plan.close()


def _network(first: Ipv4) -> str:
    octets = (first - 2).to_bytes(4, "big")
    return f"{'.'.join(map(str, octets))}/{32 - SITE_BITS}"


@contextmanager
def _allocators(url: str) -> Iterator[list["subprocess.Popen[bytes]"]]:
    running = [
        subprocess.Popen(
            [LEASECTL, "allocator", "--redis", url, "--name", name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name in ALLOCATORS
    ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


class LightEdge:
    """Follows its site and beats; `ask` for leases, one under way for each place."""

    def __init__(self, log: RedisLog, number: int, genesis: str) -> None:
        self.granted = 0
        self.assigned = 0
        self._log = log
        self._number = number
        self._edge = f"bng{number}"
        self._upstream = Upstream(log, self._edge)
        self._wanted: deque[RequestLease] = deque()
        self._goal = 0
        self._reached = asyncio.Event()
        self._follower = Follower(
            log,
            Position(genesis),
            apply=self._apply,
            rebuild=self._never,
            rejoin=self._never,
            tell=lambda _: None,
        )

    @property
    def is_live(self) -> bool:
        return self._follower.state is Following.LIVE

    async def _never(self) -> Position:
        raise LabError(f"{self._log.site}: the log has a gap")

    def _apply(self, records: Sequence[Record], _: Position, __: Sequence[Answered]) -> None:
        events = [record.event for record in records]
        self.granted += sum(isinstance(event, HorizonGranted) for event in events)
        new = sum(isinstance(event, LeaseAssigned) for event in events)
        self.assigned += new
        for _ in range(min(new, len(self._wanted))):
            self._upstream.send(self._wanted.popleft())
        if self.assigned >= self._goal:
            self._reached.set()

    async def beat(self) -> None:
        await asyncio.sleep(random.uniform(0, 1))
        while True:
            nonce = secrets.token_hex(6)
            self._upstream.send(
                Heartbeat(edge=self._edge, incarnation=f"{self._number:016x}", nonce=nonce,
                          applied=self._follower.position.seq, reads=LEASE_VERSION)
            )  # fmt: skip
            if self.granted:
                await asyncio.sleep(HEARTBEAT_S * random.uniform(0.9, 1.1))
            else:
                await asyncio.sleep(FIRST_HEARTBEATS_S)
                if self.granted:
                    await asyncio.sleep(HEARTBEAT_S * random.random())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for work in (self._upstream.run(), self._follower.run(), self.beat()):
                tasks.create_task(work)

    async def ask(self, count: int, under_way: int) -> None:
        """Have so many leases assigned; returns with the last one."""
        self._goal = self.assigned + count
        self._wanted.extend(self._request(n) for n in range(self.assigned, self._goal))
        self._reached.clear()
        for _ in range(min(under_way, count)):
            self._upstream.send(self._wanted.popleft())
        await self._reached.wait()

    def _request(self, n: int) -> RequestLease:
        return RequestLease(
            req=f"{self._number:x}-{n}",
            mac=Mac(FIRST_MAC + (self._number << SITE_BITS) + n),
            line=LINE,
            ip=Ipv4(first_of(self._number) + n),
            kind="selecting",
            host="subscriber",
        )


@asynccontextmanager
async def _edges(url: str, size: int, genesis: str) -> AsyncIterator[list[LightEdge]]:
    logs = [connect(url, site_of(number)) for number in range(size)]
    edges = [LightEdge(log, number, genesis) for number, log in enumerate(logs)]
    tasks = [asyncio.create_task(edge.run()) for edge in edges]
    try:
        yield edges
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for log in logs:
            with contextlib.suppress(Exception):
                await log.close()


async def _all_granted(edges: list[LightEdge]) -> None:
    start = time.monotonic()
    while not all(edge.granted and edge.is_live for edge in edges):
        if time.monotonic() - start > LIMIT_S:
            granted = sum(bool(edge.granted) for edge in edges)
            raise LabError(f"{granted} of {len(edges)} sites have a horizon after {LIMIT_S:.0f} s")
        await asyncio.sleep(0.1)
    say(f"all have a horizon after {time.monotonic() - start:.1f} s")
    await asyncio.sleep(SETTLE_S)


async def _idle(edges: list[LightEdge], pids: dict[str, list[int]]) -> dict[str, float]:
    granted, before = sum(edge.granted for edge in edges), _cpu_s(pids)
    await asyncio.sleep(WATCHED_S)
    spent = {who: s - before[who] for who, s in _cpu_s(pids).items()}
    say(", ".join(f"idle {who}: {100 * s / WATCHED_S:.1f} %" for who, s in spent.items()))
    return {f"idle {who}": 100 * s / WATCHED_S for who, s in spent.items()} | {
        "granted": sum(edge.granted for edge in edges) - granted
    }


async def _busy(
    server: RedisServer, edges: list[LightEdge], pids: dict[str, list[int]]
) -> dict[str, float]:
    each, under_way = LEASES // len(edges), max(1, UNDER_WAY // len(edges))
    octets, before, start = _octets(server), _cpu_s(pids), time.perf_counter()
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*(edge.ask(each, under_way) for edge in edges))
    taken_s, leases = time.perf_counter() - start, each * len(edges)
    spent = {who: s - before[who] for who, s in _cpu_s(pids).items()}
    say(f"{leases / taken_s:,.0f} leases/s")
    return {f"busy {who}": 1e6 * s / leases for who, s in spent.items()} | {
        "leases/s": leases / taken_s,
        "octets": (_octets(server) - octets) / leases,
    }


async def _killed(edges: list[LightEdge], leader: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Milliseconds until everybody is served who asks when his leader dies, or the other one."""
    start = time.perf_counter()
    leader.kill()

    async def served(edge: LightEdge) -> float:
        await edge.ask(1, 1)
        return 1e3 * (time.perf_counter() - start)

    async with asyncio.timeout(LIMIT_S):
        took_ms = await asyncio.gather(*map(served, edges))
    say(f"taken over after {max(took_ms):,.0f} ms at most")
    return {"last taken over": max(took_ms), "taken over": sum(took_ms) / len(took_ms)}


def _cpu_s(pids: dict[str, list[int]]) -> dict[str, float]:
    """Processor time that processes took until now, by group."""
    return {who: sum(map(spent_s, group)) for who, group in pids.items()}


def _octets(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("memory")["used_memory"])
