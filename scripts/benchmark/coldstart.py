"""Starting over from a snapshot, and what a million leases weigh, as the number of leases grows."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import redis

from edge_agent.agent.runtime import now
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import Port
from edge_agent.sync.filling import fill
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import Projection
from lease_core import audit
from lease_core.clock import elapsed_ns
from lease_core.domain.columns import bindings_digest
from lease_core.domain.desk import Desk, Timing
from lease_core.log.connecting import connect
from lease_core.log.keys import Keys
from lease_core.log.port import SiteLog
from lease_core.log.reader import Position
from lease_core.log.replay import replay
from lease_core.log.snapshot import write_snapshot
from scripts.benchmark.bare import LINE, leased, redis_server
from scripts.benchmark.edge import BARE_BATCH, bare_fill
from scripts.benchmark.harness import IFINDEX, PORT_MAC, datapath_of
from scripts.benchmark.measure import Series, Table, at_least, at_most, run_rounds, say

SIZES = (1_000, 10_000, 100_000, 1_000_000)
H = "0123456789abcdef"
ROUNDS_MAX = 2
ALLOCATOR, AGENT = "allocator", "agent"


def measure(rounds: int) -> list[Table]:
    """Every size in every round; memory in a process of its own, once."""
    with (
        redis_server() as server,
        asyncio.Runner() as runner,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,
    ):
        audit.configure(nowhere)
        client, numbers = redis.Redis.from_url(server.url), count()
        digests = {size: runner.run(_prepare(client, server.url, size)) for size in SIZES}

        def started(size: int) -> float:
            with datapath_of(size, f"cold-{next(numbers)}") as datapath:
                return runner.run(_start(server.url, size, datapath, digests[size]))

        def bare() -> float:
            with datapath_of(SIZES[-1], f"bare-{next(numbers)}") as datapath:
                return bare_fill(datapath, SIZES[-1])

        cases = {str(size): lambda size=size: started(size) for size in SIZES}
        found = run_rounds({BARE_BATCH: bare} | cases, min(rounds, ROUNDS_MAX))
        weights = {who: _weight(who, server.url, SIZES[-1]) for who in (ALLOCATOR, AGENT)}
    speed = Table("Edge with empty tables: snapshot from Redis into the kernel's map", "leases/s")
    speed.add(BARE_BATCH, found[BARE_BATCH], note=f"{SIZES[-1]:,} leases, packed beforehand")
    for size in SIZES:
        figure, is_last = found[str(size)], size == SIZES[-1]
        aim = (BARE_BATCH, at_least(0.25)) if is_last else ()
        speed.add(f"{size:,} leases", figure, *aim, note=_taken(size, figure))
    memory = Table(f"Resident memory at most, at {SIZES[-1]:,} leases", "MB")
    memory.add(ALLOCATOR, weights[ALLOCATOR], "", at_most(450, "MB"))
    memory.add(AGENT, weights[AGENT], "", at_most(250, "MB"), note="while it fills its tables")
    return [speed, memory]


def _taken(size: int, found: Series) -> str:
    goal = "; goal 3 s" if size == SIZES[-1] else ""
    return f"{size / found.median:.2f} s{goal}"


def site_of(size: int) -> str:
    return f"cold-{size}"


async def _prepare(client: redis.Redis, url: str, size: int) -> str:
    """A log that was cut behind its snapshot, which holds `size` leases; returns their digest."""
    say(f"writing a snapshot of {size:,} leases")
    ledger = leased(size, size)
    log = connect(url, site_of(size))
    genesis = await log.create(secrets.token_hex(16))
    end = Position(genesis, ledger.seq, H, time.time_ns() // 1_000_000, 1)
    await write_snapshot(log, ledger, end)
    head = {"epoch": 1, "seq": end.seq, "hash": H, "last_id": end.entry_id}
    client.hset(Keys(log.site).head, mapping=head)
    await log.close()
    return bindings_digest(ledger.bound.values())


async def _start(url: str, size: int, datapath: XdpDatapath, digest: str) -> float:
    """Leases per second from an empty table to a whole one."""
    log = connect(url, site_of(size))
    start = time.perf_counter()
    projection = await _rebuilt(log, datapath, size)
    taken = time.perf_counter() - start
    assert projection.census.digest.text() == digest
    await log.close()
    return size / taken


async def _rebuilt(log: SiteLog, datapath: XdpDatapath, size: int) -> Projection:
    datapath.put_port(IFINDEX, Port(PORT_MAC))
    projection = Projection(datapath, Lines({LINE: IFINDEX}), size)
    assert await fill(projection, log, "", now().boot_ns)
    return projection


def _weight(who: str, url: str, size: int) -> Series:
    """Megabytes of a process that holds what the allocator or the agent holds."""
    say(f"memory of the {who}")
    words = (sys.executable, "-m", "scripts.benchmark.coldstart", who, url, str(size))
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    return Series((float(told.stdout),))


async def _hold(who: str, url: str, size: int) -> float:
    """Hold it, and say what it took; a result of the task would be told as text at its end."""
    log = connect(url, site_of(size))
    if who == ALLOCATOR:
        ledger, _ = await replay(log)
        held: object = (ledger, Desk(ledger, Timing(), elapsed_ns()))
    else:
        with datapath_of(size, "memory") as datapath:
            held = await _rebuilt(log, datapath, size)
    await log.close()
    peak_mb = _peak_mb()
    del held
    return peak_mb


def _peak_mb() -> float:
    """The most memory that this process had, since it was executed."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    print(asyncio.run(_hold(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
