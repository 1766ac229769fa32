"""The follower: reads events and answers, checks each, and hands them on in batches.

It never skips. What it cannot follow is a state with an action, not an error to swallow.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum

import structlog

from lease_core.domain.events import Record
from lease_core.domain.ledger import LedgerError
from lease_core.log.port import (
    Ahead,
    Answered,
    Followed,
    ForeignLogError,
    Head,
    LogUnavailableError,
    LostLogError,
    SiteLog,
    Unreadable,
    UnreadableEntryError,
)
from lease_core.log.reader import (
    BrokenChainError,
    GapError,
    Position,
    Standing,
    advance_all,
    standing,
)

BLOCK_MS = 6_000
COMPARE_S = 5.0
RETRY_S = 0.5
REJOIN_S = 1.0
READ_COUNT = 1000
MAX_AHEAD = 20_000
"""Events that an edge holds at once until it has read up to the mark; for more it rebuilds."""
SAME_SERVER_MS = 1
"""Reads that wait, if only so long, are put to the server that was read from before."""
MARK_POLL_S = 0.002
MARK_POLL_MAX_S = 0.1


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


LOST = frozenset((Following.REGRESSED, Following.FOREIGN, Following.STALE))
"""The log is not the one that was followed: known clients go on, nothing new is taken."""


class ContradictionError(Exception):
    """An event contradicts the tables; `position` is the end of what was applied before it."""

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(f"after {position.entry_id}: {reason}")
        self.position = position


Apply = Callable[[Sequence[Record], Position, list[Answered]], None]
"""Apply records, which end at the position, then answers. May raise ContradictionError."""
Rebuild = Callable[[], Awaitable[Position]]
"""Bring the tables to the log's end by other means; returns that end.

