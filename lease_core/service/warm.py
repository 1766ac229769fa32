"""What a process holds of one site: the state that its log tells, followed event by event.

It remembers what it saw before it started over, so it notices a log that went back.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from lease_core.domain.events import Record, RecoveryStarted
from lease_core.domain.ledger import EdgeLife, Ledger
from lease_core.log.port import SiteLog
from lease_core.log.reader import GapError, Position, advance
from lease_core.log.snapshot import newest_snapshot, still_holds
from lease_core.service.bell import Bell

READ_COUNT = 512


class WarmLedger:
    """The ledger of a site at `position` of its log; who leads moves both on."""

    def __init__(
        self,
        log: SiteLog,
        genesis: str,
        bell: Bell,
        audit: Any,
        *,
        replaces: str = "",
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        """`bell` ends a wait for records; `replaces` and `turns` as of `SiteLeader`."""
        self.ledger = Ledger()
        self.position = self._seen = Position(genesis)
        self.above = 0
        """An epoch that was seen elsewhere: only under one above it edges come over (I5)."""
        self._log = log
        self._genesis = genesis
        self._bell = bell
        self._audit = audit
        self._replaces = replaces
        self._turns = turns or asyncio.Semaphore()
        self._life: EdgeLife | None = None
        self._has_lost = False

    def forget(self) -> None:
        """Start over from the log, which should still hold what it held when we last saw it."""
        if self.position.seq > self._seen.seq:
            self._seen = self.position
            self._life = self.ledger.edge or self._life
        self.ledger = Ledger()
        self.position = Position(self._genesis)

    async def warm_up(self) -> None:
        """Read the log from its newest snapshot on, unless some of it was read before."""
        if not self.position.seq:
            async with self._turns:
                await self._begin_at_snapshot()
                await self.catch_up()

    async def _begin_at_snapshot(self) -> None:
        head = await self._log.head()
        is_ours = head is not None and head.genesis == self._genesis
        start = await newest_snapshot(self._log, head) if head and is_ours else None
        if start:
            self.ledger, self.position = start
            if not await still_holds(self._log, self._seen, self.position):
                self._note_loss()

    async def catch_up(self, block_ms: int = 0) -> None:
        """Follow the log to its end; wait so long for the first record."""
        while records := await self._read(block_ms):
            for record in records:
                position = advance(self.position, record)
                if position.seq == self._seen.seq and position.h != self._seen.h:
                    self._note_loss()
                if isinstance(record.event, RecoveryStarted) and record.epoch > self.above:
                    self._has_lost = False  # whoever leads knows of it
                self.ledger.evolve(record.seq, record.epoch, record.event)
                self.position = position
            block_ms = 0

    async def _read(self, block_ms: int) -> Sequence[Record]:
        reading = self._log.read(self.position.entry_id, READ_COUNT, block_ms)
        return await self._bell.or_ring(reading) if block_ms else await reading

    async def heed_loss(self) -> None:
        """Notice a log that ends before what it held; one that only misses events is damaged."""
        if self.position.seq >= self._seen.seq:
            return
        head = await self._log.head()
        if head and head.seq > self.position.seq:
            raise GapError(f"the events behind {self.position.entry_id} are gone")
        self._note_loss()

    def _note_loss(self) -> None:
        """What was lost may be promised: whoever leads next recovers first (I1, I5)."""
        self._audit.critical("log.went-back", seen=self._seen.entry_id)
        self.above = max(self.above, self._seen.epoch)
        self._has_lost, self._seen = True, Position(self._genesis)

    def recovery(self) -> RecoveryStarted | None:
        """What the first batch of an epoch says of events that are lost."""
        lost = tuple(self._replaces.split())
        if lost and self.ledger.replaces[-len(lost) :] != lost:
            return RecoveryStarted(cause="recreated", replaces=self._replaces)
        if not self._has_lost:
            return None
        life = self._life or self.ledger.edge
        return RecoveryStarted(
            cause="log-went-back",
            edge=life.edge if life else "",
            incarnation=life.incarnation if life else "",
        )

    def recovers(self) -> None:
        """The log says that events are lost, or none are."""
        self._has_lost = False
