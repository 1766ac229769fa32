"""One site in one allocator process: stand by warm, lead when the leadership is free."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import structlog

from lease_core.domain.commands import Sent
from lease_core.domain.desk import SECOND, Timing
from lease_core.domain.events import OptionsPlanned, PrefixPlanned
from lease_core.domain.ledger import LedgerError
from lease_core.log.port import (
    Claimed,
    ConflictError,
    FencedError,
    ForeignLogError,
    Head,
    LogError,
    LogUnavailableError,
    SiteLog,
    Unreadable,
    UnreadableEntryError,
    UnsafeSettingsError,
)
from lease_core.log.reader import BrokenChainError, GapError
from lease_core.service.bell import Bell
from lease_core.service.committing import Committer
from lease_core.service.condition import LEADS, Condition
from lease_core.service.leadership import Leadership
from lease_core.service.sharing import Duty, duty_of
from lease_core.service.site_allocator import SiteAllocator
from lease_core.service.snapshots import DEFAULT_POLICY, SnapshotPolicy, Taking, Verifying
from lease_core.service.warm import WarmLedger

audit = structlog.get_logger("allocator")

STAND_BY_MS = 500
IDLE_S = 20.0
"""So long one waits for news at most; a dead connection is found sooner, by the kernel."""
TICK_S = 0.5
READ_AT_ONCE = 16
"""Entries with commands that are decided together."""
MANY = 256
"""Commands: others wait behind so many, and are decided while these are appended."""
UNAVAILABLE_PAUSE_S = 1.0
DAMAGED_PAUSE_S = 5.0

_DAMAGED = (ForeignLogError, GapError, BrokenChainError, UnreadableEntryError, LedgerError)
"""What somebody has to look into before this site is led again; other sites go on."""


class SiteLeader:
    """Follows one site's log and writes it while it leads."""

    def __init__(
        self,
        log: SiteLog,
        genesis: str,
        timing: Timing,
        owner: str,
        elapsed_ns: Callable[[], int],
        *,
        policy: SnapshotPolicy = DEFAULT_POLICY,
        replaces: str = "",
        turns: asyncio.Semaphore | None = None,
        allows_unsafe: bool = False,
    ) -> None:
        """`replaces` names the lost logs that this one stands in for, by genesis; "" = none.

        `turns` bounds how many sites of a process read their logs from the beginning at once.
        `allows_unsafe` leads although the server's settings may lose events.
        """
        self.log = log
        self.genesis = genesis
        self.planned: list[PrefixPlanned] = []
        self.planned_options: dict[str, tuple[int, OptionsPlanned]] = {}
        """Changed options by pool, with the seq of the plan's event."""
        self.bell = Bell()
        """Ring it after a change of the plan."""
        self._duty = Duty.LEAD
        self.replaces = replaces
        self._timing = timing
        self._owner = owner
        self._elapsed_ns = elapsed_ns
        self._allows_unsafe = allows_unsafe
        self._allowed_faults: list[str] = []
        self._condition = Condition(log, owner)
        self._audit = audit.bind(site=log.site, by=owner)
        self._leadership = Leadership(log, genesis, owner, self._audit)
        self._taking = Taking(log, owner, policy)
        self._verifying = Verifying(log, owner)
        self._warm = WarmLedger(
            log, genesis, self.bell, self._audit, replaces=replaces, turns=turns
        )
        self._committer = Committer(
            log,
            owner,
            self._warm,
            self._condition,
            audit=self._audit,
            renew=self._leadership.renew,
        )

    def share(self, living: frozenset[str]) -> None:
        """Share the sites with all who live, and with them only; before, every site is claimed."""
        self._leadership.living = living
        duty = duty_of(self._owner, self.log.site, living)
        if duty is not self._duty:
            self._duty = duty
            self.bell.ring()

    def doubt(self) -> None:
        """Others may have taken us for dead: whether we still lead is seen soon."""
        self._leadership.doubt()
        self.bell.ring()

    async def run(self) -> None:
        """Stand by and lead, for ever; ends only by cancellation or by our own bug."""
        try:
            while True:
                await self._serve()
        finally:
            await self._give_up()

    async def _serve(self) -> None:
        if self._duty is Duty.REST:
            self._warm.forget()
            await self.bell.or_ring(asyncio.sleep(IDLE_S, []))
            return
        try:
            claimed = await self._stand_by()
            if claimed is None:
                return
            try:
                await self._lead(claimed)
            finally:
                self._committer.stop()
                self._taking.stop()
                self._condition.stop()
        except (FencedError, ConflictError) as error:
            self._leadership.is_held = False
            self._audit.warning("leadership.lost", reason=str(error))
            self._condition.note("leadership.lost", str(error))
            self._warm.forget()
            await self._condition.say()
        except UnsafeSettingsError as error:
            await self._pause("redis.unsafe", error, DAMAGED_PAUSE_S)
        except LogUnavailableError as error:
            await self._pause("log.unavailable", error, UNAVAILABLE_PAUSE_S)
        except _DAMAGED as error:
            self._leadership.is_held = False
            is_foreign = isinstance(error, ForeignLogError)
            self._warm.forget()
            await self._pause(
                "log.foreign" if is_foreign else "log.damaged", error, DAMAGED_PAUSE_S
            )

    async def _pause(self, trouble: str, error: Exception, pause_s: float) -> None:
        self._condition.tell(trouble, str(error))
        await self._condition.say()
        await asyncio.sleep(pause_s)

    async def _stand_by(self) -> Claimed | None:
        """Follow the log until the leadership is ours; a log we cannot read is not claimed.

        None = the site is no concern of ours any more.
        """
        block_ms = 0
        await self._warm.warm_up()
        while self._duty is not Duty.REST:
            await self._warm.catch_up(block_ms)
            await self._warm.heed_loss()
            self._verifying.step(self._warm.ledger)
            if self._duty is not Duty.LEAD:
                self._stands_by()
                block_ms = int(IDLE_S * 1000)
                continue
            await self._check_settings()
            claim = await self._leadership.claim(self._warm.above)
            if isinstance(claim, Claimed):
                return claim
            self._stands_by()
            block_ms = min(claim.ttl_ms, STAND_BY_MS) + 1
        return None

    def _stands_by(self) -> None:
        """Another leads, or may; whatever there is to say of the site, he says it."""
        self._leadership.is_held = False
        self._condition.note("")

    async def _check_settings(self) -> None:
        """Refuse to lead where an answered client's lease may be lost (I2)."""
        faults = await self.log.settings_faults()
        if faults and not self._allows_unsafe:
            raise UnsafeSettingsError(faults)
        if faults and faults != self._allowed_faults:
            self._audit.critical("redis.unsafe", reason="; ".join(faults), is_allowed=True)
        self._allowed_faults = faults

    async def _lead(self, claimed: Claimed) -> None:
        head = await self._own_head(claimed)
        now_ns = self._elapsed_ns()
        site = SiteAllocator(self.log.site, self._warm.ledger, self._timing, claimed.epoch, now_ns)
        site.genesis = self.genesis
        cause = "takeover" if head.seq else "first-start"
        self._audit.info("leadership.won", epoch=claimed.epoch, cause=cause)
        self._condition.note(LEADS)
        self._committer.begin(head, site)
        self._committer.add(site.begin(cause, now_ns, self._warm.recovery()))
        await self._committer.settled()
        self._warm.recovers()
        try:
            await self._decide(site, head.cursor)
        except LogUnavailableError:
            await self._committer.settled()  # the ledger goes on, so the log must hold all of it
            raise
        await self._committer.settled()
        await self._leadership.let_go()

    async def _decide(self, site: SiteAllocator, cursor: str) -> None:
        """Decide what comes, until the site is another's.

        Where many commands wait, the next are decided while the last ones' append is under way.
        """
        committer = self._committer
        tick_at = time.monotonic()
        wait_s = 0.0  # clients have waited for a leader
        while self._duty is Duty.LEAD:
            self._decide_plans(site)
            commands = await self._commands(cursor, wait_s if committer.is_settled else 0)
            await committer.room()
            if commands:
                cursor = commands[-1].entry_id
                committer.add(site.handle(commands, self._elapsed_ns()))
            if len(commands) < MANY:
                await committer.settled()
            if site.outrun_by:  # an edge has seen a newer epoch, which the log lost
                self._warm.above = site.outrun_by
                await committer.settled()
                raise FencedError(site.outrun_by)
            if self._leadership.renew_in_s <= 0:
                await self._leadership.renew(site.epoch)
            await self._keep_books(site)
            if time.monotonic() >= tick_at:
                committer.add(site.pass_time(self._elapsed_ns()))
                tick_at = time.monotonic() + TICK_S
            wait_s = min(self._idle_s(site, tick_at), self._leadership.renew_in_s)

    def _decide_plans(self, site: SiteAllocator) -> None:
        if self._has_new_pools:
            self._committer.add(site.plan(self.planned, self._elapsed_ns()))
        for seq, planned in self.planned_options.values():
            self._committer.add(site.set_options(planned, seq, self._elapsed_ns()))
        self.planned_options.clear()

    async def _keep_books(self, site: SiteAllocator) -> None:
        """What is taken of the ledger is of what the log holds (I3), so that has to be all."""
        now_ns, ledger = self._elapsed_ns(), self._warm.ledger
        if self._condition.is_due or self._taking.is_due(ledger, now_ns):
            await self._committer.settled()
            self._condition.see(ledger)
            self._taking.begin(ledger, self._warm.position, now_ns)
        await self._condition.say()
        if taken := self._taking.finished():
            self._committer.add(site.note(taken, now_ns))

    @property
    def _has_new_pools(self) -> bool:
        return len(self.planned) > len(self._warm.ledger.pools)

    def _idle_s(self, site: SiteAllocator, tick_at: float) -> float:
        """How long nothing has to be done unless somebody asks; less than 0 = something is due."""
        if self._duty is not Duty.LEAD or self._has_new_pools or self.planned_options:
            return 0
        if self._taking.is_busy:
            return TICK_S / 2
        due_s = (site.desk.next_due_ns() - self._elapsed_ns()) / SECOND
        return min(max(due_s, tick_at - time.monotonic()), IDLE_S)

    async def _commands(self, cursor: str, wait_s: float) -> Sequence[Sent | Unreadable]:
        block_ms = max(1, int(wait_s * 1000))
        return await self.bell.or_ring(self.log.commands(cursor, READ_AT_ONCE, block_ms))

    async def _own_head(self, claimed: Claimed) -> Head:
        head = await self.log.head()
        if head is None:
            raise ForeignLogError("the head vanished")
        if head.epoch != claimed.epoch:
            raise FencedError(head.epoch)
        if head.seq != self._warm.position.seq:
            await self._warm.catch_up()
        if (head.seq, head.h) != (self._warm.position.seq, self._warm.position.h):
            raise ConflictError(head.seq, head.h)
        return head

    async def _give_up(self) -> None:
        self._verifying.stop()
        if self._leadership.is_held:
            with contextlib.suppress(LogError):
                await self._leadership.let_go()
        await self.log.close()
