"""One site in one allocator process: stand by warm, lead when the leadership is free.

The append script is what makes two allocators safe; the leadership only saves their work.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from lease_core.audit import event_name, fields_of
from lease_core.domain.desk import Timing
from lease_core.domain.events import PrefixPlanned
from lease_core.domain.ledger import Ledger
from lease_core.log.port import (
    Batch,
    Claimed,
    ConflictError,
    FencedError,
    ForeignLogError,
    Head,
    LogUnavailableError,
    OutcomeUnknownError,
    SiteLog,
)
from lease_core.log.reader import Position, advance
from lease_core.log.writer import build, commit, restamp
from lease_core.service.site_allocator import Draft, SiteAllocator

audit = structlog.get_logger("allocator")

LEADERSHIP_MS = 3000
RENEW_S = 1.0
TICK_S = 0.5
READ_COUNT = 512
PAUSE_S = 0.2


class SiteLeader:
    """Follows one site's log and writes it while it leads."""

    def __init__(
        self,
        log: SiteLog,
        genesis: str,
        timing: Timing,
        owner: str,
        elapsed_ns: Callable[[], int],
    ) -> None:
        self.log = log
        self.planned: list[PrefixPlanned] = []
        self._genesis = genesis
        self._timing = timing
        self._owner = owner
        self._elapsed_ns = elapsed_ns
        self._clock_offset_ms = 0
        self._leads = False
        self._audit = audit.bind(site=log.site, by=owner)
        self._forget()

    def _forget(self) -> None:
        self._ledger = Ledger()
        self._position = Position(self._genesis)

    async def run(self) -> None:
        """Stand by and lead, for ever; ends only by cancellation or by our own bug."""
        try:
            while True:
                await self._serve()
        finally:
            await self._give_up()

    async def _serve(self) -> None:
        try:
            claimed = await self._stand_by()
            self._leads = True
            await self._lead(claimed)
        except (FencedError, ConflictError) as error:
            self._leads = False
            self._audit.warning("leadership.lost", reason=str(error))
            self._forget()
        except LogUnavailableError as error:
            self._audit.error("log.unavailable", reason=str(error))
            await asyncio.sleep(1)
        except ForeignLogError as error:
            self._audit.critical("log.foreign", reason=str(error))
            self._forget()
            await asyncio.sleep(5)

    async def _stand_by(self) -> Claimed:
        """Follow the log until the leadership is ours."""
        while True:
            claim = await self.log.claim(self._owner, LEADERSHIP_MS, self._genesis)
            if isinstance(claim, Claimed):
                return claim
            await self._catch_up(block_ms=min(claim.ttl_ms, 500) + 1)

    async def _catch_up(self, block_ms: int = 0) -> None:
        while records := await self.log.read(self._position.entry_id, READ_COUNT, block_ms):
            for record in records:
                self._position = advance(self._position, record)
                self._ledger.evolve(record.seq, record.epoch, record.event)
            block_ms = 0

    async def _lead(self, claimed: Claimed) -> None:
        await self._catch_up()
        head = await self._own_head(claimed)
        now_ns = self._elapsed_ns()
        site = SiteAllocator(self.log.site, self._ledger, self._timing, claimed.epoch, now_ns)
        cause = "takeover" if head.seq else "first-start"
        self._audit.info("leadership.won", epoch=claimed.epoch, cause=cause)
        head = await self._commit(head, site, site.begin(cause, now_ns))
        renew_at = tick_at = time.monotonic()
        while True:
            if len(self.planned) > len(self._ledger.pools):
                head = await self._commit(head, site, site.plan(self.planned, self._elapsed_ns()))
            if time.monotonic() >= renew_at:
                await self._renew(claimed)
                renew_at = time.monotonic() + RENEW_S
            if time.monotonic() >= tick_at:
                head = await self._commit(head, site, site.pass_time(self._elapsed_ns()))
                tick_at = time.monotonic() + TICK_S
            commands = await self.log.commands(head.cursor, READ_COUNT, int(TICK_S * 500))
            head = await self._commit(head, site, site.handle(commands, self._elapsed_ns()))

    async def _own_head(self, claimed: Claimed) -> Head:
        head = await self.log.head()
        if head is None:
            raise ForeignLogError("the head vanished")
        if head.epoch != claimed.epoch:
            raise FencedError(head.epoch)
        if (head.seq, head.h) != (self._position.seq, self._position.h):
            raise ConflictError(head.seq, head.h)
        return head

    async def _renew(self, claimed: Claimed) -> None:
        claim = await self.log.claim(self._owner, LEADERSHIP_MS, self._genesis)
        if not isinstance(claim, Claimed) or claim.epoch != claimed.epoch:
            raise FencedError(claim.epoch if isinstance(claim, Claimed) else claimed.epoch + 1)

    async def _commit(self, head: Head, site: SiteAllocator, draft: Draft) -> Head:
        """Append a draft durably; only then is anything in it true for anybody else."""
        if not draft:
            return head
        batch = await self._append(self._build(head, site, draft))
        for record in batch.records:
            self._position = advance(self._position, record)
            name = event_name(record.event)
            fields = fields_of(record.event)
            self._audit.info(name, stage="appended", event_id=record.entry_id, **fields)
        return batch.after

    async def _append(self, batch: Batch) -> Batch:
        """Append until it is settled; the same batch under one id is written at most once."""
        while True:
            try:
                written, end = await commit(self.log, batch)
            except (LogUnavailableError, OutcomeUnknownError) as error:
                self._audit.error("append.unsettled", batch=batch.batch_id, reason=str(error))
                await asyncio.sleep(PAUSE_S)
                continue
            if written.after.h != end.h:  # an earlier try was written, at another commit time
                written = restamp(written, int(end.last_id.split("-")[0]))
            self._clock_offset_ms += written.commit_ms - batch.commit_ms
            return written

    def _build(self, head: Head, site: SiteAllocator, draft: Draft) -> Batch:
        last_ms = int(head.last_id.split("-")[0])
        return build(
            head,
            draft.events,
            by=self._owner.split("#")[0],
            epoch=site.epoch,
            commit_ms=max(time.time_ns() // 1_000_000 + self._clock_offset_ms, last_ms),
            answers=draft.answers,
            cursor=draft.cursor,
            batch_id=draft.batch_id,
        )

    async def _give_up(self) -> None:
        """Let a standby take over at once instead of after the time to live."""
        if self._leads:
            with contextlib.suppress(LogUnavailableError, ForeignLogError):
                await self.log.claim(self._owner, 1, self._genesis)
                self._audit.info("leadership.given-up")
        await self.log.close()
