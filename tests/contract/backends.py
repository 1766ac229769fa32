"""Three stores that must keep one contract, and what tests do to them behind the log's back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Any

import fakeredis
from redis.asyncio import Redis

from lease_core.log.connecting import connect
from lease_core.log.keys import Keys
from lease_core.log.layout import by_name, flat_of
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer, Stream
from lease_core.log.port import SiteLog
from lease_core.log.redis_client import open_client
from lease_core.log.redis_log import RedisLog
from lease_core.log.wire import parse_id
from tests.redis_server import RedisServer

SITE = "ams01"


class Backend(ABC):
    def __init__(self) -> None:
        self._clients: list[SiteLog] = []

    def client(self, site: str = SITE, replicas: int = 0) -> Any:
        """A further client of the same store; it leads where so many replicas have to hold."""
        log = self._open(site, replicas)
        self._clients.append(log)
        return log

    async def close(self) -> None:
        for log in self._clients:
            await log.close()

    @abstractmethod
    def _open(self, site: str, replicas: int) -> SiteLog: ...

    @abstractmethod
    async def dump(self) -> Any:
        """Everything that is stored, to compare before and after."""

    @abstractmethod
    async def flush(self) -> None:
        """FLUSHALL."""

    @abstractmethod
    async def lose_head(self) -> None:
        """Delete the head and keep the events."""

    @abstractmethod
    async def lose_events(self) -> None:
        """Delete the events and keep the head."""

    @abstractmethod
    async def edit_event(self, index: int, change: Callable[[dict[bytes, bytes]], Any]) -> None:
        """Rewrite the events with one of them changed, as somebody with redis-cli could."""

    @abstractmethod
    async def drop_events(self, seqs: Collection[int]) -> None:
        """XDEL."""

    @abstractmethod
    async def add_raw(self, stream: str, entry_id: str, entry: dict[bytes, bytes]) -> None:
        """XADD to `events`, `commands` or `answers` past the log."""

    @abstractmethod
    async def move(self) -> None:
        """The same data on another server, as after a promotion."""

    @abstractmethod
    def fail(self) -> None:
        """Begin an outage."""

    @abstractmethod
    def recover(self) -> None:
        """End it; what was acknowledged is there."""


class MemoryBackend(Backend):
    def __init__(self) -> None:
        super().__init__()
        self.server = MemoryServer()

    def _open(self, site: str, replicas: int) -> SiteLog:
        return MemoryLog(site, self.server, replicas)

    async def dump(self) -> Any:
        site = self.server.site(SITE)
        streams = (site.events, site.commands, site.answers)
        return site.head, [list(zip(s.ids, s.entries, strict=True)) for s in streams]

    async def flush(self) -> None:
        self.server.sites.clear()

    async def lose_head(self) -> None:
        self.server.site(SITE).head = None

    async def lose_events(self) -> None:
        self.server.site(SITE).events = Stream()

    async def edit_event(self, index: int, change: Callable[[dict[bytes, bytes]], Any]) -> None:
        entries = self.server.site(SITE).events.entries
        changed = by_name(entries[index])
        change(changed)
        entries[index] = flat_of(changed)

    async def drop_events(self, seqs: Collection[int]) -> None:
        events = self.server.site(SITE).events
        events.remove({at for at in events.ids if at[1] in seqs})

    async def add_raw(self, stream: str, entry_id: str, entry: dict[bytes, bytes]) -> None:
        store = getattr(self.server.site(SITE), stream)
        if entry_id == "*":
            store.add_now(self.server.now_ms(), flat_of(entry))
        else:
            store.add(parse_id(entry_id.encode()), flat_of(entry))

    async def move(self) -> None:
        self.server.site(SITE).server += 1

    def fail(self) -> None:
        self.server.is_down = True

    def recover(self) -> None:
        self.server.is_down = False


class RedisBackend(Backend):
    """What fakeredis and a real server have in common."""

    raw: Redis

    async def close(self) -> None:
        await super().close()
        await self.raw.aclose()

    async def dump(self) -> Any:
        raw: Any = self.raw
        keys = Keys(SITE)
        streams = [await raw.xrange(key) for key in (keys.events, keys.commands, keys.answers)]
        return await raw.hgetall(keys.head), streams

    async def flush(self) -> None:
        await self.raw.flushall()

    async def lose_head(self) -> None:
        await self.raw.delete(Keys(SITE).head)

    async def lose_events(self) -> None:
        await self.raw.delete(Keys(SITE).events)

    async def edit_event(self, index: int, change: Callable[[dict[bytes, bytes]], Any]) -> None:
        raw: Any = self.raw
        key = Keys(SITE).events
        entries = await raw.xrange(key)
        change(entries[index][1])
        await raw.delete(key)
        for entry_id, entry in entries:
            await raw.xadd(key, entry, id=entry_id)

    async def drop_events(self, seqs: Collection[int]) -> None:
        raw: Any = self.raw
        key = Keys(SITE).events
        for entry_id, _ in await raw.xrange(key):
            if int(entry_id.split(b"-")[1]) in seqs:
                await raw.xdel(key, entry_id)

    async def add_raw(self, stream: str, entry_id: str, entry: dict[bytes, bytes]) -> None:
        raw: Any = self.raw
        await raw.xadd(getattr(Keys(SITE), stream), entry, id=entry_id)


class FakeBackend(RedisBackend):
    def __init__(self) -> None:
        super().__init__()
        self.server = fakeredis.FakeServer()
        self.raw = fakeredis.FakeAsyncRedis(server=self.server)

    def _open(self, site: str, replicas: int) -> SiteLog:
        client = fakeredis.FakeAsyncRedis(server=self.server)
        return RedisLog(client, client, site, replicas)

    async def move(self) -> None:
        raw: Any = self.raw  # it has no id
        await raw.hset(Keys(SITE).head, "server", "another")

    def fail(self) -> None:
        self.server.connected = False

    def recover(self) -> None:
        self.server.connected = True


class RealBackend(RedisBackend):
    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server
        self.raw = open_client(server.url, 3.0)

    def _open(self, site: str, replicas: int) -> SiteLog:
        return connect(self.server.url, site, replicas)

    async def move(self) -> None:
        self.server.restart()
        await self.raw.connection_pool.disconnect()

    def fail(self) -> None:
        self.server.kill()

    def recover(self) -> None:
        self.server.start()
