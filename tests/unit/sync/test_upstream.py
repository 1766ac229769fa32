"""Upstream: bounded, in batches, and heartbeats before everything."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from edge_agent.sync.upstream import MAX_BATCH, MAX_WAITING, Upstream
from lease_core.domain.commands import AckRemoval, Command, Heartbeat, RequestOffer
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import ForeignLogError, Unreadable


class Counted(MemoryLog):
    """Remembers how many commands came at once."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__("ams01", server)
        self.batches: list[int] = []

    async def send_many(self, commands: Sequence[Command], by: str) -> str:
        await asyncio.sleep(0)
        self.batches.append(len(commands))
        return await super().send_many(commands, by)


def ack(number: int) -> AckRemoval:
    return AckRemoval(req=f"a{number}", ip=Ipv4(1), ref=number, remaining_s=0, incarnation="a")


def beat(nonce: str) -> Heartbeat:
    return Heartbeat(edge="bng1", incarnation="a", nonce=nonce, applied=0)


async def run_until(upstream: Upstream, is_true: Callable[[], bool]) -> None:
    """Let it send until something holds, with a deadline."""
    task = asyncio.create_task(upstream.run())
    try:
        deadline = asyncio.get_running_loop().time() + 5
        while not is_true():
            assert not task.done()
            assert asyncio.get_running_loop().time() < deadline, "in vain"
            await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def sent(log: MemoryLog) -> list[Command]:
    found: list[Command] = []
    after = "0-0"
    while entries := await log.commands(after):
        for entry in entries:
            assert not isinstance(entry, Unreadable)
            found.append(entry.command)
        after = entries[-1].entry_id
    return found


async def test_what_waits_goes_in_batches_and_in_order() -> None:
    """Batches form by themselves, none larger than the limit; the order stands."""
    log = Counted(MemoryServer())
    upstream = Upstream(log, "bng1")
    for number in range(1000):
        assert upstream.send(ack(number))
    await run_until(upstream, lambda: len(upstream) == 0 and sum(log.batches) == 1000)

    assert await sent(log) == [ack(number) for number in range(1000)]
    assert log.batches == [MAX_BATCH] * 3 + [1000 - 3 * MAX_BATCH]


async def test_the_queue_is_bounded() -> None:
    """I12: beyond the limit a command is dropped, counted and the caller told."""
    upstream = Upstream(Counted(MemoryServer()), "bng1")
    told = [upstream.send(ack(number)) for number in range(MAX_WAITING + 7)]

    assert told.count(False) == upstream.dropped == 7
    assert len(upstream) == MAX_WAITING


async def test_a_heartbeat_finds_room_and_goes_first() -> None:
    """A flood of clients does not cost the site its horizon; of two heartbeats the last counts."""
    log = Counted(MemoryServer())
    upstream = Upstream(log, "bng1")
    for number in range(MAX_WAITING):
        upstream.send(ack(number))

    assert upstream.send(beat("n1"))
    assert upstream.send(beat("n2"))
    await run_until(upstream, lambda: len(log.batches) > 0)
    first = await sent(log)
    assert first[0] == beat("n2")
    assert beat("n1") not in first
    assert max(log.batches) == MAX_BATCH


async def test_an_outage_drops_is_told_once_and_ends() -> None:
    """During an outage commands are dropped and counted, said once; afterwards it goes on."""
    server = MemoryServer(is_down=True)
    log = Counted(server)
    upstream = Upstream(log, "bng1")
    with capture_logs() as lines:
        for number in range(10):
            upstream.send(ack(number))
            await run_until(upstream, lambda count=number + 1: upstream.dropped == count)
        server.is_down = False
        upstream.send(ack(77))
        await run_until(
            upstream, lambda: [line["event"] for line in lines][-1].endswith(".available")
        )

    assert [line["event"] for line in lines] == ["upstream.unavailable", "upstream.available"]
    assert lines[0]["site"] == "ams01"
    assert upstream.dropped == 10
    assert await sent(log) == [ack(77)]


async def test_no_fault_of_the_log_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the log says to a batch, the next one is tried."""
    log = Counted(MemoryServer())
    upstream = Upstream(log, "bng1")

    async def foreign(*_: object) -> list[str]:
        raise ForeignLogError("one of its keys holds something else")

    with monkeypatch.context() as patch:
        patch.setattr(log, "send_many", foreign)
        upstream.send(ack(1))
        await run_until(upstream, lambda: upstream.dropped == 1)
    upstream.send(ack(2))
    await run_until(upstream, lambda: log.batches == [1])

    assert await sent(log) == [ack(2)]


async def test_newcomers_go_last_and_make_room() -> None:
    """A full queue drops those who look for a first offer, the oldest first; others go before."""
    log = Counted(MemoryServer())
    await log.create("0a" * 16)
    upstream = Upstream(log, "bng1")
    offers = [RequestOffer(req=f"o{n}", mac=Mac(n + 1), line="x") for n in range(MAX_WAITING)]
    assert all(map(upstream.send, offers))
    assert not upstream.send(offers[0])
    assert upstream.send(ack(1))
    assert upstream.send(beat("n"))
    assert upstream.dropped == 2
    await run_until(upstream, lambda: not len(upstream))

    assert (await sent(log))[:3] == [beat("n"), ack(1), offers[1]]
