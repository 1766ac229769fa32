"""An allocator that starts from a snapshot and what was appended since, and what it weighs."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import redis

from lease_core import audit
from lease_core.clock import elapsed_ns
from lease_core.domain.commands import RequestOffer
from lease_core.domain.decide import decide
from lease_core.domain.desk import Desk, Timing
from lease_core.domain.values import Mac
from lease_core.log.connecting import connect
from lease_core.log.keys import Keys
from lease_core.log.layout import by_name
from lease_core.log.reader import Position
from lease_core.log.replay import replay
from lease_core.log.snapshot import write_snapshot
from lease_core.log.wire import encode_event
from scripts.benchmark.bare import (
    LINE,
    assigned,
    leased,
    redis_server,
)
from scripts.benchmark.log import append_all
from scripts.benchmark.measure import Series, Table, at_most, say

SITE = "start"
LEASES = 1_000_000
TAIL = 100_000
PER_CALL = 1000
ROUNDS_MAX = 2
H = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Started:
    """Milliseconds and megabytes of one start."""

    start_ms: float
    offer_ms: float
    resident_mb: float
    copy_ms: float
    peak_mb: float


def measure(rounds: int) -> list[Table]:
    """Each start in a process of its own."""
    with redis_server() as server:
        asyncio.run(_prepare(server.url, LEASES, TAIL))
        found = [_started(server.url) for _ in range(min(rounds, ROUNDS_MAX))]

    def series(name: str) -> Series:
        return Series(tuple(getattr(each, name) for each in found))

    what = f"{LEASES:,} leases, {TAIL:,} of them behind the snapshot"
    times = Table(f"Allocator that starts: {what}", "ms")
    times.add(
        "snapshot and tail from Redis, ready to decide", series("start_ms"), "", at_most(6000, "ms")
    )
    times.add("its first offer", series("offer_ms"))
    times.add("copy of the ledger for a snapshot", series("copy_ms"))
    memory = Table(f"Memory of that allocator: {what}", "MB")
    memory.add("resident", series("resident_mb"), "", at_most(450, "MB"))
    memory.add("peak while a snapshot is taken", series("peak_mb"), "", at_most(450, "MB"))
    return [times, memory]


async def _prepare(url: str, leases: int, tail: int) -> None:
    """A log that was cut behind its snapshot, and went on."""
    say(f"writing a snapshot of {leases - tail:,} leases, and {tail:,} events")
    ledger = leased(leases - tail, leases)
    log = connect(url, SITE)
    genesis = await log.create(secrets.token_hex(16))
    end = Position(genesis, ledger.seq, H, time.time_ns() // 1_000_000, 1)
    await write_snapshot(log, ledger, end)
    last: Any = by_name(encode_event(assigned(leases - tail - 1), epoch=1, by="allocator", h=H))
    stored = {"epoch": 1, "seq": end.seq, "hash": H, "last_id": end.entry_id}
    with redis.Redis.from_url(url) as client:
        client.hset(Keys(SITE).head, mapping=stored)
        client.xadd(Keys(SITE).events, last, id=end.entry_id)  # the snapshot's own event stays
    await log.claim("bench", 60_000, genesis)
    await append_all(log, list(map(assigned, range(leases - tail, leases))), PER_CALL)
    await log.close()


def _started(url: str) -> Started:
    say("an allocator starts")
    words = (sys.executable, "-m", "scripts.benchmark.start", url)
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    return Started(**json.loads(told.stdout))


async def _start(url: str) -> Started:
    log = connect(url, SITE)
    begun = time.perf_counter()
    ledger, end = await replay(log)
    desk = Desk(ledger, Timing(), elapsed_ns())
    ready = time.perf_counter()
    decide(ledger, desk, RequestOffer(req="r", mac=Mac(1), line=LINE), elapsed_ns())
    offered, resident_mb = time.perf_counter(), _resident_mb()
    copy = ledger.copy()
    copied = time.perf_counter()
    await write_snapshot(log, copy, end)
    await log.close()
    peak_mb = getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return Started(
        start_ms=(ready - begun) * 1e3,
        offer_ms=(offered - ready) * 1e3,
        resident_mb=resident_mb,
        copy_ms=(copied - offered) * 1e3,
        peak_mb=peak_mb,
    )


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        audit.configure(nowhere)
        print(json.dumps(asdict(asyncio.run(_start(sys.argv[1])))))
