"""The allocator process: follows the plan and shares its sites with the other allocators."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog

from lease_core.audit import EVENT_LINES
from lease_core.clock import elapsed_ns
from lease_core.domain.desk import Timing
from lease_core.domain.events import OptionsPlanned, PrefixPlanned, Record, SiteAdded
from lease_core.domain.ledger import LedgerError
from lease_core.domain.plan import Plan
from lease_core.log.keys import PLAN
from lease_core.log.members import Members
from lease_core.log.port import (
    ForeignLogError,
    LogError,
    LogUnavailableError,
    SiteLog,
    UnreadableEntryError,
)
from lease_core.log.reader import (
    BrokenChainError,
    GapError,
    Position,
    Standing,
    advance,
    standing,
)
from lease_core.service.heart import Heart
from lease_core.service.leader import SiteLeader
from lease_core.service.snapshots import DEFAULT_POLICY, SnapshotPolicy

audit = structlog.get_logger("allocator")

PLAN_POLL_S = 0.5
MAX_LOST = 8
WARMED_AT_ONCE = 16
"""Sites whose logs are read at once; of more, each would wait for all the others."""

Connect = Callable[[str], Awaitable[SiteLog]]
"""Opens the log of a site by its name."""


class Allocator:
    """`name` shows in every event as `by`; each process life claims under a token of its own."""

    def __init__(
        self,
        connect: Connect,
        name: str,
        deposed_writer_s: int,
        policy: SnapshotPolicy = DEFAULT_POLICY,
        members: Members | None = None,
        *,
        allows_unsafe: bool = False,
    ) -> None:
        """Share the sites with the other `members`; without any, claim them all.

        `allows_unsafe` leads although the server's settings may lose events.
        """
        self._connect = connect
        self._members = members
        self._living: frozenset[str] = frozenset()
        self._knows_members = True
        self._turns = asyncio.Semaphore(WARMED_AT_ONCE)
        self._owner = f"{name}#{secrets.token_hex(4)}"
        self._deposed_writer_s = deposed_writer_s
        self._policy = policy
        self._allows_unsafe = allows_unsafe
        self._plan = Plan()
        self._position: Position | None = None
        self._leaders: dict[str, SiteLeader] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._trouble = ""

    async def run(self) -> None:
        """Serve every site of the plan until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._members:
                tasks.create_task(Heart(self._members, self._owner, self._meet, self._doubt).run())
            await self._follow_plan(tasks)

    def _meet(self, living: frozenset[str] | LogUnavailableError) -> None:
        """Share the sites with those who live; while they are unknown, all goes on as it is."""
        if isinstance(living, LogUnavailableError):
            if self._knows_members:
                audit.critical("members.unknown", by=self._owner, reason=str(living))
            self._knows_members = False
            return
        self._knows_members = True
        if living == self._living:
            return
        audit.info("members.changed", by=self._owner, members=sorted(living))
        self._living = living
        for leader in self._leaders.values():
            leader.share(living)

    def _doubt(self) -> None:
        for leader in self._leaders.values():
            leader.doubt()

    async def _follow_plan(self, tasks: asyncio.TaskGroup) -> None:
        """Take up what is added; sites that are led already are led on, whatever the plan has."""
        log = await self._connect(PLAN)
        try:
            while True:
                try:
                    await self._read_plan(log, tasks)
                    self._trouble = ""
                except LogUnavailableError as error:
                    self._tell("log.unavailable", error)
                except (LogError, GapError, BrokenChainError, LedgerError) as error:
                    self._tell("log.damaged", error)
                EVENT_LINES.tell()
                await asyncio.sleep(PLAN_POLL_S)
        finally:
            await log.close()

    def _tell(self, trouble: str, error: Exception) -> None:
        """Say what stands in the way, once until it is over."""
        if trouble != self._trouble:
            self._trouble = trouble
            audit.critical(trouble, site=PLAN, reason=str(error))

    async def _read_plan(self, log: SiteLog, tasks: asyncio.TaskGroup) -> None:
        head = await log.head()
        if self._position is None:
            if head is None:
                return
            self._position = Position(head.genesis)
        found = standing(self._position, head)
        if found not in {Standing.LIVE, Standing.BEHIND}:
            raise ForeignLogError(f"the plan is {found} against what was read before")
        for record in await self._unread(log, self._position):
            self._plan.evolve(record.seq, record.event)
            self._position = self._position.behind(record)
            await self._take_up(record, tasks)

    async def _unread(self, log: SiteLog, position: Position) -> list[Record]:
        """All to the end of the plan: of a site that has another log by then, only that is led.

        Where it is damaged, what stands before that comes first.
        """
        unread: list[Record] = []
        try:
            while records := await log.read(position.entry_id):
                for record in records:
                    position = advance(position, record)
                    unread.append(record)
        except (UnreadableEntryError, GapError, BrokenChainError):
            if not unread:
                raise
        return unread

    async def _take_up(self, record: Record, tasks: asyncio.TaskGroup) -> None:
        match record.event:
            case SiteAdded() as added:
                await self._start(added, tasks)
            case PrefixPlanned() as prefix if prefix.site in self._leaders:
                self._leaders[prefix.site].planned.append(prefix)
                self._leaders[prefix.site].bell.ring()
            case OptionsPlanned() as planned if planned.site in self._leaders:
                self._leaders[planned.site].planned_options[planned.pool] = (record.seq, planned)
                self._leaders[planned.site].bell.ring()
            case _:
                raise LedgerError(f"event {record.entry_id} of the plan fits no site")

    async def _start(self, added: SiteAdded, tasks: asyncio.TaskGroup) -> None:
        """Lead a site; a second word of it gives it a new log in the place of one that is lost."""
        former = self._leaders.get(added.site)
        if former and former.genesis == added.genesis:
            return
        if former:
            self._running[added.site].cancel()
        timing = Timing(
            horizon_s=added.horizon_s,
            reuse_guard_s=added.reuse_guard_s,
            deposed_writer_s=self._deposed_writer_s,
        )
        log = await self._connect(added.site)
        leader = SiteLeader(
            log,
            added.genesis,
            timing,
            self._owner,
            elapsed_ns,
            policy=self._policy,
            replaces=_lost(former),
            turns=self._turns,
            allows_unsafe=self._allows_unsafe,
        )
        if former:
            leader.planned.extend(self._plan.prefixes_of(added.site))
        if self._members:
            leader.share(self._living)
        self._leaders[added.site] = leader
        self._running[added.site] = tasks.create_task(leader.run(), name=f"site {added.site}")


def _lost(former: SiteLeader | None) -> str:
    """The logs that a site had before, as far as an edge may still be on one of them."""
    lost = [*former.replaces.split(), former.genesis] if former else []
    return " ".join(lost[-MAX_LOST:])
