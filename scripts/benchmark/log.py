"""Appending and reading the log, against the bare script and bare XREAD."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any

import redis

from lease_core.domain.events import Event, LeaseAssigned
from lease_core.log.connecting import connect
from lease_core.log.keys import Keys
from lease_core.log.port import MAX_COUNT, Head, SiteLog
from lease_core.log.reader import Position, advance_all
from lease_core.log.writer import build, commit
from scripts.benchmark.bare import BareAppend, assigned, redis_server, xread
from scripts.benchmark.measure import Series, Table, at_most, run_rounds

PER_CALL = (1, 16, 64, 256)
CALLS = 300
EVENTS_MAX = 20_000
READ_EVENTS = 50_000
READ_SITE = "read"
OCTETS_GOAL = 130
XREAD = f"bare XREAD COUNT {MAX_COUNT}"


def measure(rounds: int) -> list[Table]:
    with redis_server() as server, asyncio.Runner() as runner:
        client = redis.Redis.from_url(server.url)
        return [_appending(client, server.url, runner, rounds),
                _reading(client, server.url, runner, rounds),
                _memory(client)]  # fmt: skip


def _appending(client: redis.Redis, url: str, runner: asyncio.Runner, rounds: int) -> Table:
    numbers = count()

    def bare(per_call: int) -> float:
        site = f"bare-{next(numbers)}"
        return BareAppend(client, site).run(_events(per_call), per_call)

    def ours(per_call: int) -> float:
        return runner.run(_append(url, f"ours-{next(numbers)}", per_call))

    cases: dict[str, Callable[[], float]] = {}
    for size in PER_CALL:
        cases[f"bare {size}"] = lambda size=size: bare(size)
        cases[f"ours {size}"] = lambda size=size: ours(size)
    found = run_rounds(cases, rounds)
    table = Table("Append, appendfsync always", "events/s")
    for size in PER_CALL:
        plural = "event" if size == 1 else "events"
        table.add(f"bare append script, {size} {plural} a call", found[f"bare {size}"])
        table.add(f"writer.build + RedisLog.append, {size} {plural} a call", found[f"ours {size}"],
                  f"bare append script, {size} {plural} a call")  # fmt: skip
    return table


def _events(per_call: int) -> list[LeaseAssigned]:
    return [assigned(number) for number in range(min(per_call * CALLS, EVENTS_MAX))]


async def fill(log: SiteLog, events: Sequence[Event], per_call: int) -> Head:
    """Append events, each batch chained and built anew; return the head."""
    genesis = await log.create(secrets.token_hex(16))
    await log.claim("bench", 60_000, genesis)
    return await append_all(log, events, per_call)


async def append_all(log: SiteLog, events: Sequence[Event], per_call: int) -> Head:
    """`fill` of a log that was claimed already."""
    head = await log.head()
    assert head
    for start in range(0, len(events), per_call):
        batch = build(
            head,
            events[start : start + per_call],
            by="allocator",
            epoch=head.epoch,
            commit_ms=time.time_ns() // 1_000_000,
            batch_id=secrets.token_hex(8),
        )
        head = (await commit(log, batch))[0].after
    return head


async def _append(url: str, site: str, per_call: int) -> float:
    log, events = connect(url, site), _events(per_call)
    await log.head()
    start = time.perf_counter()
    await fill(log, events, per_call)
    taken = time.perf_counter() - start
    await log.close()
    return len(events) / taken


def _reading(client: redis.Redis, url: str, runner: asyncio.Runner, rounds: int) -> Table:
    site = READ_SITE
    events = [assigned(number) for number in range(READ_EVENTS)]

    async def prepare() -> Head:
        log = connect(url, site)
        head = await fill(log, events, 256)
        await log.close()
        return head

    head = runner.run(prepare())

    def through(read: Callable[[SiteLog, Position], Awaitable[Position]]) -> Callable[[], float]:
        return lambda: runner.run(_read_all(url, site, head, read))

    found = run_rounds(
        {
            "bare": lambda: xread(client, site),
            "read": through(_read),
            "checked": through(_read_checked),
        },
        rounds,
    )
    table = Table("Read from beginning to end", "events/s")
    table.add(XREAD, found["bare"])
    table.add("RedisLog.read, decoded", found["read"], XREAD)
    table.add("the same, chain of hashes checked", found["checked"], XREAD)
    return table


def _memory(client: redis.Redis) -> Table:
    """What the events that were read take: names are stored once a node, so fuller nodes help."""
    key = Keys(READ_SITE).events
    used: Any = client.memory_usage(key, samples=0)
    length: Any = client.xlen(key)
    table = Table("Memory of the log in Redis", "octets/event")
    goal = at_most(OCTETS_GOAL, "octets")
    table.add(
        "LeaseAssigned, the server as docs/log.md wants it", Series((used / length,)), "", goal
    )
    return table


async def _read_all(
    url: str, site: str, head: Head, read: Callable[[SiteLog, Position], Awaitable[Position]]
) -> float:
    log, position = connect(url, site), Position(head.genesis)
    await log.head()
    start = time.perf_counter()
    while position.seq < head.seq:
        position = await read(log, position)
    taken = time.perf_counter() - start
    await log.close()
    return head.seq / taken


async def _read(log: SiteLog, position: Position) -> Position:
    last = (await log.read(position.entry_id, MAX_COUNT))[-1]
    return Position(position.genesis, last.seq, last.h, last.commit_ms, last.epoch)


async def _read_checked(log: SiteLog, position: Position) -> Position:
    return advance_all(position, await log.read(position.entry_id, MAX_COUNT))
