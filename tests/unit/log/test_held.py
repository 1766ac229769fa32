"""Many calls over one connection: together on their way, and each with its own reply."""

import asyncio
import socket
import time
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from lease_core.log.held import LARGE, TOGETHER, Exchange

LONG_S = 60.0
PING = b"*1\r\n$4\r\nPING\r\n"


class Wire:
    """The transport of a connection, and its stream writer."""

    def __init__(self) -> None:
        self.transport = self
        self.written: list[bytes] = []
        self.is_aborted = False
        self.protocol: Any = asyncio.Protocol()

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, octets: bytes) -> None:
        self.written.append(octets)

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
async def wire() -> Wire:
    return Wire()


@pytest.fixture
async def exchange(wire: Wire) -> Exchange:
    writer: Any = wire
    return Exchange(writer)


def called(exchange: Exchange, *names: str, limit_s: float = LONG_S) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(_reply(exchange, name, limit_s)) for name in names]


async def _reply(exchange: Exchange, name: str, limit_s: float) -> Any:
    found = await exchange.send([name], limit_s)
    if isinstance(found, RedisError):
        raise found
    return found


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_calls_of_one_turn_leave_together(wire: Wire, exchange: Exchange) -> None:
    """What is called in one turn is one write; what comes later does not wait for its replies."""
    first = called(exchange, "PING", "PING")
    await turns()
    second = called(exchange, "PING")
    await turns()
    exchange.data_received(b"+1\r\n+2\r\n+3\r\n")

    assert wire.written == [PING + PING, PING]
    assert await asyncio.gather(*first, *second) == [b"1", b"2", b"3"]


async def test_many_calls_of_one_turn_do_not_wait_for_all(wire: Wire, exchange: Exchange) -> None:
    """What a long turn decides first is not sent last: its commit time would grow old."""
    calls = called(exchange, *["PING"] * (2 * TOGETHER + 1))
    await turns()
    exchange.data_received(b"+1\r\n" * len(calls))

    assert wire.written == [TOGETHER * PING, TOGETHER * PING, PING]
    assert await asyncio.gather(*calls) == [b"1"] * len(calls)


async def test_a_large_call_does_not_wait_for_others(wire: Wire, exchange: Exchange) -> None:
    """It leaves with what was called before it; the next of its turn is another write."""
    calls = called(exchange, "PING", "x" * LARGE, "PING")
    await turns()
    exchange.data_received(b"+1\r\n" * len(calls))

    first, second = wire.written
    assert first.startswith(PING)
    assert len(first) > LARGE
    assert second == PING
    assert await asyncio.gather(*calls) == [b"1"] * len(calls)


async def test_replies_come_to_their_calls_however_they_are_cut(
    wire: Wire, exchange: Exchange
) -> None:
    """A refusal is its own call's and no other's, and what the server pushes is nobody's."""
    good, bad, last = called(exchange, "PING", "PING", "PING")
    await turns()
    for octet in b"+1\r\n>2\r\n+invalidate\r\n+x\r\n-ERR no\r\n+3\r\n":
        exchange.data_received(bytes((octet,)))

    assert (await good, await last) == (b"1", b"3")
    with pytest.raises(ResponseError, match="no"):
        await bad
    assert exchange.is_open


async def test_who_gives_up_leaves_his_reply_to_nobody(wire: Wire, exchange: Exchange) -> None:
    """The next call gets its own reply, not that of one who went."""
    gone, stays = called(exchange, "PING", "PING")
    await turns()
    gone.cancel()
    await turns()
    exchange.data_received(b"+late\r\n+mine\r\n")

    assert await stays == b"mine"
    assert exchange.is_open


async def test_a_late_reply_is_the_end_of_the_connection(wire: Wire, exchange: Exchange) -> None:
    """No reply within its limit: all who wait are told, though theirs is longer, and no later reply
    is taken for another's."""
    hasty, patient = called(exchange, "PING", limit_s=0.01) + called(exchange, "PING")
    for call in (hasty, patient):
        with pytest.raises(RedisTimeoutError, match=r"within 0\.01 s"):
            await call
    assert not exchange.is_open


async def test_a_limit_counts_from_the_reply_before(wire: Wire, exchange: Exchange) -> None:
    """Who queues behind a call that may wait long is not late before his turn has come."""
    waiting, hasty = called(exchange, "PING") + called(exchange, "PING", limit_s=0.01)
    await asyncio.sleep(0.05)
    assert exchange.is_open
    exchange.data_received(b"+1\r\n")
    assert await waiting == b"1"
    with pytest.raises(RedisTimeoutError):
        await hasty


async def test_a_lost_connection_ends_every_call(wire: Wire, exchange: Exchange) -> None:
    """Nobody waits for a reply that cannot come any more."""
    calls = called(exchange, "PING", "PING")
    await turns()
    wire.abort()
    exchange.connection_lost(None)
    for call in calls:
        with pytest.raises(RedisConnectionError):
            await call


@pytest.mark.parametrize("octets", [b"+1\r\n+2\r\n", b"?\r\n"])
async def test_what_is_no_reply_ends_the_connection(
    wire: Wire, exchange: Exchange, octets: bytes
) -> None:
    """After a reply that nobody asked for, or none at all, it is unknown whose the next one is."""
    [call] = called(exchange, "PING")
    await turns()
    exchange.data_received(octets)
    assert not exchange.is_open
    if octets.startswith(b"+"):
        assert await call == b"1"
    else:
        with pytest.raises(InvalidResponse):
            await call


async def test_who_was_stopped_takes_the_reply_that_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wait that a stop and SIGCONT interrupt tells of no socket, while timers are over: the
    connection is as good as before."""
    ours, servers = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    exchange = Exchange(writer)
    [call] = called(exchange, "PING", limit_s=0.05)
    await turns()
    servers.send(b"+1\r\n")
    loop: Any = asyncio.get_running_loop()
    select = loop._selector.select
    answers = iter(([],))  # of an interrupted wait

    def interrupted(wait_s: float | None) -> Any:
        found = next(answers, None)
        return select(wait_s) if found is None else found

    monkeypatch.setattr(loop._selector, "select", interrupted)
    time.sleep(0.1)  # noqa: ASYNC251  (nothing goes on in a process that is stopped)

    assert await call == b"1"
    assert exchange.is_open
    writer.close()
    servers.close()
