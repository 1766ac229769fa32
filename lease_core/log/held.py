"""Calls that come all the time: over one connection that is held between them, past redis-py.

redis-py opens the connection: TLS, users, sentinels and slots are its concern. Then the transport
is ours: through its client a call costs several times the processor time that the call takes.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from hiredis import PushNotification, Reader, pack_command
from redis._parsers.base import BaseParser
from redis.asyncio import Connection, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, MovedError, NoScriptError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from lease_core.log.redis_client import WRITER_TIMEOUT_S, Locating

_MORE: Final = object()
"""What the reader of replies says when it has only a part of one."""


class Exchange(asyncio.Protocol):
    """One call at a time over a transport. A call that does not end well is its last."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        """Take over the transport of an idle connection; its former protocol hears of its end."""
        self._reader = Reader(
            protocolError=InvalidResponse, replyError=BaseParser.parse_error, notEnoughData=_MORE
        )
        self._reply: asyncio.Future[Any] | None = None
        self._transport: Any = writer.transport
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    async def call(self, words: Sequence[Any], limit_s: float) -> Any:
        """Send a command and wait so long for its reply.

        Raises:
            RedisError: the server refuses, the connection ended, or no reply came in time.
        """
        loop = asyncio.get_running_loop()
        reply = self._reply = loop.create_future()
        late = RedisTimeoutError(f"no reply within {limit_s:g} s")
        timer = loop.call_later(limit_s, self._end, late)
        self._transport.write(pack_command(tuple(words)))
        try:
            found = await reply
        except asyncio.CancelledError:
            self._transport.abort()  # nobody could tell whose a later reply is
            raise
        finally:
            timer.cancel()
        if isinstance(found, RedisError):
            raise found
        return found

    def data_received(self, octets: bytes) -> None:
        self._reader.feed(octets)
        try:
            reply = self._reader.gets()
            while isinstance(reply, PushNotification):
                reply = self._reader.gets()
        except RedisError as error:
            self._end(error)
        else:
            if reply is not _MORE:
                self._settle(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(RedisConnectionError(str(exc or "the server closed the connection")))
        self._former.connection_lost(exc)

    def _settle(self, reply: Any) -> None:
        waiting, self._reply = self._reply, None
        if waiting and not waiting.done():
            waiting.set_result(reply)

    def _end(self, error: RedisError) -> None:
        self._settle(error)
        self._transport.abort()


class HeldConnection:
    """A connection of a client's pool; it is the pool's to close, so closing the client does."""

    def __init__(self, client: Redis) -> None:
        self._execute: Any = client.execute_command
        self._pool: Any = client.connection_pool
        self._limit_s: float = self._pool.connection_kwargs.get("socket_timeout", WRITER_TIMEOUT_S)
        self._connection: Connection | None = None
        self._exchange: Exchange | None = None
        self._is_busy = False

    async def call(self, *words: Any, limit_s: float = 0) -> Any:
        """The reply as it came, within `limit_s` or else as long as the client waits.

        Whoever calls while another waits takes the client's way, and so does everybody on a
        connection that has no transport (fakeredis).

        Raises:
            RedisError: as redis-py. OSError: not connected in time.
        """
        limit_s = limit_s or self._limit_s
        if self._is_busy:
            return await self._by_client(words, limit_s)
        self._is_busy = True
        try:
            exchange = self._exchange
            if exchange is None or not exchange.is_open:
                async with asyncio.timeout(limit_s):
                    exchange = self._exchange = await self._open()
            if exchange:
                return await exchange.call(words, limit_s)
        except (MovedError, ReadOnlyError) as error:
            if isinstance(self._connection, Locating):
                await self._connection.heed(error)
            if not isinstance(error, MovedError):
                raise
        finally:
            self._is_busy = False
        return await self._by_client(words, limit_s)  # which goes after the slot

    async def _by_client(self, words: Sequence[Any], limit_s: float) -> Any:
        try:
            async with asyncio.timeout(limit_s):
                return await self._execute(*words)
        except TimeoutError:
            raise RedisTimeoutError(f"no reply within {limit_s:g} s") from None

    async def _open(self) -> Exchange | None:
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        else:
            await self._connection.disconnect(nowait=True)
            await self._pool.ensure_connection(self._connection)
        writer = self._connection._writer  # noqa: SLF001  (it shows its transport to nobody)
        return Exchange(writer) if isinstance(writer, asyncio.StreamWriter) else None


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
