"""A leader and an edge on a real Redis, for what happens to them when it misbehaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from edge_agent.sync.follower import Follower
from lease_core.clock import elapsed_ns
from lease_core.domain.commands import Heartbeat
from lease_core.domain.desk import Timing
from lease_core.domain.events import LeaseAssigned, Record
from lease_core.log.connecting import connect
from lease_core.log.port import Answered, LogError
from lease_core.log.reader import Position
from lease_core.service.leader import SiteLeader
from tests.contract.backends import SITE
from tests.contract.story import GENESIS
from tests.unit.service.logs import prefix

BEAT_S = 0.5


class Edge:
    """Whatever a follower hands on."""

    def __init__(self, url: str) -> None:
        self.applied: list[Record] = []
        self.log = connect(url, SITE)
        self.follower = Follower(
            self.log,
            Position(GENESIS),
            apply=self._apply,
            rebuild=self._rebuild,
            rejoin=self._rejoin,
            tell=lambda _: None,
        )

    def _apply(self, records: list[Record], _: Position, __: list[Answered]) -> None:
        self.applied += records

    async def _rebuild(self) -> Position:
        raise AssertionError("there is no gap")

    async def _rejoin(self) -> None:
        """Another log takes nobody."""

    async def beat(self) -> None:
        """Ask for the horizon, for ever; it also says that this edge agrees with the log."""
        for nonce in count():
            at = self.follower.position
            beat = Heartbeat(
                edge="bng1",
                incarnation="a",
                nonce=f"n{nonce}",
                applied=at.seq,
                epoch=at.epoch,
                genesis=at.genesis,
            )
            with contextlib.suppress(LogError):
                await self.log.send(beat, "bng1")
            await asyncio.sleep(BEAT_S)

    def has(self, req: str) -> bool:
        events = [record.event for record in self.applied]
        return [e.req for e in events if isinstance(e, LeaseAssigned)].count(req) == 1


class Service:
    """A leader and an edge of one site, each by its own connections."""

    def __init__(self, url: str, replicas: int = 0) -> None:
        self.edge = Edge(url)
        self.leader = SiteLeader(
            connect(url, SITE, replicas), GENESIS, Timing(), "one#1", elapsed_ns
        )
        self.leader.planned.append(prefix(size=250))


@asynccontextmanager
async def serving(url: str, replicas: int = 0) -> AsyncIterator[Service]:
    """Both run; nothing may end by itself."""
    service = Service(url, replicas)
    works = (service.leader.run(), service.edge.follower.run(), service.edge.beat())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield service
        assert not any(task.done() for task in tasks), tasks
    finally:
        while pending := [task for task in tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.2)
        await service.edge.log.close()
