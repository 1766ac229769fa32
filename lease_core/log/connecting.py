"""Connecting to the logs of sites in Redis.

A log has two clients, because redis-py's defaults (10 retries, one timeout for all) write twice and
cut blocking reads off: the writer never repeats a call by itself, the reader waits longer than it
blocks.
"""

from lease_core.endpoint import Endpoint
from lease_core.log.held import HeldConnection
from lease_core.log.keys import Keys
from lease_core.log.redis_client import READER_TIMEOUT_S, WRITER_TIMEOUT_S, open_client
from lease_core.log.redis_log import RedisLog


def connect(
    at: Endpoint | str, site: str, replicas: int = 0, shared: HeldConnection | None = None
) -> RedisLog:
    """Make the log of `site` at an endpoint or a URL; connections open with the first call.

    `replicas` must hold what a writer is to call written; readers need not say it. Over the
    `shared` connection, if there is one, goes what does not wait there.

    Raises:
        ValueError: a URL or `site` is malformed; the fault of the configuration.
    """
    key = Keys(site).head
    writer, reader = (open_client(at, s, key) for s in (WRITER_TIMEOUT_S, READER_TIMEOUT_S))
    return RedisLog(writer, reader, site, replicas, shared)


class Connector:
    """Opens the logs of many sites.

    Where one server has them all, what does not wait there goes over one connection, so that what
    they do at the same time is sent, made durable and answered together.
    """

    def __init__(self, at: Endpoint, replicas: int = 0) -> None:
        """As `connect`. In a cluster each site has connections of its own: its slot may move."""
        self._at, self._replicas = at, replicas
        self._client = None if at.nodes else open_client(at, WRITER_TIMEOUT_S)
        self._shared = HeldConnection(self._client, is_shared=True) if self._client else None

    async def __call__(self, site: str) -> RedisLog:
        return connect(self._at, site, self._replicas, self._shared)

    async def close(self) -> None:
        """Close what the logs share; they are closed one by one."""
        if self._client:
            await self._client.aclose()
