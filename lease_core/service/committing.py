"""Committing: what was decided becomes a batch that is appended until its fate is known."""

import asyncio
import contextlib
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

PAUSE_S = 0.2
CLOCK_TRIES = 3


class Committer:
    """Appends for one site what its leader decides."""

    def __init__(
        self,
        log: SiteLog,
        owner: str,
        condition: Condition,
        audit: Any,
        renew: Callable[[int], Awaitable[None]],
    ) -> None:
        """`renew` renews the leadership of an epoch; it is called while replicas are missing."""
        self._log = log
        self._by = speaker(owner)
        self._condition = condition
        self._audit = audit
        self._renew = renew
        self._clock_offset_ms = 0

    async def commit(self, head: Head, site: SiteAllocator, draft: Draft) -> Batch:
        """Append a draft durably; only then is anything in it true for anybody else.

        Raises:
            LogError: as `SiteLog.append`; it waits for an unavailable log and a settled outcome.
        """
        batch = await self._append(self._build(head, site, draft))
        tell_records(self._audit, "appended", batch.records)
        return batch

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

    def _build(self, head: Head, site: SiteAllocator, draft: Draft) -> Batch:
        last_ms = int(head.last_id.split("-")[0])
        return build(
            head,
            draft.events,
            by=self._by,
            epoch=site.epoch,
            commit_ms=max(time.time_ns() // 1_000_000 + self._clock_offset_ms, last_ms),
            answers=draft.answers,
            cursor=draft.cursor,
            batch_id=draft.batch_id,
            reads=site.reads,
        )
