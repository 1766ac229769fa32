"""Calls that come all the time: over one connection that is held between them, past redis-py.

redis-py opens the connection: TLS, users, sentinels and slots are its concern. Then the transport
is ours: through its client a call costs several times the processor time that the call takes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from hiredis import PushNotification, Reader, pack_command
from redis._parsers.base import BaseParser
from redis.asyncio import Connection, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, MovedError, NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from lease_core.log.redis_client import WRITER_TIMEOUT_S, Locating

TOGETHER: Final = 32
"""So many calls do not wait for others of their turn: the server works on them meanwhile."""

LARGE: Final = 16_384
"""Nor does a call of so many octets: what the server does with it takes longer than a turn."""

_MORE: Final = object()
"""What the reader of replies says when it has only a part of one."""


class Exchange(asyncio.Protocol):
    """Calls over a transport, many at once; their replies come in their order.

    What is called in one turn of the loop may go out together, so the server serves it together:
    one fsync for the appends of many sites. Whoever gives up leaves his reply to be dropped.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Take over the transport of an idle connection; its former protocol hears of its end."""
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_MORE
        )
        self._outgoing: list[bytes] = []
        self._is_due = False
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._transport: Any = writer.transport
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def leave_given_up(self) -> None:
        """End it if the server still works for somebody who has gone: others would wait behind."""
        if self._waiting and self._waiting[0][0].done():
            self._transport.abort()

    def send(
        self, words: Sequence[Any], limit_s: float, *, at_once: bool = False
    ) -> asyncio.Future[Any]:
        """Send a command, now or in this turn; its reply is due so long after those before it.

        It is a RedisError where the server refuses, the connection ended, or none came in time.
        """
        octets = pack_command(tuple(words))
        reply = self._loop.create_future()
        self._outgoing.append(octets)
        self._waiting.append((reply, limit_s))
        if at_once or len(self._outgoing) >= TOGETHER or len(octets) >= LARGE:
            self._flush()
        elif not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._flush_due)
        if len(self._waiting) == 1:
            self._heard_at = self._loop.time()
            self._watch()
        return reply

    def data_received(self, octets: bytes) -> None:
        self._reader.feed(octets)
        self._heard_at = self._loop.time()
        try:
            while (reply := self._reader.gets()) is not _MORE:
                if not isinstance(reply, PushNotification):
                    self._settle(reply)
        except RedisError as error:
            self._end(error)
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RedisConnectionError(str(exc or "the server closed the connection")))
        self._former.connection_lost(exc)

    def _flush_due(self) -> None:
        self._is_due = False
        if self._outgoing:
            self._flush()

    def _flush(self) -> None:
        octets, self._outgoing = b"".join(self._outgoing), []
        self._transport.write(octets)

    def _watch(self) -> None:
        """Have a timer that is not later than the reply that is due next."""
        if not self._waiting:
            return
        due_at = self._heard_at + self._waiting[0][1]
        if self._timer is None or self._timer.when() > due_at:
            self._stop_timer()
            self._timer = self._loop.call_at(due_at, self._look)

    @property
    def _is_overdue(self) -> bool:
        return bool(self._waiting and self._loop.time() >= self._heard_at + self._waiting[0][1])

    def _look(self) -> None:
        """A process that was stopped hears of its timers before its sockets: they get a turn."""
        self._timer = None
        if self._is_overdue:
            self._timer = self._loop.call_later(0, self._give_up)
        else:
            self._watch()

    def _give_up(self) -> None:
        self._timer = None
        if self._is_overdue:
            self._end(RedisTimeoutError(f"no reply within {self._waiting[0][1]:g} s"))
        self._watch()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _settle(self, reply: Any) -> None:
        if not self._waiting:
            raise InvalidResponse("a reply that nobody asked for")
        waiting, _ = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(reply)

    def _end(self, error: RedisError) -> None:
        while self._waiting:
            self._settle(error)
        self._stop_timer()
        self._transport.abort()


class HeldConnection:
    """A connection of a client's pool; it is the pool's to close, so closing the client does."""

    def __init__(self, client: Redis, *, is_shared: bool = False) -> None:
        """Of one that is shared, what is called in one turn of the loop goes out together."""
        self._execute: Any = client.execute_command
        self._pool: Any = client.connection_pool
        self._limit_s: float = self._pool.connection_kwargs.get("socket_timeout", WRITER_TIMEOUT_S)
        self._is_shared = is_shared
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None
        self._opening: asyncio.Task[Exchange | None] | None = None

    async def call(self, *words: Any, limit_s: float = 0) -> Any:
        """The reply as it came, within `limit_s` or else as long as the client waits.

        On a connection that has no transport (fakeredis) everybody takes the client's way.

        Raises:
            RedisError: as redis-py. OSError: not connected in time.
        """
        limit_s = limit_s or self._limit_s
        exchange = self._exchange
        if exchange is None or not exchange.is_open:
            async with asyncio.timeout(limit_s):
                exchange = await self._opened()
        if exchange is None:
            return await self._by_client(words, limit_s)
        reply = exchange.send(words, limit_s, at_once=not self._is_shared)
        return await self._reply(exchange, reply, words, limit_s)

    def call_ahead(self, *words: Any, limit_s: float) -> Callable[[], Awaitable[Any]] | None:
        """Send a call before anybody waits for its reply; perhaps nobody ever does.

        Returns how to get it, as of `call`; None = no connection is open.
        """
        exchange = self._exchange
        if exchange is None or not exchange.is_open:
            return None
        reply = exchange.send(words, limit_s, at_once=True)
        return partial(self._reply, exchange, reply, words, limit_s)

    def leave_given_up(self) -> None:
        """As of `Exchange`; the next call opens another connection."""
        if self._exchange:
            self._exchange.leave_given_up()

    async def _reply(
        self, exchange: Exchange, reply: Awaitable[Any], words: Sequence[Any], limit_s: float
    ) -> Any:
        found = await reply
        if not isinstance(found, RedisError):
            return found
        if isinstance(found, MovedError | ReadOnlyError):
            await self._heed(found, exchange)
        if not isinstance(found, MovedError):
            raise found
        return await self._by_client(words, limit_s)  # which goes after the slot

    async def _heed(self, error: MovedError | ReadOnlyError, exchange: Exchange) -> None:
        """Leave a server that says that another one is to be asked."""
        if isinstance(self._connection, Locating) and exchange is self._exchange:
            self._exchange = None
            await self._connection.heed(error)

    async def _by_client(self, words: Sequence[Any], limit_s: float) -> Any:
        try:
            async with asyncio.timeout(limit_s):
                return await self._execute(*words)
        except TimeoutError:
            raise RedisTimeoutError(f"no reply within {limit_s:g} s") from None

    async def _opened(self) -> Exchange | None:
        """Open it once for all who wait for it, whoever of them gives up."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Exchange | None:
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        else:
            await self._connection.disconnect(nowait=True)
            await self._pool.ensure_connection(self._connection)
        writer = self._connection._writer  # noqa: SLF001  (it shows its transport to nobody)
        self._exchange = Exchange(writer) if isinstance(writer, asyncio.StreamWriter) else None
        return self._exchange


class HeldScript:
    """A script that is called over a held connection."""

    def __init__(self, connection: HeldConnection, script: AsyncScript) -> None:
        self._connection = connection
        self._script = script

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run it; a server that does not know it yet is told it.

        Raises:
            RedisError: as redis-py.
        """
        words = ("EVALSHA", self._script.sha, len(keys), *keys, *arguments)
        try:
            return await self._connection.call(*words)
        except NoScriptError:
            await self._connection.call("SCRIPT", "LOAD", self._script.script)
            return await self._connection.call(*words)
