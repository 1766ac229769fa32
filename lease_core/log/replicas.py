"""An append that replicas hold, before anybody is told of it.

WAIT speaks of what its own connection wrote last, so script and WAIT go out together on one; a
batch that was there already is touched again by the script for the same reason.
"""

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, ResponseError

from lease_core.log.errors import NotReplicatedError

WAIT_MS: Final = 500
"""Less than a leadership lasts, so that it is renewed meanwhile."""

_TRIES: Final = 4


class ReplicatedScript:
    """A script whose effect `replicas` must hold; on their disks where the server can tell."""

    def __init__(self, client: Redis, script: AsyncScript, replicas: int) -> None:
        self._client = client
        self._script = script
        self._replicas = replicas
        self._knows_disks = True

    async def __call__(self, keys: Sequence[str], arguments: Sequence[Any]) -> list[bytes]:
        """Run it and return its reply, `OK` and `DUPLICATE` only once replicas hold the effect.

        Raises:
            NotReplicatedError: fewer do.
            RedisError: as redis-py.
        """
        for _ in range(_TRIES):
            reply, held = await self._run(keys, arguments)
            if isinstance(reply, NoScriptError):
                await self._client.script_load(self._script.script)
            elif isinstance(reply, Exception):
                raise reply
            elif reply[0] not in {b"OK", b"DUPLICATE"}:
                return list(reply)
            elif self._knows_disks and isinstance(held, ResponseError):
                self._knows_disks = False  # Redis before 7.2, or not allowed to
            elif isinstance(held, Exception):
                raise held
            else:
                self._check(held)
                return list(reply)
        raise NotReplicatedError("the server knows neither the script nor WAIT")

    async def _run(self, keys: Sequence[str], arguments: Sequence[Any]) -> list[Any]:
        wait: tuple[str | int, ...] = ("WAIT", self._replicas, WAIT_MS)
        if self._knows_disks:
            wait = ("WAITAOF", 1, self._replicas, WAIT_MS)
        async with self._client.pipeline(transaction=False) as pipe:
            execute: Any = pipe.execute_command
            execute("EVALSHA", self._script.sha, len(keys), *keys, *arguments)
            execute(*wait)
            return await pipe.execute(raise_on_error=False)

    def _check(self, held: Any) -> None:
        here, there = held if isinstance(held, list) else (1, held)
        if not here or there < self._replicas:
            raise NotReplicatedError(
                f"{there} of {self._replicas} replicas hold it, {here} of 1 disks here"
            )
