"""Calls that come all the time: over one connection that is held between them.

redis-py's client takes a connection out of its pool for each call and puts it back, which costs as
much processor time as the call itself.
"""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Connection, Redis
from redis.commands.core import AsyncScript
from redis.exceptions import MovedError, NoScriptError


class HeldConnection:
    """A connection of a client's pool; it is the pool's to close, so closing the client does."""

    def __init__(self, client: Redis) -> None:
        self._execute: Any = client.execute_command
        self._pool: Any = client.connection_pool
        self._connection: Connection | None = None
        self._is_busy = False

    async def call(self, *words: Any) -> Any:
        """The reply as it came. Whoever calls while another waits takes the client's way.

        Raises:
            RedisError: as redis-py.
        """
        if self._is_busy:
            return await self._execute(*words)
        self._is_busy = True
        try:
            return await self._call(words)
        except MovedError:  # the client goes after it
            return await self._execute(*words)
        finally:
            self._is_busy = False

    async def _call(self, words: Sequence[Any]) -> Any:
        connection = self._connection
        if connection is None:
            connection = self._connection = await self._pool.get_connection()
        else:
            await self._pool.ensure_connection(connection)  # the server may have closed it
        await connection.send_command(*words)
        return await connection.read_response()


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
            await self._connection.call("SCRIPT LOAD", self._script.script)
            return await self._connection.call(*words)
