"""How we talk to Redis: two kinds of client, scripts by digest, one place that reads its errors."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from lease_core.endpoint import Endpoint
from lease_core.log.errors import ForeignLogError, LogUnavailableError, OutcomeUnknownError
from lease_core.log.layout import Flat, Written
from lease_core.log.locating import Address, Ask, Locator, SentinelMaster, SlotOwner, parse
from lease_core.log.port import MAX_BLOCK_MS

WRITER_TIMEOUT_S: Final = 3.0
READ_MARGIN_S: Final = 3.0
"""A reply is given up so long after the server had to send it: black holes send no reset."""

READER_TIMEOUT_S: Final = MAX_BLOCK_MS / 1000 + READ_MARGIN_S
KEEPALIVE: Final = {socket.TCP_KEEPIDLE: 6, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 3}
"""So the kernel finds a peer that is gone within nine seconds, however long a read waits."""

ASK_TIMEOUT_S: Final = 1.0
MOVES: Final = 3
"""So many MOVED of one call are followed."""

SETTINGS: Final = {
    "appendonly": ("yes", "events would live in memory alone"),
    "appendfsync": ("always", "an answered client's lease could be lost"),
    "maxmemory-policy": ("noeviction", "Redis could drop the log to make room"),
    "aof-load-truncated": ("no", "Redis would start with the end of the log cut off"),
}
"""What the promises of this service rest on, and what is lost without it."""

LEAST_REPLICAS: Final = "min-replicas-to-write"


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


class Locating(Connection):
    """A connection of redis-py, and what we add to it.

    It packs commands in C, which redis-py does for synchronous clients only: a batch of 256
    events is 5,000 arguments, which take Python a third of the whole append. It sends without
    `asyncio.wait_for`, which makes a task of each command and, before Python 3.12, loses a
    cancellation that comes together with its result. And with `locate` it asks where to go each
    time it connects.
    """

    def __init__(self, *, locate: Locator | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._locate = locate

    def pack_command(self, *args: Any) -> list[bytes]:
        """The first argument may be several words (`CLIENT SETINFO`)."""
        name = args[0].encode() if isinstance(args[0], str) else args[0]
        return [pack_command((*name.split(), *args[1:]))]

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect_check_health(check_health=check_health)
        assert self._writer
        try:
            self._writer.writelines(command)
            async with asyncio.timeout(self.socket_timeout):
                await self._writer.drain()
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"cannot write to the socket: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)
            raise

    async def _connect(self) -> None:
        if self._locate:
            self.host, self.port = await self._locate()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **settings: Any) -> Any:
        try:
            return await super().read_response(*args, **settings)
        except (MovedError, ReadOnlyError) as error:
            await self.heed(error)
            raise

    async def heed(self, error: MovedError | ReadOnlyError) -> None:
        """Leave a server that says it is the wrong one, where another can be asked for."""
        if self._locate:
            if isinstance(error, MovedError):
                self._locate.moved((error.host or self.host, error.port))
            await self.disconnect()


class _Tls(Locating, SSLConnection):
    pass


def open_client(at: Endpoint | str, timeout_s: float, key: str = "") -> Redis:
    """Make a client that never repeats a call by itself; it connects with the first call.

    In a cluster it serves the slot of `key`, and follows that slot: a call that was answered by
    MOVED was not executed. ASK and TRYAGAIN are no service for the moment; the caller comes again.

    Raises:
        ValueError: a URL is malformed.
    """
    endpoint = Endpoint.model_validate(at) if isinstance(at, str) else at
    settings = _connection_settings(endpoint, timeout_s)
    kind = settings.pop("connection_class")
    if endpoint.url:
        return _client(kind, settings)
    asked = settings | {"socket_timeout": ASK_TIMEOUT_S, "socket_connect_timeout": ASK_TIMEOUT_S}
    if endpoint.sentinels:  # their own users are not those of the data
        asked = {name: asked[name] for name in asked if name not in {"username", "password"}}
        known = list(map(parse, endpoint.sentinels))
        return _client(
            kind,
            settings | {"locate": SentinelMaster(known, endpoint.master, _asking(kind, asked))},
        )
    owner = SlotOwner(list(map(parse, endpoint.nodes)), key, _asking(kind, asked))
    follows = Retry(NoBackoff(), MOVES, supported_errors=(MovedError,))
    return _client(kind, settings | {"locate": owner, "retry": follows})


async def forsake(client: Redis) -> None:
    """Drop all connections; the next ones ask somebody else where to go, if there is anybody."""
    pool = client.connection_pool
    locate = pool.connection_kwargs.get("locate")
    if locate:
        locate.distrust()
    await pool.disconnect()


def _client(kind: type[Connection], settings: dict[str, Any]) -> Redis:
    return Redis.from_pool(ConnectionPool(connection_class=kind, **settings))


def _asking(kind: type[Connection], settings: dict[str, Any]) -> Ask:
    async def ask(address: Address, question: Sequence[str]) -> Any:
        connection = kind(host=address[0], port=address[1], **settings)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            await connection.send_command(*question)
            return await connection.read_response()
        finally:
            await connection.disconnect()

    return ask


def _connection_settings(endpoint: Endpoint, timeout_s: float) -> dict[str, Any]:
    settings: dict[str, Any] = dict(parse_url(endpoint.url)) if endpoint.url else {}
    settings.setdefault("connection_class", SSLConnection if endpoint.is_tls else Connection)
    over_tcp = {Connection: Locating, SSLConnection: _Tls}
    if ours := over_tcp.get(settings["connection_class"]):  # that of unix:// knows no keepalive
        settings |= {
            "connection_class": ours,
            "socket_keepalive": True,
            "socket_keepalive_options": KEEPALIVE,
        }
    if endpoint.username:
        settings["username"] = endpoint.username
    if endpoint.password_file:
        settings["password"] = endpoint.password()
    if endpoint.is_tls:
        files = {"ca_certs": endpoint.ca, "certfile": endpoint.cert, "keyfile": endpoint.key}
        settings |= {f"ssl_{name}": str(path) for name, path in files.items() if path}
    return settings | {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout_s,
        "socket_connect_timeout": WRITER_TIMEOUT_S,
        "driver_info": None,  # else each connection reads it from the package's files
    }


def load_script(client: Redis, name: str) -> AsyncScript:
    """A script is called by its digest; the server that does not know it has not run it."""
    return client.register_script(
        files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    )


async def awaited(reply: Any) -> Any:
    """redis-py types some replies as perhaps not awaitable."""
    return await reply


def counted(entries: Iterable[Flat]) -> list[int | bytes]:
    """Entries as scripts take them: count of names and values, then these in turn."""
    taken: list[int | bytes] = []
    for entry in entries:
        taken.append(len(entry))
        taken += entry
    return taken


def by_form(entries: Iterable[Written]) -> list[int | bytes]:
    """Entries as append.lua takes them: names once for all that have the same, then the values."""
    numbers: dict[tuple[bytes, ...], int] = {}
    words: list[int | bytes] = []
    for names, values in entries:
        words.append(numbers.setdefault(names, len(numbers) + 1))
        words += values
    forms: list[int | bytes] = [len(numbers)]
    for names in numbers:
        forms += (len(names), *names)
    return forms + words


def pairs_of(reply: Any) -> dict[bytes, bytes]:
    """Names and values, which servers of either protocol tell in their own form."""
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


async def settings_faults(call: Callable[..., Awaitable[Any]], replicas: int) -> list[str]:
    """Compare the server's settings with `SETTINGS`, and with what so many replicas need.

    A server that hides them is believed.
    """
    with translated():
        try:
            told = pairs_of(await call("CONFIG", "GET", *SETTINGS, LEAST_REPLICAS))
        except ResponseError:
            return []
        faults = await _identity_faults(call)
    found = {name.decode(): value.decode() for name, value in told.items()}
    faults += [
        _fault(name, found[name], wanted, risk)
        for name, (wanted, risk) in SETTINGS.items()
        if found.get(name, wanted) != wanted
    ]
    least = found.get(LEAST_REPLICAS, str(replicas))
    if int(least) < replicas:
        risk = "a master that lost its replicas would go on alone"
        faults.append(_fault(LEAST_REPLICAS, least, replicas, risk))
    return faults


async def _identity_faults(call: Callable[..., Awaitable[Any]]) -> list[str]:
    try:
        await call("INFO", "replication")
    except NoPermissionError:
        risk = "a leader would go on at a promoted replica as if nothing had been"
        return [f"INFO is not allowed: {risk}; do ACL SETUSER ... +info, see leasectl acl"]
    return []


def _fault(name: str, found: object, wanted: object, risk: str) -> str:
    remedy = f"do CONFIG SET {name} {wanted} and note it in redis.conf"
    return f"{name} is {found}: {risk}; {remedy}"
