"""The modelled Redis and the client that reaches it over a modelled network.

What it keeps and checks is `MemoryLog`, the twin that the contract tests hold against the scripts
on a real Redis. Here it gets crashes at fsync, cut and silent links, lost replies and old copies.
"""

import asyncio
import contextlib
import copy
import random
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from lease_core.domain.commands import Command, Heartbeat
from lease_core.domain.events import Record
from lease_core.log.errors import (
    LogError,
    LogUnavailableError,
    NotReplicatedError,
    OutcomeUnknownError,
)
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import Id, MemoryServer, Site
from lease_core.log.port import Appended, Batch, Claimed, Followed, Head, HeldBy
from lease_core.log.snapshot_port import Archived, Cut, SnapshotMeta
from lease_core.log.wire import parse_id
from tests.simulation.clocks import Clock
from tests.simulation.loop import Process, SimLoop, finish
from tests.simulation.replicas import SETUPS, Replicas

T = TypeVar("T")
WRITER_TIMEOUT_S = 3.0
READER_TIMEOUT_S = 5.0
WAIT_S = 0.5
MAX_REPLAYED = 200
COMMANDS, EVENTS = "commands", "events"

OnAppend = Callable[[str, Batch, bool], None]
"""`site`, `batch`, and whether it was a deposed master that took it."""


