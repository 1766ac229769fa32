"""The log without Redis: the same contract for tests, simulations and a first look.

Entries are kept as encoded fields, so the wire format is exercised as with Redis. One event loop;
nothing is durable.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lease_core.domain import values
from lease_core.domain.commands import Command, Sent, may_be_forgotten
from lease_core.domain.events import Record
from lease_core.log.decoding import answered_of, sent_of
from lease_core.log.errors import (
    ClockError,
    ConflictError,
    FencedError,
    ForeignLogError,
    LogUnavailableError,
)
from lease_core.log.keys import Keys
from lease_core.log.memory_snapshots import MemorySnapshots
from lease_core.log.memory_store import MemoryServer, Site, id_text
from lease_core.log.port import (
    MAX_ANSWERS,
    MAX_BLOCK_MS,
    MAX_SENT,
    MAX_SKEW_MS,
    ZERO_HASH,
    ZERO_ID,
    Answered,
    Appended,
    Batch,
    Claimed,
    Followed,
    Head,
    HeldBy,
    Unreadable,
)
from lease_core.log.runs import records_of
from lease_core.log.wire import encode_commands, parse_id


class MemoryLog(MemorySnapshots):
    """`SiteLog` over a `MemoryServer`; without one it is alone.

    With `replicas` a new epoch begins the mark of what they hold; to wait for them before `_commit`
    moves it is up to whoever models them.
    """

    def __init__(self, site: str, server: MemoryServer | None = None, replicas: int = 0) -> None:
        super().__init__(server or MemoryServer(), Keys(site).site)
        self._replicas = replicas

    @property
    def site(self) -> str:
        return self._site_name

    async def reconnect(self) -> None:
        """There is one source only."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def now_ms(self) -> int:
        self._server.site(self.site)
        return self._server.now_ms()

    async def head(self) -> Head | None:
        return self._site.head

    async def create(self, genesis: str) -> str:
        site = self._site
        if site.head is None:
            if site.events.ids:
                raise ForeignLogError("events lie there without a head")
            site.head = Head(
                genesis=genesis,
                epoch=0,
                seq=0,
                h=ZERO_HASH,
                last_id=ZERO_ID,
                batch="",
                cursor=ZERO_ID,
                owner="",
            )
        return site.head.genesis

    async def claim(
        self, owner: str, ttl_ms: int, genesis: str, above: int = 0, dead: str = ""
    ) -> Claimed | HeldBy:
        site, now_ms = self._site, self._server.now_ms()
        head = _known(site.head, genesis)
        _check_tail(site, head)
        is_held = site.leader and site.leader[1] > now_ms and site.leader[0] != dead
        held = site.leader if is_held and site.is_led_here else None
        if held and held[0] != owner:
            return HeldBy(owner=held[0], ttl_ms=held[1] - now_ms)
        site.leader = (owner, now_ms + ttl_ms)
        if held and head.owner == owner and head.epoch > above:
            return Claimed(epoch=head.epoch, is_new=False)
        epoch = max(head.epoch, above) + 1
        site.head, site.led_on = replace(self._marked(head), epoch=epoch, owner=owner), site.server
        return Claimed(epoch=epoch, is_new=True)

    async def append(self, batch: Batch) -> Appended:
        site = self._site
        head = _known(site.head, batch.before.genesis)
        if head.batch == batch.batch_id:
            if head.h != batch.after.h:
                raise ConflictError(head.seq, head.h)
            return _appended(head, is_duplicate=True)
        self._check(site, head, batch)
        for record, entry in zip(batch.records, batch.event_fields, strict=True):
            site.events.add((record.commit_ms, record.seq), entry.flat())
        for entry in batch.answer_fields:
            site.answers.add_now(self._server.now_ms(), entry.flat())
        site.answers.drop(len(site.answers.ids) - MAX_ANSWERS)
        if batch.cursor:
            site.drop_commands_below(parse_id(batch.cursor.encode()))
        site.head = replace(
            batch.after,
            owner=head.owner,
            cursor=batch.cursor or head.cursor,
            committed=head.committed,
            committed_h=head.committed_h,
        )
        site.wake()
        return _appended(site.head, is_duplicate=False)

    def _marked(self, head: Head) -> Head:
        """The head with the mark that an epoch of this writer begins with."""
        if not self._replicas:
            return replace(head, committed=None, committed_h="")
        if head.committed is None:
            return replace(head, committed=head.seq, committed_h=head.h)
        return head

    async def _commit(self, batch: Batch) -> None:
        """What committed.lua does."""
        site, after = self._site, batch.after
        head = _known(site.head, after.genesis)
        if head.epoch != after.epoch:
            raise FencedError(head.epoch)
        if head.committed is None or head.committed < after.seq:
            site.head = replace(head, committed=after.seq, committed_h=after.h)

    def _check(self, site: Site, head: Head, batch: Batch) -> None:
        """The refusals of append.lua, in its order."""
        if head.epoch != batch.after.epoch or not site.is_led_here:
            raise FencedError(head.epoch)
        if (head.seq, head.h) != (batch.before.seq, batch.before.h):
            raise ConflictError(head.seq, head.h)
        _check_tail(site, head)
        if site.events.ids and not head.seq:
            raise ForeignLogError("its last event is not what the head says")
        last_ms = parse_id(head.last_id.encode())[0]
        wanted_ms = max(self._server.now_ms(), last_ms)
        is_off = batch.commit_ms < last_ms or abs(batch.commit_ms - wanted_ms) > MAX_SKEW_MS
        if batch.records and is_off:
            raise ClockError(wanted_ms)
        if batch.cursor and parse_id(batch.cursor.encode()) < parse_id(head.cursor.encode()):
            raise ValueError("inconsistent batch: its cursor goes back")

    async def send(self, command: Command, by: str) -> str:
        return await self.send_many([command], by)

    async def send_many(self, commands: Sequence[Command], by: str) -> str:
        if not commands:
            return ""
        site = self._site
        entries = encode_commands(commands, by)
        if len(site.commands.ids) + len(entries) > MAX_SENT:
            raise LogUnavailableError(f"{MAX_SENT} batches of commands wait for an allocator")
        is_fleeting = may_be_forgotten(commands)
        now_ms = self._server.now_ms()
        *_, last = [site.queue(now_ms, entry, is_fleeting=is_fleeting) for entry in entries]
        site.wake()
        return last

    async def read(self, after_id: str, count: int = 500, block_ms: int = 0) -> Sequence[Record]:
        await self._wait(block_ms, lambda site: bool(site.events.after(after_id, 1)))
        return records_of(self._site.events.after(after_id, count))

    async def commands(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Sent | Unreadable]:
        await self._wait(block_ms, lambda site: bool(site.commands.after(after_id, 1)))
        return sent_of(self._site.commands.after(after_id, count))

    async def answers(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Answered | Unreadable]:
        await self._wait(block_ms, lambda site: bool(site.answers.after(after_id, 1)))
        return answered_of(self._site.answers.after(after_id, count))

    async def follow(
        self, events_after: str, answers_after: str, block_ms: int = 0, count: int = 500
    ) -> Followed:
        await self._wait(
            block_ms,
            lambda site: bool(
                site.events.after(events_after, 1) or site.answers.after(answers_after, 1)
            ),
        )
        return Followed(
            records=records_of(self._site.events.after(events_after, count)),
            answers=answered_of(self._site.answers.after(answers_after, count)),
        )

    async def last_answer_id(self) -> str:
        return id_text(self._site.answers.last)

    async def report(self, edge: str, report: Mapping[str, str]) -> None:
        self._site.reports[values.name(edge)] = dict(report)

    async def reports(self) -> dict[str, dict[str, str]]:
        return {name: dict(report) for name, report in sorted(self._site.reports.items())}

    async def set_status(self, status: Mapping[str, str], ttl_ms: int) -> None:
        self._site.status = dict(status), self._server.now_ms() + ttl_ms

    async def status(self) -> dict[str, str]:
        status, until_ms = self._site.status
        return dict(status) if until_ms > self._server.now_ms() else {}

    async def settings_faults(self) -> list[str]:
        return []  # whoever takes it knows that nothing is durable

    async def _wait(self, block_ms: int, is_ready: Callable[[Site], bool]) -> None:
        """Return when there is something to read or the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(block_ms, MAX_BLOCK_MS) / 1000
        while (left_s := deadline - loop.time()) > 0 and not is_ready(self._site):
            with self._site.waiter() as waiter:
                await asyncio.wait({waiter}, timeout=left_s)


def _known(head: Head | None, genesis: str) -> Head:
    if head is None:
        raise ForeignLogError("there is no log")
    if head.genesis != genesis:
        raise ForeignLogError(f"it has genesis {head.genesis}")
    return head


def _check_tail(site: Site, head: Head) -> None:
    if head.seq and not site.events.ids:
        raise ForeignLogError("its events are gone")
    if head.seq and id_text(site.events.ids[-1]) != head.last_id:
        raise ForeignLogError("its last event is not what the head says")


def _appended(head: Head, *, is_duplicate: bool) -> Appended:
    return Appended(seq=head.seq, h=head.h, last_id=head.last_id, is_duplicate=is_duplicate)
