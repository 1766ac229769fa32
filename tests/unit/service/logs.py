"""Logs that stop, lose replies or have another clock, and leaders that run on them quickly."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lease_core.clock import elapsed_ns
from lease_core.domain.commands import Command, Heartbeat, RequestLease
from lease_core.domain.desk import Timing
from lease_core.domain.events import Event, PrefixPlanned, Record
from lease_core.domain.values import Ipv4, Mac, ip_from_text
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import (
    Appended,
    Batch,
    Claimed,
    HeldBy,
    OutcomeUnknownError,
    Sent,
    Unreadable,
)
from lease_core.service import allocator, committing, leader, leadership, planner
from lease_core.service.leader import SiteLeader

GENESIS = "0b" * 16
FIRST = ip_from_text("100.64.0.2")


def make_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become milliseconds."""
    monkeypatch.setattr(leadership, "LEADERSHIP_MS", 200)
    monkeypatch.setattr(leadership, "RENEW_S", 0.01)
    for name, value in {
        "TICK_S": 0.01,
        "UNAVAILABLE_PAUSE_S": 0.005,
        "DAMAGED_PAUSE_S": 0.02,
    }.items():
        monkeypatch.setattr(leader, name, value)
    monkeypatch.setattr(committing, "PAUSE_S", 0.005)
    monkeypatch.setattr(allocator, "PLAN_POLL_S", 0.01)
    monkeypatch.setattr(planner, "PAUSE_S", 0.005)


class Trying(MemoryLog):
    """A log client whose process can stop, and whose replies can be lost.

    `lost` replies of appends that happened get lost; `unsent` appends do not even happen.
    """

    def __init__(self, server: MemoryServer, site: str = "ams01") -> None:
        super().__init__(site, server)
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.lost = 0
        self.unsent = 0
        self.appends = 0
        self.calls = 0
        """Claims and reads."""

    async def append(self, batch: Batch) -> Appended:
        await self.goes_on.wait()
        self.appends += 1
        if self.unsent:
            self.unsent -= 1
            raise OutcomeUnknownError("the request was lost")
        done = await super().append(batch)
        if self.lost:
            self.lost -= 1
            raise OutcomeUnknownError("the reply was lost")
        return done

    async def claim(
        self, owner: str, ttl_ms: int, genesis: str, above: int = 0, dead: str = ""
    ) -> Claimed | HeldBy:
        self.calls += 1
        await self.goes_on.wait()
        return await super().claim(owner, ttl_ms, genesis, above, dead)

    async def read(self, after_id: str, count: int = 500, block_ms: int = 0) -> list[Record]:
        self.calls += 1
        return await super().read(after_id, count, block_ms)

    async def commands(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Sent | Unreadable]:
        self.calls += 1
        found = await super().commands(after_id, count, block_ms)
        await self.goes_on.wait()
        return found


def prefix(name: str = "res-1", number: int = 0, size: int = 10) -> PrefixPlanned:
    base = ip_from_text(f"100.{64 + number}.0.0")
    return PrefixPlanned(
        site="ams01",
        pool=name,
        network=f"100.{64 + number}.0.0/24",
        first=Ipv4(base + 2),
        last=Ipv4(base + 1 + size),
        gateway=Ipv4(base + 1),
        dns="",
        lease_time_s=3600,
        cause="test",
    )


def leader_of(
    log: MemoryLog, owner: str, pools: Sequence[PrefixPlanned] = (prefix(),), **more: Any
) -> SiteLeader:
    made = SiteLeader(log, GENESIS, Timing(), owner, elapsed_ns, **more)
    made.planned += pools
    return made


@asynccontextmanager
async def running(*leaders: SiteLeader) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Leaders as tasks; none of them may end by itself."""
    tasks = [asyncio.create_task(each.run()) for each in leaders]
    try:
        yield tasks
        for task in tasks:
            assert task.cancelled() or not task.done(), task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def request(number: int, ip: Ipv4 | None = None, req: str = "") -> Command:
    return RequestLease(
        req=req or f"r{number}",
        mac=Mac(number),
        line="access0",
        ip=Ipv4(FIRST + number) if ip is None else ip,
        kind="selecting",
    )


def beat(nonce: str = "n") -> Heartbeat:
    return Heartbeat(edge="bng1", incarnation="a", nonce=nonce, applied=0)


async def records(log: MemoryLog) -> list[Record]:
    return await MemoryLog(log.site, log._server).read("0-0", 1000)


async def events(log: MemoryLog, *kinds: type) -> list[Event]:
    return [r.event for r in await records(log) if not kinds or isinstance(r.event, kinds)]
