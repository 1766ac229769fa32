"""How we talk to Redis: two kinds of client, scripts by digest, one place that reads its errors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    RedisError,
    ResponseError,
)

from lease_core.log.errors import ForeignLogError, LogUnavailableError, OutcomeUnknownError
from lease_core.log.layout import Fields
from lease_core.log.port import MAX_BLOCK_MS

WRITER_TIMEOUT_S: Final = 3.0
READER_TIMEOUT_S: Final = MAX_BLOCK_MS / 1000 + 5.0

SETTINGS: Final = {
    "appendonly": ("yes", "events would live in memory alone"),
    "appendfsync": ("always", "an answered client's lease could be lost"),
    "maxmemory-policy": ("noeviction", "Redis could drop the log to make room"),
    "aof-load-truncated": ("no", "Redis would start with the end of the log cut off"),
}
"""What the promises of this service rest on, and what is lost without it."""


@contextmanager
def translated(*, is_append: bool = False) -> Iterator[None]:
    """Turn what redis-py raises into our errors.

    A Redis that answered with an error did nothing; only a lost reply leaves an append open, and
    a refused connection loses none.
    """
    try:
        yield
    except (ResponseError, BusyLoadingError, AuthenticationError) as error:
        if str(error).startswith("WRONGTYPE"):
            raise ForeignLogError("one of its keys holds something else") from error
        raise LogUnavailableError(f"Redis says: {type(error).__name__}: {error}") from error
    except (RedisError, OSError) as error:
        if is_append and not isinstance(error.__context__, ConnectionRefusedError):
            raise OutcomeUnknownError(f"the reply was lost: {error}") from error
        raise LogUnavailableError(f"no reply from Redis: {error}") from error


class _FastConnection(Connection):
    """Packs commands in C; redis-py does that for synchronous clients only.

    A batch of 256 events is 5,000 arguments, which take Python a third of the whole append.
    """

    def pack_command(self, *args: Any) -> list[bytes]:
        """The first argument may be several words (`CLIENT SETINFO`)."""
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [pack_command((*name.split(), *args[1:]))]


def open_client(url: str, timeout_s: float) -> Redis:
    """Make a client that never repeats a call by itself; it connects with the first call.

    Raises:
        ValueError: `url` is malformed.
    """
    return Redis.from_url(
        url,
        connection_class=_FastConnection,  # but for rediss:// and unix://, which have their own
        retry=Retry(NoBackoff(), 0),
        socket_timeout=timeout_s,
        socket_connect_timeout=WRITER_TIMEOUT_S,
        socket_keepalive=True,
    )


def load_script(client: Redis, name: str) -> AsyncScript:
    """A script is called by its digest; the server that does not know it has not run it."""
    return client.register_script(
        files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    )


async def awaited(reply: Any) -> Any:
    """redis-py types some replies as perhaps not awaitable."""
    return await reply


def flat(entries: Iterable[Fields]) -> Iterator[int | bytes]:
    """Entries as scripts take them: count of names and values, then these in turn."""
    for entry in entries:
        yield 2 * len(entry)
        for pair in entry.items():
            yield from pair


async def settings_faults(client: Redis) -> list[str]:
    """Compare the server's settings with `SETTINGS`; a server that hides them is believed."""
    with translated():
        try:
            found = await client.config_get(*SETTINGS)
        except ResponseError:
            return []
    return [
        f"{name} is {found[name]}: {risk}; do CONFIG SET {name} {wanted} and note it in redis.conf"
        for name, (wanted, risk) in SETTINGS.items()
        if found.get(name, wanted) != wanted
    ]
