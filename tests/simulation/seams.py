"""Where the world stands in for time, randomness and threads of the product, and its scale.

Times of safety are a tenth of the defaults, so that a schedule sees many leases and horizons.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest import mock

import structlog

from edge_agent.agent import duties, edge, request_ids, runtime, site_record, status, stock
from edge_agent.agent.answering import Now
from edge_agent.dhcp import fastpath
from edge_agent.sync import follower, horizon, removals
from lease_core.domain import desk
from lease_core.domain.desk import Timing
from lease_core.service import (
    committing,
    condition,
    leader,
    leadership,
    renewal,
    site_allocator,
    snapshots,
)
from lease_core.service.snapshots import SnapshotPolicy
from tests.simulation.clocks import SECOND
from tests.simulation.loop import PROCESS, Process

LEASE_S = 30
MIN_GRANT_S = 6
DEAD_MAN_S = 40
RHO = 0.05
HEARTBEAT_S = 7
DEPOSED_WRITER_S = 8
TIMING = Timing(
    horizon_s=80,
    reuse_guard_s=12,
    deposed_writer_s=DEPOSED_WRITER_S,
    offer_hold_s=6,
    decline_first_s=20,
    decline_max_s=60,
)
POLICY = SnapshotPolicy(events=15, pause_s=5)


def here() -> Process:
    """The process that runs now."""
    process = PROCESS.get()
    assert process, "nobody runs"
    return process


def _now() -> Now:
    now: Now = here().clock.now()
    return now


def _elapsed_ns() -> int:
    return int(here().clock.elapsed_ns())


class HostTime:
    """`time` for a module of the product."""

    def monotonic(self) -> float:
        return float(here().clock.monotonic_s())

    def time_ns(self) -> int:
        return int(here().clock.wall_ns())


class Secrets:
    """`secrets` for a module of the product, by the world's seed."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def token_hex(self, octets: int) -> str:
        return f"{self._rng.getrandbits(8 * octets):0{2 * octets}x}"

    def randbits(self, bits: int) -> int:
        return self._rng.getrandbits(bits)


async def _to_thread(work: Any) -> None:
    await asyncio.sleep(0.02)
    work()


class Silent:
    """No audit lines: they cost more than the decisions."""

    def bind(self, **_: Any) -> "Silent":
        return self

    def msg(self, *_: Any, **__: Any) -> None:
        """Say nothing."""

    debug = info = warning = error = critical = msg


@contextmanager
def simulated(rng: random.Random) -> Iterator[None]:
    """The product's modules on virtual time, by the world's randomness."""
    secrets, time = Secrets(rng), HostTime()
    aio = SimpleNamespace(**vars(asyncio) | {"to_thread": _to_thread})
    silent = Silent()
    replaced = [
        (structlog, "get_logger", lambda *_: silent),
        *(
            (module, "audit", silent)
            for module in (
                *(condition, leader, site_allocator, snapshots),
                *(runtime, removals, status),
            )
        ),
        (condition, "time", time),
        (status, "time", time),
        *((module, "time", time) for module in (committing, leader, renewal)),
        (leader, "TICK_S", 1.5),
        (leader, "STAND_BY_MS", 1500),
        (leadership, "RENEW_S", 1.0),
        (leader, "READ_AT_ONCE", 1),
        (leader, "MANY", 1),
        (leader, "SiteAllocator", _Recorded),
        (follower, "time", time),
        (follower, "MARK_POLL_S", 0.02),
        (follower, "MARK_POLL_MAX_S", 0.5),
        (horizon, "RATE_ERROR", RHO),
        (fastpath, "MIN_GRANT_S", MIN_GRANT_S),
        (fastpath, "DEAD_MAN_NS", DEAD_MAN_S * SECOND),
        (duties, "REPEAT_ACK_NS", 3 * SECOND),
        (committing, "secrets", secrets),
        (snapshots, "secrets", secrets),
        (edge, "secrets", secrets),
        (site_record, "secrets", secrets),
        (request_ids, "secrets", secrets),
        (stock, "LEAST", 1),
        (desk, "STOCK_SHARE", 2),
        (runtime, "now", _now),
        (runtime, "elapsed_ns", _elapsed_ns),
        (runtime, "random", rng),
        (runtime, "asyncio", aio),
    ]
    patches = [mock.patch.object(module, name, new) for module, name, new in replaced]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


class _Recorded(site_allocator.SiteAllocator):
    """Remembered by its process, so that the checker sees the desk of whoever leads."""

    def __init__(self, site: str, *rest: Any) -> None:
        super().__init__(site, *rest)
        here().leads[site] = self  # type: ignore[attr-defined]
