"""T14: an edge that is slow while the log is cut under it comes back by itself, or says so."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from edge_agent.sync import follower
from edge_agent.sync.follower import Follower, Following
from edge_agent.sync.reconcile import reconcile
from lease_core.domain.events import Event, Record
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import Answered
from lease_core.log.reader import Position
from lease_core.log.replay import replay
from lease_core.log.snapshot import write_snapshot
from lease_core.log.writer import build, commit
from tests.histories import folded, random_history
from tests.unit.sync.histories import GENESIS, NOW_BOOT, expected, open_tables, projection_of, view
from tests.waiting import until

NOW_NS = 1 << 62
"""After every horizon: nothing is promised anew."""

EVENTS = random_history(3, 200, has_snapshots=False)
HALF = len(EVENTS) // 2


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of seconds become waits of milliseconds."""
    monkeypatch.setattr(follower, "COMPARE_S", 0.01)
    monkeypatch.setattr(follower, "RETRY_S", 0.01)
    monkeypatch.setattr(follower, "BLOCK_MS", 5)


class Town:
    """One log, and one edge that follows it into real tables."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.log = MemoryLog("ams01", self.server)
        self.datapath = open_tables()
        self.projection = projection_of(self.datapath)
        self.states: list[Following] = []
        self.position = Position(GENESIS)

    async def write(self, events: Sequence[Event]) -> None:
        await self.log.create(GENESIS)
        await self.log.claim("allocator", 10**9, GENESIS)
        head = await self.log.head()
        assert head
        batch = build(
            head,
            events,
            by="allocator",
            epoch=1,
            commit_ms=await self.log.now_ms(),
            batch_id=secrets.token_hex(4),
        )
        await commit(self.log, batch)

    async def cut(self) -> None:
        """A snapshot at the end, and nothing before its event."""
        ledger, end = await replay(self.log)
        await write_snapshot(self.log, ledger, end)
        self.server.site("ams01").events.drop(end.seq - 1)

    def _apply(self, records: list[Record], end: Position, _: list[Answered]) -> None:
        for record in records:
            self.projection.apply(record, NOW_BOOT)
        self.position = end

    async def _rejoin(self) -> None:
        """The log takes nobody back."""

    async def _rebuild(self) -> Position:
        ledger, end = await replay(self.log)
        reconcile(self.projection, ledger, NOW_NS)
        self.position = end
        return end

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Follower]:
        made = Follower(
            self.log,
            self.position,
            apply=self._apply,
            rebuild=self._rebuild,
            rejoin=self._rejoin,
            tell=self.states.append,
        )
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until_live(town: Town, seq: int) -> None:
    async with town.following() as following:
        await until(lambda: following.state is Following.LIVE and following.position.seq == seq)


async def test_an_overtaken_edge_comes_back_from_the_snapshot() -> None:
    """Cut off in the middle, the edge tells a gap, rebuilds, and its tables are as if it had
    read everything."""
    town = Town()
    await town.write(EVENTS[:HALF])
    await until_live(town, HALF)
    await town.write(EVENTS[HALF:-5])
    await town.cut()
    await town.write(EVENTS[-5:])
    town.states.clear()
    await until_live(town, len(EVENTS))

    assert town.states[0] is Following.GAP
    assert view(town.datapath) == expected(folded(EVENTS))


async def test_a_new_edge_fills_empty_tables_from_the_snapshot() -> None:
    """A log whose beginning is gone serves a router that has never been there."""
    town = Town()
    await town.write(EVENTS)
    await town.cut()
    await until_live(town, len(EVENTS))

    assert view(town.datapath) == expected(folded(EVENTS))


async def test_without_a_snapshot_the_edge_halts() -> None:
    """Where what is gone is nowhere else, the edge keeps what it has and says so."""
    town = Town()
    await town.write(EVENTS[:HALF])
    await until_live(town, HALF)
    before = view(town.datapath)
    await town.write(EVENTS[HALF:])
    town.server.site("ams01").events.drop(HALF + 5)
    async with town.following() as following:
        await until(lambda: following.state is Following.HALTED)

    assert view(town.datapath) == before