def settled(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, though it may give others their turn."""
    try:
        while work.send(None) is None:
            pass
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("it waited")


class Link:
    """From one machine to Redis. `mode`: ok, refused, silent (black hole) or slow."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.lose_replies = 0.0  # and half as many requests
        self.is_mute = False  # heartbeats do not get through
        self.deposed: set[str] = set()
        """Sites whose former master is still taken for the master."""


class Server:
    """One Redis for all sites; every change is durable before its reply leaves."""

    def __init__(
        self, loop: SimLoop, rng: random.Random, clock: Clock, sites: Iterable[str]
    ) -> None:
        self.loop, self.rng, self.clock = loop, rng, clock
        self.store = self._empty()
        setup = rng.choice(SETUPS)
        self.replicas = {site: Replicas(rng, *setup) for site in sites}
        self.on_unheld: Callable[[], None] = lambda: None
        self.crash_next = ""
        self.is_disk_full = False  # MISCONF: it answers, and takes nothing
        self.deposed: dict[str, MemoryServer] = {}
        self.on_append: OnAppend = lambda *_: None
        self.sent: dict[str, deque[Command]] = {}
        self._waiting: dict[tuple[str, str], list[asyncio.Future[None]]] = {}
        self._lives = 0
        self.lost_at: dict[str, int] = {}
        """Sites whose log lost events and does not say so yet, with the last event it has."""

    def _empty(self) -> MemoryServer:
        return MemoryServer(now_ms=lambda: self.clock.wall_ns() // 1_000_000)

    def seen_by(self, link: Link, site: str) -> MemoryServer:
        """The data set that a link leads to."""
        return self.deposed[site] if site in link.deposed else self.store

    def waiter(self, site: str, stream: str) -> asyncio.Future[None]:
        waiter = self.loop.create_future()
        waiting = self._waiting.setdefault((site, stream), [])
        waiting[:] = [other for other in waiting if not other.done()]
        waiting.append(waiter)
        return waiter

    def wake(self, site: str, *streams: str) -> None:
        for stream in streams:
            for waiter in self._waiting.pop((site, stream), ()):
                finish(waiter)

    def has_news(self, store: MemoryServer, site: str, after: dict[str, Id]) -> bool:
        """Whether one of these streams has an entry behind an id."""
        found = store.site(site)
        for name, last in after.items():
            ids = getattr(found, name).ids
            if ids and ids[-1] > last:
                return True
        return False

    def crash(self, outage_s: float) -> None:
        """Everything that was answered survives, but no leadership."""
        self.store.is_down = True
        for site in self.store.sites.values():
            site.forget_fleeting()
            self._begin_life(site)
        for site, stream in list(self._waiting):
            self.wake(site, stream)
        self.loop.later(outage_s, setattr, self.store, "is_down", False)

    def _begin_life(self, site: Site) -> None:
        """Another server keeps it from now on, or the same one started again."""
        self._lives += 1
        site.server = self._lives

    # --- what no Redis should do, and what an operator mends ---

    def copy_of(self, site: str) -> Site:
        return copy.deepcopy(self.store.sites[site])

    def replace(self, site: str, by: Site) -> None:
        """Another data set stands here from now on."""
        self.store.sites[site] = by
        by.forget_fleeting()
        self._begin_life(by)
        self.replicas[site].go_on()
        self.wake(site, COMMANDS, EVENTS)

    def promote(self, site: str, by: Site, links: Iterable[Link]) -> None:
        """A copy is master from now on; some links still lead to the former one.

        Until that one is heard no more, nothing follows the new one.
        """
        self.deposed[site] = self._empty()
        self.deposed[site].sites[site] = self.store.sites[site]
        for link in links:
            link.deposed.add(site)
        self.replace(site, by)
        self.replicas[site].stall(by, self.loop.now_s)

    def end_split(self, site: str, links: Iterable[Link]) -> None:
        """The former master is heard no more; it, or another one, is a replica of the new one."""
        for link in links:
            link.deposed.discard(site)
        self.deposed[site].is_down = True
        self.replicas[site].go_on()
        self.wake(site, COMMANDS, EVENTS)

    def is_split(self, site: str) -> bool:
        return site in self.deposed and not self.deposed[site].is_down

    def is_replaced(self, site: str) -> bool:
        """Whether the log lost events and does not say so yet."""
        return site in self.lost_at

    def recovers(self, site: str) -> None:
        """The log tells of its loss."""
        self.lost_at.pop(site, None)


class SimLog:
    """`SiteLog` of one process: `MemoryLog` behind a link that may fail."""

    def __init__(self, site: str, server: Server, link: Link, process: Process) -> None:
        self.site = site
        self._server, self._link, self._process = server, link, process
        self._rng, self._pause = server.rng, server.loop.pause
        self._replicas = server.replicas[site]
        self._reached = self._store, self._opened(self._store)

    def _opened(self, store: MemoryServer) -> MemoryLog:
        return MemoryLog(self.site, store, self._replicas.needed)

    @property
    def _store(self) -> MemoryServer:
        return self._server.seen_by(self._link, self.site)

    @property
    def _inner(self) -> MemoryLog:
        if self._reached[0] is not (store := self._store):
            self._reached = store, self._opened(store)
        return self._reached[1]

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _call(
        self, op: Callable[[], Coroutine[Any, Any, T]], *, is_append: bool = False
    ) -> T:
        """One round trip: the delay falls before the server or behind it."""
        rng, link = self._rng, self._link
        if not self._process.is_alive or link.mode == "refused":
            await self._pause(0.01)
            raise LogUnavailableError("connection refused")
        if link.lose_replies and rng.random() < link.lose_replies / 2:
            await self._pause(0.01)
            raise LogUnavailableError("connection refused")
        if link.mode == "silent":
            await self._lose(op, is_append=is_append)
        delay_s = rng.uniform(0.2, 2.5) if link.mode == "slow" else rng.uniform(0.001, 0.03)
        is_before = rng.random() < 0.5
        if is_before:
            await self._pause(delay_s)
        if not self._process.is_alive:
            raise LogUnavailableError("the caller is dead")
        if self._server.crash_next and is_append:
            self._crash(op)
        result = settled(op())
        if not is_before:
            await self._pause(delay_s)
        if link.lose_replies and rng.random() < link.lose_replies:
            raise self._lost(is_append=is_append)
        return result

    async def _write(
        self, op: Callable[[], Coroutine[Any, Any, T]], *, is_append: bool = False
    ) -> T:
        """What a server with a full disk refuses."""

        async def written() -> T:
            if self._server.is_disk_full:
                raise LogUnavailableError("MISCONF: it cannot write to its disk")
            return await op()

        return await self._call(written, is_append=is_append)

    def _crash(self, op: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Redis dies in an append: before its fsync the whole batch is gone, behind it none."""
        kind, self._server.crash_next = self._server.crash_next, ""
        if kind == "behind-fsync":
            settled(op())
        self._server.crash(self._rng.uniform(0.5, 4.0))
        raise OutcomeUnknownError("connection reset")

    async def _lose(self, op: Callable[[], Coroutine[Any, Any, T]], *, is_append: bool) -> None:
        """A black hole: the request, if it gets through at all, takes effect late."""
        if self._rng.random() < 0.5:
            self._server.loop.later(self._rng.uniform(0.1, 20.0), self._late, op)
        await self._pause(WRITER_TIMEOUT_S if is_append else READER_TIMEOUT_S)
        raise self._lost(is_append=is_append)

    def _late(self, op: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """A request that was on its way takes effect though nobody waits for the reply."""
        with contextlib.suppress(LogError):
            settled(op())

    def _lost(self, *, is_append: bool) -> Exception:
        kind = OutcomeUnknownError if is_append else LogUnavailableError
        return kind("the reply was lost")

    async def _read(
        self,
        op: Callable[[], Coroutine[Any, Any, T]],
        block_ms: int,
        **after: str,
    ) -> T:
        """A blocking read: the server answers as soon as one of the streams has news."""
        if not block_ms or self._link.mode != "ok" or self._store.is_down:
            return await self._call(op)
        loop, server, store = self._server.loop, self._server, self._store
        end_s = loop.now_s + block_ms / 1000
        ids = {stream: parse_id(last.encode()) for stream, last in after.items()}
        awaited = COMMANDS if COMMANDS in after else EVENTS
        while not (has_news := server.has_news(store, self.site, ids)) and end_s > loop.now_s:
            waiter = server.waiter(self.site, awaited)
            timer = loop.later(end_s - loop.now_s, finish, waiter)
            await waiter
            timer.cancel()
            await self._check_connection(store)
        result = settled(op())
        if has_news:
            await self._pause(self._rng.uniform(0.001, 0.03))
            await self._check_connection(store)
        return result

    async def _check_connection(self, store: MemoryServer) -> None:
        """What became of the connection while a read waited."""
        if self._link.mode == "silent":
            await self._pause(READER_TIMEOUT_S)
            raise LogUnavailableError("timeout")
        is_cut = self._link.mode == "refused" or not self._process.is_alive
        if is_cut or store.is_down or store is not self._store:
            raise LogUnavailableError("connection reset")

    # --- SiteLog ---

    async def now_ms(self) -> int:
        return await self._call(self._inner.now_ms)

    async def head(self) -> Head | None:
        return await self._call(self._inner.head)

    async def create(self, genesis: str) -> str:
        return await self._write(lambda: self._inner.create(genesis))

    async def claim(
        self, owner: str, ttl_ms: int, genesis: str, above: int = 0, dead: str = ""
    ) -> Claimed | HeldBy:
        return await self._write(lambda: self._inner.claim(owner, ttl_ms, genesis, above, dead))

    async def append(self, batch: Batch) -> Appended:
        appended, life, at_s = await self._write(lambda: self._append(batch), is_append=True)
        if self._replicas.needed:
            await self._wait(life, at_s)
            await self._write(lambda: self._inner._commit(batch), is_append=True)
        return appended

    async def _append(self, batch: Batch) -> tuple[Appended, int, float]:
        """What it came to, on which life of a server, and when."""
        appended = settled(self._inner.append(batch))
        if not appended.is_duplicate:
            self._server.on_append(self.site, batch, self._is_deposed)
        self._server.wake(self.site, EVENTS)
        return appended, self._store.site(self.site).server, self._server.loop.now_s

    @property
    def _is_deposed(self) -> bool:
        return self.site in self._link.deposed

    async def _wait(self, life: int, written_at_s: float) -> None:
        """WAIT: until enough replicas said that they have it; those of a deposed master left."""
        loop, said_s = self._server.loop, self._replicas.word_s
        for pause_s in (said_s, WAIT_S - said_s):
            await self._pause(pause_s)
            is_cut = self._link.mode in {"refused", "silent"} or self._store.is_down
            if is_cut or self._store.sites[self.site].server != life:
                raise self._lost(is_append=True)
            if not self._is_deposed and self._replicas.have_said(written_at_s, loop.now_s):
                return
        self._server.on_unheld()
        raise NotReplicatedError("too few replicas hold it")

    async def send(self, command: Command, by: str) -> str:
        return await self.send_many([command], by)

    async def send_many(self, commands: Sequence[Command], by: str) -> str:
        if self._link.is_mute and any(isinstance(command, Heartbeat) for command in commands):
            await self._pause(0.01)
            raise LogUnavailableError("connection reset")
        return await self._write(lambda: self._send(list(commands), by))

    async def _send(self, commands: list[Command], by: str) -> str:
        last = settled(self._inner.send_many(commands, by))
        self._server.sent.setdefault(self.site, deque(maxlen=MAX_REPLAYED)).extend(commands)
        self._server.wake(self.site, COMMANDS)
        return last

    async def read(self, after_id: str, count: int = 500, block_ms: int = 0) -> list[Record]:
        return await self._read(
            lambda: self._inner.read(after_id, count), block_ms, events=after_id
        )

    async def commands(self, after_id: str, count: int = 500, block_ms: int = 0) -> Any:
        return await self._read(
            lambda: self._inner.commands(after_id, count), block_ms, commands=after_id
        )

    async def answers(self, after_id: str, count: int = 500, block_ms: int = 0) -> Any:
        return await self._read(
            lambda: self._inner.answers(after_id, count), block_ms, answers=after_id
        )

    async def follow(
        self, events_after: str, answers_after: str, block_ms: int = 0, count: int = 500
    ) -> Followed:
        return await self._read(
            lambda: self._inner.follow(events_after, answers_after, 0, count),
            block_ms,
            events=events_after,
            answers=answers_after,
        )

    async def last_answer_id(self) -> str:
        return await self._call(self._inner.last_answer_id)

    async def report(self, edge: str, report: Mapping[str, str]) -> None:
        await self._write(lambda: self._inner.report(edge, report))

    async def begin_snapshot(self, seq: int) -> None:
        await self._write(lambda: self._inner.begin_snapshot(seq))

    async def put_chunk(self, seq: int, number: int, octets: bytes) -> None:
        await self._write(lambda: self._inner.put_chunk(seq, number, octets))

    async def publish_snapshot(self, meta: SnapshotMeta) -> None:
        await self._write(lambda: self._inner.publish_snapshot(meta))

    async def snapshots(self) -> list[SnapshotMeta]:
        return await self._call(self._inner.snapshots)

    async def chunk(self, seq: int, number: int) -> bytes | None:
        return await self._call(lambda: self._inner.chunk(seq, number))

    async def drop_snapshots(self, below: int, but: Collection[int]) -> None:
        await self._write(lambda: self._inner.drop_snapshots(below, but))

    async def set_archived(self, archived: Archived) -> None:
        await self._write(lambda: self._inner.set_archived(archived))

    async def archived(self) -> Archived | None:
        return await self._call(self._inner.archived)

    async def trim(self, cut: Cut, lost: Collection[str] = (), *, dry_run: bool = False) -> int:
        return await self._write(lambda: self._inner.trim(cut, lost, dry_run=dry_run))

    async def reports(self) -> dict[str, dict[str, str]]:
        return await self._call(self._inner.reports)

    async def reconnect(self) -> None:
        await self._pause(0)

    async def set_status(self, status: Mapping[str, str], ttl_ms: int) -> None:
        await self._write(lambda: self._inner.set_status(status, ttl_ms))

    async def status(self) -> dict[str, str]:
        return await self._call(self._inner.status)

    async def settings_faults(self) -> list[str]:
        return []
