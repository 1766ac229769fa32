"""kill -9 at named points of the real programs, one after the other in one lab, under load.

After each: I1, I2, I4, I5, I7, I8, I11 from wire and log, tables equal to the log, and a client
that was never there before is served (I13).
"""

import importlib
import operator
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import events_of
from tests.faults.reuse import changed_hands
from tests.faults.service import Service

pytestmark = pytest.mark.net

KILLS = 200 if os.environ.get("LEASE_FULL") else 15
DIES_S = 20.0
"""A point that load does not come to in this time is no point of a running service."""

EDGE = "edge_agent.agent.edge:Edge."
RECORD = "edge_agent.agent.site_record:SiteRecord."
PROJECTION = "edge_agent.sync.projection:Projection."
TABLES = "edge_agent.datapath.kernel_tables:KernelTables."
DUTIES = "edge_agent.agent.duties:Duties."
UPSTREAM = "edge_agent.sync.upstream:Upstream."
LOG = "lease_core.log.redis_log:RedisLog."
SITE = "lease_core.service.site_allocator:SiteAllocator."
LEADER = "lease_core.service.leader:SiteLeader."

AGENT_POINTS = [
    *(f"{when}:{EDGE}{name}"
      for name in ("apply", "_apply_one", "touch", "_take_over")
      for when in ("before", "after")),
    *(f"{when}:{RECORD}{name}" for name in ("begin_to", "move_to") for when in ("before", "after")),
    *(f"{when}:{PROJECTION}{name}" for name in ("remove", "_take_out", "entomb")
      for when in ("before", "after")),
    *(f"{when}:{TABLES}put" for when in ("before", "after")),
    f"before:{PROJECTION}bury",
    f"before:{DUTIES}acknowledge",
    f"after:{DUTIES}acknowledge",
    f"after:{UPSTREAM}send",
    f"before:{LOG}send_many",
    f"after:{LOG}send_many",
    f"after:{LOG}report",
]  # fmt: skip
ALLOCATOR_POINTS = [
    *(f"{when}:{LOG}{name}" for name in ("append", "claim", "commands", "publish_snapshot")
      for when in ("before", "after")),
    f"before:{LOG}put_chunk",
    f"after:{SITE}begin",
    f"before:{SITE}handle",
    f"after:{SITE}handle",
    f"after:{SITE}pass_time",
    "after:lease_core.service.warm:WarmLedger.catch_up",
    f"after:{LEADER}_own_head",
]  # fmt: skip
REDIS_POINTS = [
    f"before:{LOG}append",
    f"after:{LOG}append",
    f"before:{LOG}claim",
    f"before:{LOG}put_chunk",
]
"""Where the allocator is when Redis dies under it."""

NAMED = [
    *(("agent", point) for point in AGENT_POINTS),
    *(("allocator", point) for point in ALLOCATOR_POINTS),
    *(("redis", point) for point in REDIS_POINTS),
]
AT_RANDOM = [(victim, "") for victim in ("agent", "allocator", "redis")]
ONCE_IN_A_LIFE = (
    "catch_up",
    "claim",
    "_take_over",
    "begin",
    "_own_head",
    "publish_snapshot",
    "put_chunk",
    "report",
)


def dying(service: Service, program: str, point: str, nth: int, victim: int = 0) -> list[object]:
    *_, kernel_object = service.lab.launcher
    words = (sys.executable, "-m", "tests.faults.dying", point, nth, victim, kernel_object, program)
    return list(words)


def kill(service: Service, victim: str, point: str, dice: random.Random) -> None:
    """Have the victim die at its point, and start what died."""
    name = point.rpartition(".")[2]
    nth = 1 if name in ONCE_IN_A_LIFE else dice.randint(1, 8)
    match victim:
        case "agent":
            service.lab.stop(service.edge, signal.SIGTERM)
            service.edge = service.lab.spawn_edge(
                service.site, dying(service, "edgectl", point, nth)
            )
            await_death(service.edge, point)
            service.edge = service.lab.start_edge(service.site)
        case "allocator":
            service.lab.stop(service.allocator, signal.SIGTERM)
            service.allocator = service.start_allocator(dying(service, "leasectl", point, nth))
            await_death(service.allocator, point)
            service.allocator = service.start_allocator()
        case "redis":
            service.lab.stop(service.allocator, signal.SIGTERM)
            program = dying(service, "leasectl", point, nth, service.lab.redis.pid)
            service.allocator = service.start_allocator(program)
            await_death(service.lab.redis, point)
            service.lab.start_redis()


def kill_now(service: Service, victim: str, dice: random.Random) -> None:
    """kill -9 at any moment: the one time in which a sleep is the fault itself."""
    time.sleep(dice.random())
    process = {"agent": service.edge, "allocator": service.allocator, "redis": service.lab.redis}[
        victim
    ]
    service.lab.stop(process, signal.SIGKILL)
    match victim:
        case "agent":
            service.edge = service.lab.start_edge(service.site)
        case "allocator":
            service.allocator = service.start_allocator()
        case "redis":
            service.lab.start_redis()


def await_death(process: subprocess.Popen[bytes], point: str) -> None:
    wait_until(lambda: process.poll() is not None, f"death at {point}", DIES_S)
    assert process.returncode == -signal.SIGKILL, f"{point}: ended with {process.returncode}"


@pytest.fixture
def service(lab: Lab, quick: Site) -> Service:
    return Service(lab, quick)


def test_every_point_is_there() -> None:
    """A method that was renamed is told at once, by its name."""
    for _, point in NAMED:
        _, module, name = point.split(":")
        assert operator.attrgetter(name)(importlib.import_module(module)), point


@pytest.mark.timeout(120 + 15 * KILLS)
def test_nothing_is_lost_at_any_point_of_death(service: Service, seed: int) -> None:
    """I1, I2, I4, I7, I8, I11, I13 after every single kill -9, while addresses change hands."""
    dice = random.Random(seed)
    plan = dice.sample(NAMED, len(NAMED))
    for number in range(KILLS):
        if number % 5 == 4:
            victim, point = dice.choice(AT_RANDOM)
            kill_now(service, victim, dice)
        else:
            victim, point = plan[number % len(plan)]
            kill(service, victim, point, dice)
        print(f"{time.monotonic():.1f} kill {number}: {victim} {point or 'at any moment'}")
        service.assert_well()
    assert changed_hands(events_of(service.lab, service.site)) > KILLS, "reuse was not tried"
