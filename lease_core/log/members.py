"""Which allocator processes live. Nothing rests on it but who does which work."""

import time
from typing import Any, Protocol

from lease_core.endpoint import Endpoint
from lease_core.log.keys import PLAN, Keys
from lease_core.log.redis_client import WRITER_TIMEOUT_S, load_script, open_client, translated


class Members(Protocol):
    """The register of living processes; each says again and again that it is one of them."""

    async def beat(self, name: str, ttl_ms: int) -> frozenset[str]:
        """Be believed alive for `ttl_ms` more; return all who are. A `ttl_ms` of 0 leaves.

        Raises:
            LogUnavailableError: nothing is known now.
        """

    async def living(self) -> frozenset[str]:
        """All who are believed alive. Raises as `beat`."""

    async def close(self) -> None: ...


class RedisMembers:
    """`Members` in a sorted set beside the plan, by the clock of its server."""

    def __init__(self, at: Endpoint | str) -> None:
        self._key = Keys(PLAN).members
        self._client = open_client(at, WRITER_TIMEOUT_S, self._key)
        self._script = load_script(self._client, "members")

    async def beat(self, name: str, ttl_ms: int) -> frozenset[str]:
        with translated():
            return frozenset(map(bytes.decode, await self._script([self._key], [name, ttl_ms])))

    async def living(self) -> frozenset[str]:
        with translated():
            seconds, microseconds = await self._client.time()
            now_ms = int(seconds) * 1000 + int(microseconds) // 1000
            found: Any = await self._client.zrangebyscore(self._key, f"({now_ms}", "+inf")
        return frozenset(map(bytes.decode, found))

    async def close(self) -> None:
        await self._client.aclose()


class MemoryMembers:
    """`Members` of one process, for tests and demonstrations."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    async def beat(self, name: str, ttl_ms: int) -> frozenset[str]:
        self._until[name] = time.monotonic() + ttl_ms / 1000
        return await self.living()

    async def living(self) -> frozenset[str]:
        now = time.monotonic()
        self._until = {name: until for name, until in self._until.items() if until > now}
        return frozenset(self._until)

    async def close(self) -> None:
        """Nothing to let go of."""
