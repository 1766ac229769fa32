"""Following the log into the kernel's map, against bare XREAD; writing a million bindings."""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import redis
from numpy.typing import NDArray

from edge_agent.agent.edge import Edge, Identity
from edge_agent.agent.runtime import now
from edge_agent.datapath import libbpf
from edge_agent.datapath.bcc_binding import bcc
from edge_agent.datapath.columns import PLACE, ROW, Rows, Slots, pack
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import Port
from edge_agent.sync.follower import Follower
from edge_agent.sync.lines import Lines
from lease_core import audit
from lease_core.domain.columns import Bindings
from lease_core.domain.events import Record
from lease_core.domain.mixing import Words
from lease_core.log.connecting import connect
from lease_core.log.port import MAX_COUNT, Answered, Head
from lease_core.log.reader import Position
from scripts.benchmark.bare import (
    FIRST_ADDRESS,
    FIRST_MAC,
    LINE,
    POOL,
    assigned,
    pool_added,
    redis_server,
    xread,
)
from scripts.benchmark.harness import IFINDEX, PORT_MAC, datapath_of
from scripts.benchmark.log import fill
from scripts.benchmark.measure import Table, at_least, run_rounds
from scripts.benchmark.tasks import run_until

EVENTS = 30_000
SUBSCRIBERS = 1_000_000
BATCH = 8192
SITE = "ams01"
XREAD = f"bare XREAD COUNT {MAX_COUNT}"
BARE_BATCH = "bare BPF_MAP_UPDATE_BATCH"

Chunk = tuple["ctypes.Array[ctypes.c_uint64]", bytes]
"""Keys and values of one call."""


def measure(rounds: int) -> list[Table]:
    """Audit lines are written as in production, but to nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        audit.configure(nowhere)
        return [_following(rounds), _writing(rounds)]


def _following(rounds: int) -> Table:
    with redis_server() as server, asyncio.Runner() as runner:
        client, numbers = redis.Redis.from_url(server.url), count()
        head = runner.run(_prepare(server.url))

        def follow() -> float:
            with datapath_of(EVENTS + 1, f"follow-{next(numbers)}") as datapath:
                return runner.run(_follow(server.url, head, datapath))

        found = run_rounds({"bare": lambda: xread(client, SITE), "follow": follow}, rounds)
    table = Table("Follow LeaseAssigned events into the pinned map", "events/s")
    table.add(XREAD, found["bare"])
    table.add("Follower + Edge.apply", found["follow"], XREAD, at_least(0.4))
    return table


async def _prepare(url: str) -> Head:
    log = connect(url, SITE)
    head = await fill(
        log, [pool_added(EVENTS), *(assigned(number) for number in range(EVENTS))], 256
    )
    await log.close()
    return head


def edge_of(datapath: XdpDatapath) -> Edge:
    """One that hears and says nothing."""
    datapath.put_port(IFINDEX, Port(PORT_MAC))
    return Edge(
        Identity(SITE, "bench", datapath.max_subscribers),
        datapath,
        Lines({LINE: IFINDEX}),
        send_frame=lambda *_: None,
        send_command=lambda _: True,
        now=now(),
    )


async def _follow(url: str, head: Head, datapath: XdpDatapath) -> float:
    log = connect(url, SITE)
    edge = edge_of(datapath)
    position = Position(head.genesis)
    edge.record.adopt(position)
    applied_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def apply(records: Sequence[Record], end: Position, _: Sequence[Answered]) -> None:
        edge.apply(records, end, now())
        if end.seq == head.seq and not applied_at.done():
            applied_at.set_result(time.perf_counter())

    async def rebuild() -> Position:
        raise AssertionError("the log has no gap")

    async def rejoin() -> Position | None:
        raise AssertionError("the log is always the same")

    follower = Follower(
        log, position, apply=apply, rebuild=rebuild, rejoin=rejoin, tell=edge.set_following
    )
    start = time.perf_counter()
    taken = await run_until(follower.run(), applied_at) - start
    await log.close()
    bound = sum(1 for _ in datapath.entries())
    assert bound == EVENTS, bound
    return head.seq / taken


def _writing(rounds: int) -> Table:
    """Into new tables every time, so that every entry is an insertion."""
    columns, numbers = _columns(SUBSCRIBERS), count()

    def timed(measure: Callable[[XdpDatapath], float]) -> float:
        with datapath_of(SUBSCRIBERS, f"write-{next(numbers)}") as datapath:
            return measure(datapath)

    def packing(datapath: XdpDatapath) -> float:
        start = time.perf_counter()
        datapath.put_rows(*pack(*columns))
        return SUBSCRIBERS / (time.perf_counter() - start)

    found = run_rounds(
        {
            "bare": lambda: timed(lambda datapath: bare_fill(datapath, SUBSCRIBERS)),
            "rows": lambda: timed(packing),
        },
        rounds,
    )
    table = Table(f"Write {SUBSCRIBERS:,} new bindings into subscriber_pools", "entries/s")
    table.add(BARE_BATCH, found["bare"], note=f"{BATCH} entries a call, packed beforehand")
    table.add("put_rows, packing included", found["rows"], BARE_BATCH)
    return table


def bare_fill(datapath: XdpDatapath, size: int) -> float:
    """Entries per second into empty tables, packed before the clock starts."""
    whole = pack(*_columns(size))
    chunks = [_packed(whole, at) for at in range(0, size, BATCH)]
    start = time.perf_counter()
    _write_bare(datapath, chunks)
    return size / (time.perf_counter() - start)


def _columns(size: int) -> tuple[Bindings, Slots, NDArray[np.void]]:
    """What is packed: the subscribers, their slots and their only place."""
    slots = np.arange(size, dtype=np.uint32)
    macs, events = slots + np.uint64(FIRST_MAC), slots + np.uint64(1)
    bindings = Bindings(macs, slots + np.uint32(FIRST_ADDRESS), events, slots * 0, ((LINE, POOL),))
    return bindings, slots, np.array([(IFINDEX, 0, 0, 1)], ROW[PLACE])


def _packed(whole: tuple[Words, Rows], at: int) -> Chunk:
    keys, rows = (column[at : at + BATCH] for column in whole)
    return (ctypes.c_uint64 * len(keys))(*keys.tolist()), rows.tobytes()


def _write_bare(datapath: XdpDatapath, chunks: Sequence[Chunk]) -> None:
    fd = libbpf.open_pin(datapath.directory / "subscriber_pools")
    for keys, values in chunks:
        written = ctypes.c_uint32(len(keys))
        failed = bcc().lib.bpf_update_batch(fd, keys, values, ctypes.byref(written))
        assert not failed, os.strerror(ctypes.get_errno())
        assert written.value == len(keys)
    os.close(fd)
