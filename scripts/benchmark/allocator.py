"""Deciding and appending, against the bare append script at the same batch size."""

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import redis
import structlog

from lease_core import audit
from lease_core.clock import elapsed_ns
from lease_core.collecting import spare_the_old
from lease_core.domain.commands import Command, RequestLease, RequestOffer, Sent
from lease_core.domain.desk import Timing
from lease_core.domain.events import PrefixPlanned
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.connecting import connect
from lease_core.log.port import Appended, Batch, Unreadable
from lease_core.log.redis_client import READER_TIMEOUT_S, WRITER_TIMEOUT_S, open_client
from lease_core.log.redis_log import RedisLog
from lease_core.service.bell import Bell
from lease_core.service.committing import Committer
from lease_core.service.condition import Condition
from lease_core.service.leader import SiteLeader
from lease_core.service.site_allocator import SiteAllocator
from lease_core.service.warm import WarmLedger
from scripts.benchmark.bare import (
    FIRST_ADDRESS,
    FIRST_MAC,
    LINE,
    POOL,
    BareAppend,
    assigned,
    redis_server,
)
from scripts.benchmark.measure import Table, at_least, run_rounds
from scripts.benchmark.tasks import run_until

BATCH = 256
SUBSCRIBERS = 10_240
BARE = f"bare append script, {BATCH} events a call"
PREFIX = PrefixPlanned(
    site="bench",
    pool=POOL,
    network="100.64.0.0/12",
    first=Ipv4(FIRST_ADDRESS),
    last=Ipv4(FIRST_ADDRESS + (1 << 20) - 4),
    gateway=Ipv4(FIRST_ADDRESS - 1),
    dns="192.0.2.53",
    lease_time_s=3600,
    cause="bench",
)


def measure(rounds: int) -> list[Table]:
    """Audit lines are written as in production, but to nowhere; nor is the collector another."""
    spare_the_old()
    with (
        redis_server() as server,
        asyncio.Runner() as runner,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        audit.configure(nowhere)
        client, numbers = redis.Redis.from_url(server.url), count()
        events = [assigned(number) for number in range(SUBSCRIBERS)]

        def bare() -> float:
            return BareAppend(client, f"bare-{next(numbers)}").run(events, BATCH)

        def decided(commands: Sequence[Command]) -> float:
            return runner.run(_decide(server.url, f"decide-{next(numbers)}", commands))

        def led() -> float:
            return runner.run(_lead(server.url, f"lead-{next(numbers)}"))

        found = run_rounds(
            {
                "bare": bare,
                "leases": lambda: decided(_leases()),
                "offers": lambda: decided(_offers()),
                "leader": led,
            },
            rounds,
        )
    table = Table("Allocator, appendfsync always", "commands/s")
    table.add(BARE, found["bare"], note="events/s")
    goal = at_least(0.6)
    table.add("SiteAllocator + append: RequestLease -> event", found["leases"], BARE, goal)
    table.add("SiteAllocator + append: RequestOffer -> answer", found["offers"], BARE, goal)
    table.add("SiteLeader: both, read from Redis too", found["leader"], BARE, goal)
    return [table]


def _offers() -> list[RequestOffer]:
    return [
        RequestOffer(
            req=f"3f9a1c-{2 * n}",
            mac=Mac(FIRST_MAC + n),
            line=LINE,
            wanted=Ipv4(FIRST_ADDRESS + n),
            host="subscriber",
        )
        for n in range(SUBSCRIBERS)
    ]


def _leases() -> list[RequestLease]:
    return [
        RequestLease(
            req=f"3f9a1c-{2 * n + 1}",
            mac=Mac(FIRST_MAC + n),
            line=LINE,
            ip=Ipv4(FIRST_ADDRESS + n),
            kind="selecting",
            host="subscriber",
        )
        for n in range(SUBSCRIBERS)
    ]


async def _decide(url: str, site: str, commands: Sequence[Command]) -> float:
    """Commands per second through what decides and what appends, the one ahead of the other."""
    log = connect(url, site)
    genesis = await log.create(secrets.token_hex(16))
    await log.claim("bench", 60_000, genesis)
    head = await log.head()
    assert head
    lines = structlog.get_logger("allocator")
    warm = WarmLedger(log, genesis, Bell(), lines)
    allocator = SiteAllocator(site, warm.ledger, Timing(), head.epoch, elapsed_ns())
    committer = Committer(
        log, "bench#1", warm, Condition(log, "bench#1"), audit=lines, renew=_no_renewal
    )
    committer.begin(head, allocator)
    committer.add(allocator.begin("bench", elapsed_ns()))
    committer.add(allocator.plan([PREFIX], elapsed_ns()))
    await committer.settled()
    sent = [
        Sent(entry_id=f"1-{number}", by="bng1", command=command)
        for number, command in enumerate(commands, 1)
    ]
    start = time.perf_counter()
    for at in range(0, len(sent), BATCH):
        draft = allocator.handle(sent[at : at + BATCH], elapsed_ns())
        assert len(draft.events) + len(draft.answers) == BATCH
        committer.add(draft)
        await committer.room()
    await committer.settled()
    taken = time.perf_counter() - start
    await log.close()
    return len(sent) / taken


async def _no_renewal(_: int) -> None:
    """No replicas are missing here."""


class TimedLog(RedisLog):
    """Tells when the commands were first read, and when all were settled."""

    def __init__(self, url: str, site: str) -> None:
        """Connect as `lease_core.log.connecting.connect` does."""
        super().__init__(
            open_client(url, WRITER_TIMEOUT_S), open_client(url, READER_TIMEOUT_S), site
        )
        self.last_command = ""
        self.begun_at = 0.0
        self.settled_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def commands(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Sent | Unreadable]:
        self.begun_at = self.begun_at or time.perf_counter()
        return await super().commands(after_id, count, block_ms)

    async def append(self, batch: Batch) -> Appended:
        appended = await super().append(batch)
        if batch.cursor == self.last_command and not self.settled_at.done():
            self.settled_at.set_result(time.perf_counter())
        return appended


async def _lead(url: str, site: str) -> float:
    """Commands per second through the whole leader, all of them waiting in Redis."""
    log = TimedLog(url, site)
    genesis = await log.create(secrets.token_hex(16))
    offers, leases = _offers(), _leases()
    for at in range(0, SUBSCRIBERS, BATCH):
        await log.send_many(offers[at : at + BATCH], "bng1")
        log.last_command = await log.send_many(leases[at : at + BATCH], "bng1")
    leader = SiteLeader(log, genesis, Timing(), "bench#1", elapsed_ns)
    leader.planned.append(PREFIX)
    settled_at = await run_until(leader.run(), log.settled_at)
    return 2 * SUBSCRIBERS / (settled_at - log.begun_at)
