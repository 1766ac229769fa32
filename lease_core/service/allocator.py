"""The allocator process: follows the plan and runs one leader for each site in it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog

from lease_core.clock import elapsed_ns
from lease_core.domain.desk import Timing
from lease_core.domain.events import PrefixPlanned, SiteAdded
from lease_core.domain.plan import Plan
from lease_core.log.keys import PLAN
from lease_core.log.port import LogUnavailableError, SiteLog
from lease_core.log.reader import Position, Standing, advance, standing
from lease_core.service.leader import SiteLeader

audit = structlog.get_logger("allocator")

PLAN_POLL_S = 0.5

Connect = Callable[[str], Awaitable[SiteLog]]
"""Opens the log of a site by its name."""


class Allocator:
    """`name` shows in every event as `by`; each process life claims under a token of its own."""

    def __init__(self, connect: Connect, name: str, deposed_writer_s: int) -> None:
        self._connect = connect
        self._owner = f"{name}#{secrets.token_hex(4)}"
        self._deposed_writer_s = deposed_writer_s
        self._plan = Plan()
        self._leaders: dict[str, SiteLeader] = {}

    async def run(self) -> None:
        """Serve every site of the plan until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            await self._follow_plan(tasks)

    async def _follow_plan(self, tasks: asyncio.TaskGroup) -> None:
        log = await self._connect(PLAN)
        position: Position | None = None
        while True:
            try:
                position = await self._read_plan(log, position, tasks)
            except LogUnavailableError as error:
                audit.error("log.unavailable", site=PLAN, reason=str(error))
            await asyncio.sleep(PLAN_POLL_S)

    async def _read_plan(
        self, log: SiteLog, position: Position | None, tasks: asyncio.TaskGroup
    ) -> Position | None:
        head = await log.head()
        if position is None:
            if head is None:
                return None
            position = Position(head.genesis)
        if standing(position, head) in {Standing.REGRESSED, Standing.FOREIGN, Standing.STALE}:
            audit.critical("log.foreign", site=PLAN, reason=standing(position, head))
            return position
        for record in await log.read(position.entry_id):
            position = advance(position, record)
            self._plan.evolve(record.seq, record.event)
            match record.event:
                case SiteAdded() as site:
                    await self._start(site, tasks)
                case PrefixPlanned() as prefix:
                    self._leaders[prefix.site].planned.append(prefix)
                case _:
                    raise AssertionError("the plan refuses other events")
        return position

    async def _start(self, added: SiteAdded, tasks: asyncio.TaskGroup) -> None:
        timing = Timing(
            horizon_s=added.horizon_s,
            reuse_guard_s=added.reuse_guard_s,
            deposed_writer_s=self._deposed_writer_s,
        )
        log = await self._connect(added.site)
        leader = SiteLeader(log, added.genesis, timing, self._owner, elapsed_ns)
        self._leaders[added.site] = leader
        tasks.create_task(leader.run(), name=f"site {added.site}")
