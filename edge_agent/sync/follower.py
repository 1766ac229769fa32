"""The follower: reads events and answers, checks each, and hands them on in batches.

It never skips. What it cannot follow is a state with an action, not an error to swallow.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from lease_core.domain.events import Record
from lease_core.log.port import (
    Answered,
    LogUnavailableError,
    SiteLog,
    Unreadable,
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

audit = structlog.get_logger("edge")

BLOCK_MS = 1000
COMPARE_S = 5.0
READ_COUNT = 500


class Following(StrEnum):
    """What the edge may do: only a live one accepts anything new or says NAK."""

    CATCHING_UP = "catching-up"
    LIVE = "live"
    UNREACHABLE = "unreachable"
    GAP = "gap"
    REGRESSED = "regressed"
    FOREIGN = "foreign"
    STALE = "stale"
    HALTED = "halted"


Apply = Callable[[list[Record], Position, list[Answered]], None]
"""Apply records, which end at the position, then answers."""
Rebuild = Callable[[], Awaitable[Position]]
"""Bring the tables to the log's end by other means; returns that end."""


class Follower:
    def __init__(
        self,
        log: SiteLog,
        position: Position,
        *,
        apply: Apply,
        rebuild: Rebuild,
        tell: Callable[[Following], None],
    ) -> None:
        """`tell` hears of every new state."""
        self.position = position
        self.state = Following.CATCHING_UP
        self._log = log
        self._apply = apply
        self._rebuild = rebuild
        self._tell = tell
        self._answers_after = ""
        self._compared_at = 0.0

    async def run(self) -> None:
        """Follow for ever; ends only by cancellation or by our own bug."""
        while True:
            try:
                await self._step()
            except LogUnavailableError as error:
                self._enter(Following.UNREACHABLE, str(error))
                self._compared_at = 0.0
                await asyncio.sleep(0.5)
            except GapError as error:
                self._enter(Following.GAP, str(error))
                await self.recover()
            except (BrokenChainError, UnreadableEntryError) as error:
                self._enter(Following.HALTED, str(error))
                await asyncio.sleep(COMPARE_S)

    async def _step(self) -> None:
        if not self._answers_after:
            self._answers_after = await self._log.last_answer_id()
        if time.monotonic() - self._compared_at >= COMPARE_S and not await self._compare():
            await asyncio.sleep(COMPARE_S)
            return
        came = await self._log.follow(
            self.position.entry_id, self._answers_after, BLOCK_MS, READ_COUNT
        )
        position = self.position
        for record in came.records:
            position = advance(position, record)
        if came.answers:
            self._answers_after = came.answers[-1].entry_id
        answers = [answer for answer in came.answers if not isinstance(answer, Unreadable)]
        if came.records or answers:
            self._apply(came.records, position, answers)
        self.position = position
        if self.state is Following.CATCHING_UP and len(came.records) < READ_COUNT:
            self._compared_at = 0.0

    async def _compare(self) -> bool:
        """Hold the position against the head; True = following may go on."""
        found = standing(self.position, await self._log.head())
        self._compared_at = time.monotonic()
        match found:
            case Standing.LIVE:
                self._enter(Following.LIVE)
            case Standing.BEHIND:
                if self.state is not Following.LIVE:
                    self._enter(Following.CATCHING_UP)
            case Standing.REGRESSED | Standing.FOREIGN | Standing.STALE:
                self._enter(Following(found.value), f"position {self.position.entry_id}")
                self._compared_at = 0.0
                return False
        return True

    async def recover(self) -> None:
        """Reach the log's end by a rebuild instead of event by event."""
        try:
            self.position = await self._rebuild()
        except LogUnavailableError as error:
            self._enter(Following.UNREACHABLE, str(error))
            await asyncio.sleep(1)
        except (GapError, BrokenChainError, UnreadableEntryError) as error:
            self._enter(Following.HALTED, str(error))
            await asyncio.sleep(COMPARE_S)

    def _enter(self, state: Following, reason: str = "") -> None:
        if state is self.state:
            return
        is_well = state in {Following.LIVE, Following.CATCHING_UP}
        log = audit.info if is_well else audit.critical
        log("follower.state", state=state, before=self.state, reason=reason)
        self.state = state
        self._tell(state)
