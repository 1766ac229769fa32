"""Committing: what was decided becomes a batch that is appended until its fate is known.

More can be decided meanwhile; it goes together into the next append.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from lease_core.audit import tell_records
from lease_core.domain.speakers import speaker
from lease_core.log.port import (
    Batch,
    ClockError,
    Head,
    LogUnavailableError,
    NotReplicatedError,
    OutcomeUnknownError,
    SiteLog,
)
from lease_core.log.writer import build, restamp
from lease_core.service.condition import LEADS, Condition
from lease_core.service.site_allocator import Draft, SiteAllocator
from lease_core.service.warm import WarmLedger

PAUSE_S = 0.2
CLOCK_TRIES = 3


class Committer:
    """Appends for one site what its leader decides, one batch at a time."""

    def __init__(
        self,
        log: SiteLog,
        owner: str,
        warm: WarmLedger,
        condition: Condition,
        *,
        audit: Any,
        renew: Callable[[int], Awaitable[None]],
    ) -> None:
        """It moves the position of `warm` on; the ledger there is ahead by what is not settled.

        `renew` renews the leadership of an epoch; it is called while replicas are missing.
        """
        self._log = log
        self._by = speaker(owner)
        self._warm = warm
        self._condition = condition
        self._audit = audit
        self._renew = renew
        self._clock_offset_ms = 0
        self._draft = Draft()
        self._goes_on = asyncio.Event()
        self._appending: asyncio.Task[None] | None = None

    def begin(self, head: Head, site: SiteAllocator) -> None:
        """Append behind `head` for another leadership."""
        self._head, self._site, self._draft = head, site, Draft()

    def stop(self) -> None:
        if self._appending:
            self._appending.cancel()
            self._appending = None

    @property
    def is_settled(self) -> bool:
        """The log holds all that was decided."""
        return self._appending is None

    def add(self, draft: Draft) -> None:
        """Have a draft appended durably; only then is anything in it true for anybody else."""
        self._draft.add(draft)
        if self._draft and self._appending is None:
            self._appending = asyncio.create_task(self._append_drafts())
            self._appending.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def room(self) -> None:
        """Wait while a draft waits for the append before it (I12). Raises as `settled`."""
        while self._draft and self._appending and not self._appending.done():
            self._goes_on.clear()
            await self._goes_on.wait()
        if self._draft:
            await self.settled()

    async def settled(self) -> None:
        """Wait until the log holds all that was decided, also for a log that is unavailable.

        Raises:
            LogError: as `SiteLog.append`; what is not in the log is void.
        """
        if self._appending:
            await self._appending

    async def _append_drafts(self) -> None:
        try:
            while self._draft:
                draft, self._draft = self._draft, Draft()
                self._goes_on.set()
                batch = await self._append(self._build(draft))
                self._head = batch.after
                if batch.records:
                    self._warm.position = self._warm.position.behind(batch.records[-1])
                tell_records(self._audit, "appended", batch.records)
            self._appending = None
        finally:
            self._goes_on.set()

    async def _append(self, batch: Batch) -> Batch:
        """Append until it is settled; the same batch under one id is written at most once.

        Returns the batch as it was written, perhaps at another commit time.
        """
        wanted_ms, restamped, is_told = batch.commit_ms, 0, False
        while True:
            try:
                await self._log.append(batch)
            except ClockError as error:
                batch = restamp(batch, error.commit_ms)
                restamped += 1
                await asyncio.sleep(PAUSE_S if restamped > CLOCK_TRIES else 0)
            except (LogUnavailableError, OutcomeUnknownError) as error:
                if not is_told:
                    self._audit.error("append.unsettled", batch=batch.batch_id, reason=str(error))
                is_told = True
                if isinstance(error, NotReplicatedError):
                    await self._stay(batch, error)
                await asyncio.sleep(PAUSE_S)
            else:
                break
        if is_told:
            self._audit.info("append.settled", batch=batch.batch_id)
            self._condition.note(LEADS)
        self._clock_offset_ms += batch.commit_ms - wanted_ms
        return batch

    async def _stay(self, batch: Batch, error: NotReplicatedError) -> None:
        """Lead on while replicas are missing: another leader would wait for them as well."""
        self._condition.note("append.unsettled", str(error))
        await self._condition.say()
        with contextlib.suppress(LogUnavailableError):
            await self._renew(batch.after.epoch)

    def _build(self, draft: Draft) -> Batch:
        last_ms = int(self._head.last_id.split("-")[0])
        return build(
            self._head,
            draft.events,
            by=self._by,
            epoch=self._site.epoch,
            commit_ms=max(time.time_ns() // 1_000_000 + self._clock_offset_ms, last_ms),
            answers=draft.answers,
            cursor=draft.cursor,
            batch_id=secrets.token_hex(8),
            reads=self._site.reads,
        )