May raise LostLogError: it is not the log that was followed.
"""
Rejoin = Callable[[], Awaitable[Position | None]]
"""Come over to a log that is not the one that was followed; None = it does not take us yet."""


class Follower:
    def __init__(
        self,
        log: SiteLog,
        position: Position,
        *,
        apply: Apply,
        rebuild: Rebuild,
        rejoin: Rejoin,
        tell: Callable[[Following], None],
        needs_rebuild: bool = False,
    ) -> None:
        """`tell` hears of every new state; `needs_rebuild` = the tables cannot be gone on with."""
        self.position = position
        self.state = Following.CATCHING_UP
        self._log = log
        self._apply = apply
        self._rebuild = rebuild
        self._rejoin = rejoin
        self._is_doubtful = True
        self._tell = tell
        self._needs_rebuild = needs_rebuild
        self._answers_after = ""
        self._mark: tuple[int, str] | None = None
        self._compared_at = -COMPARE_S
        self._behind_at: Position | None = None
        self._ahead: Ahead | None = None
        self._audit = structlog.get_logger("edge").bind(site=log.site)

    async def run(self) -> None:
        """Follow for ever; ends only by cancellation or by our own bug."""
        while True:
            try:
                await self._step()
            except LogUnavailableError as error:
                await self._pause(Following.UNREACHABLE, error, RETRY_S)
            except LostLogError as error:
                self._needs_rebuild = False
                await self._pause(Following.REGRESSED, error, 0)
            except ForeignLogError as error:
                await self._pause(Following.FOREIGN, error, COMPARE_S)
            except BrokenChainError as error:
                is_edited = await self._is_held() is True
                await self._pause(
                    Following.HALTED if is_edited else Following.REGRESSED, error, COMPARE_S
                )
            except (UnreadableEntryError, LedgerError) as error:
                await self._pause(Following.HALTED, error, COMPARE_S)
            except ContradictionError as error:
                self.position = error.position
                await self._pause(Following.HALTED, error, COMPARE_S)
            except GapError as error:
                if self._needs_rebuild:  # the log itself has the gap
                    await self._pause(Following.HALTED, error, COMPARE_S)
                else:
                    self._enter(Following.GAP, str(error))
                    self._needs_rebuild = True

    async def _pause(self, state: Following, error: Exception, pause_s: float) -> None:
        self._enter(state, str(error))
        self._compared_at = -COMPARE_S
        self._behind_at = None
        self._is_doubtful = True
        await asyncio.sleep(pause_s)

    async def _step(self) -> None:
        ahead, self._ahead = self._ahead, None
        if self._needs_rebuild:
            self.position = await self._rebuilt()
            self._needs_rebuild = False
        if not self._answers_after:
            self._answers_after = await self._log.last_answer_id()
        if time.monotonic() - self._compared_at >= COMPARE_S:
            ahead = None  # it was asked for before, and the head knows more
            if not await self._compare():
                await self._come_over()
                return
        came = await self._held(await (ahead or self._read)())
        position = advance_all(self.position, came.records)
        if came.answers:
            self._answers_after = came.answers[-1].entry_id
        answers = [answer for answer in came.answers if not isinstance(answer, Unreadable)]
        if came.records or answers:
            self._apply(came.records, position, answers)
        self.position = position
        if self.state is not Following.LIVE and len(came.records) < READ_COUNT:
            self._compared_at = -COMPARE_S
        self._ahead = came.ahead

    async def _read(self) -> Followed:
        after = self.position.entry_id, self._answers_after
        return await self._log.follow(*after, BLOCK_MS, READ_COUNT)

    async def _held(self, came: Followed) -> Followed:
        """What replicas hold of it, where they have to: all else may still get lost (I2).

        Waits for the rest no longer than a read would; it comes again with the next one. Whether
        they have to changes only with an epoch.
        """
        if came.records and came.records[-1].epoch != self.position.epoch:
            await self._read_mark()
        deadline, pause_s = time.monotonic() + BLOCK_MS / 1000, MARK_POLL_S
        while self._is_beyond_mark(came.records) and time.monotonic() < deadline:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MARK_POLL_MAX_S)
            await self._read_mark()
        if not (self._mark and came.records):
            return came
        seq, h = self._mark
        is_all = came.records[-1].seq <= seq
        records = await self._read_to(seq, came.records)
        held = records if is_all else [each for each in records if each.seq <= seq]
        if held and held[-1].seq != seq:
            raise GapError(f"event {seq}, which replicas hold, is missing")
        if held and held[-1].h != h:  # told by two servers
            await self._log.reconnect()
            raise BrokenChainError(f"replicas hold another event {held[-1].entry_id}")
        return Followed(records=held, answers=came.answers if is_all else [])

    async def _read_to(self, seq: int, records: Sequence[Record]) -> Sequence[Record]:
        """The records and those behind them, up to the mark: only its hash says that they are held.

        Another server may have told of the mark.

        Raises:
            GapError: they would be more than `MAX_AHEAD`.
            LogUnavailableError: there are none.
        """
        while records[-1].seq < seq:
            if len(records) >= MAX_AHEAD:
                raise GapError(f"{seq - records[0].seq} events are behind what replicas hold")
            count = min(seq - records[-1].seq, READ_COUNT)
            more = await self._log.read(records[-1].entry_id, count, SAME_SERVER_MS)
            if not more:
                await self._log.reconnect()
                raise LogUnavailableError(f"this server has no event {seq}, which replicas hold")
            records = [*records, *more]
        return records

    async def _read_mark(self) -> None:
        head = await self._log.head()
        if head is None or head.genesis != self.position.genesis:
            raise LostLogError("its head is gone")
        self._mark = _mark_of(head)

    def _is_beyond_mark(self, records: Sequence[Record]) -> bool:
        return bool(records and self._mark and records[-1].seq > self._mark[0])

    async def _compare(self) -> bool:
        """Hold the position against the head; True = following may go on."""
        head = await self._log.head()
        if standing(self.position, head) is Standing.STALE:
            await self._log.reconnect()
            head = await self._log.head()
        self._mark = _mark_of(head)
        found = standing(self.position, head)
        if self._is_doubtful and found in {Standing.LIVE, Standing.BEHIND}:
            held = await self._is_held()
            was_lost = self.state is Following.REGRESSED
            found = Standing.REGRESSED if held is False or (was_lost and not held) else found
            self._is_doubtful = False
        self._compared_at = time.monotonic()
        match found:
            case Standing.LIVE:
                self._enter(Following.LIVE)
            case Standing.BEHIND:
                self._check_progress()
            case Standing.REGRESSED | Standing.FOREIGN | Standing.STALE:
                self._enter(Following(found.value), f"position {self.position.entry_id}")
                self._compared_at = -COMPARE_S
                return False
        self._behind_at = self.position if found is Standing.BEHIND else None
        return True

    async def _is_held(self) -> bool | None:
        """Whether the log still has the event at the position; None = that cannot be told."""
        position = self.position
        if not position.seq:
            return True
        try:
            own = await self._log.read(position.before_id, 1)
        except (LogUnavailableError, UnreadableEntryError):
            return None
        if not own or own[0].seq != position.seq:
            return None
        return own[0].h == position.h

    async def _rebuilt(self) -> Position:
        """The end of the log whose state the tables have now, be it another one's."""
        try:
            return await self._rebuild()
        except ForeignLogError:
            position = await self._rejoin()
            if position is None:
                raise
            return position

    async def _come_over(self) -> None:
        """The log lost what was followed: go on with it as soon as it knows what was promised."""
        self._is_doubtful = True
        position = await self._rejoin()
        if position is None:
            await asyncio.sleep(REJOIN_S)
            return
        self.position = position
        self._answers_after = ""
        self._enter(Following.CATCHING_UP, "came over")

    def _check_progress(self) -> None:
        """A live or halted follower stays so until it reads on; behind twice is no progress."""
        if self._behind_at == self.position:
            raise GapError(f"the log goes on after {self.position.entry_id}, but nothing comes")
        if self.state not in {Following.LIVE, Following.HALTED}:
            self._enter(Following.CATCHING_UP)

    def _enter(self, state: Following, reason: str = "") -> None:
        if state is self.state:
            return
        is_well = state in {Following.LIVE, Following.CATCHING_UP}
        log = self._audit.info if is_well else self._audit.critical
        log("follower.state", state=state, before=self.state, reason=reason)
        self.state = state
        self._tell(state)


def _mark_of(head: Head | None) -> tuple[int, str] | None:
    """The last event that replicas hold, and its hash; None = none have to."""
    if head is None or head.committed is None:
        return None
    return head.committed, head.committed_h
