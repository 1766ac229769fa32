"""What an outage costs while it lasts: it is found out soon, and then next to nothing (I12)."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from scripts.benchmark.measure import spent_s
from scripts.lab import Lab, wait_until
from tests.faults.network import cut, leg_of, mend
from tests.faults.service import Service, renewals

pytestmark = pytest.mark.net

DETECTED_S = 20.0
"""No longer than a reader's timeout, and as much again for a machine that is busy."""
IS_FULL = bool(os.environ.get("LEASE_FULL"))
WINDOW_S = 30.0 if IS_FULL else 6.0
LINES_PER_S = 1.0
ALARMS = 6
"""Said once each, besides."""
MAX_CORES = 0.3
ALLOCATOR_NOTICES = ("log.unavailable", "log.foreign", "append.unsettled", "members.unknown")
LIMITED = ("answered", "kernel")
"""Stages whose lines tell of single frames, and have limits of their own."""


@dataclass
class Spent:
    lines: list[dict[str, object]]
    cpu_s: float


def spent(lab: Lab, name: str, process: subprocess.Popen[bytes]) -> Spent:
    """By a process since it began: lines but for single frames, and user and system time."""
    lines = [line for line in lab.log_of(name) if line.get("stage") not in LIMITED]
    return Spent(lines, spent_s(process.pid))


def flush(service: Service) -> None:
    service.lab.redis_cli("FLUSHALL")


def black_hole(service: Service) -> None:
    """Whatever is sent to Redis is lost in silence: no RST, no ICMP."""
    cut(service.lab, leg_of(service.lab, service.site))
    cut(service.lab, "x50")


def hang(service: Service) -> None:
    """Redis takes connections and answers nothing."""
    service.lab.redis.send_signal(signal.SIGSTOP)


def refuse(service: Service) -> None:
    service.lab.stop(service.lab.redis, signal.SIGKILL)


def end_black_hole(service: Service) -> None:
    mend(service.lab, leg_of(service.lab, service.site))
    mend(service.lab, "x50")


Step = Callable[[Service], object]
OUTAGES: dict[str, tuple[Step, str, Step | None]] = {
    "black hole": (black_hole, "unreachable", end_black_hole),
    "hung": (hang, "unreachable", lambda s: s.lab.redis.send_signal(signal.SIGCONT)),
    "refused": (refuse, "unreachable", lambda s: s.lab.start_redis()),
    "flush": (flush, "foreign", None),
}
"""How it begins, what the edge says then, and how it ends, if it does."""
KINDS = list(OUTAGES) if IS_FULL else ["black hole", "flush"]


@pytest.mark.timeout(360)
def test_an_outage_is_noticed_and_costs_little(service: Service) -> None:
    """I12, I13: edge and allocator say soon that something is wrong, then no more than a line a
    second, and do not spin; known clients are served (I9), and afterwards everybody is."""
    lab, edge = service.lab, f"edge-{service.site.name}"
    for kind in KINDS:
        begin, state, end = OUTAGES[kind]
        edge_lines, allocator_lines = len(lab.log_of(edge)), len(lab.log_of("allocator"))
        begin(service)
        await_line(lab, edge, edge_lines, "follower.state", state)
        await_line(lab, "allocator", allocator_lines, *ALLOCATOR_NOTICES)
        assert_cheap(service, kind)
        if end:
            end(service)
            service.assert_well()


def await_line(lab: Lab, name: str, since: int, *words: str) -> None:
    """One behind the first `since` of a log, whose event, and state if any, are among these."""

    def is_there() -> bool:
        lines = lab.log_of(name)[since:]
        return any({line["event"], line.get("state", line["event"])} <= {*words} for line in lines)

    wait_until(is_there, f"{name} to say one of {words}", DETECTED_S)


def assert_cheap(service: Service, kind: str) -> None:
    """What edge and allocator write and compute in a while, and that known clients are served."""
    lab, processes = service.lab, {"allocator": service.allocator}
    processes[f"edge-{service.site.name}"] = service.edge
    renewed = renewals(lab, service.site)
    before = {name: spent(lab, name, process) for name, process in processes.items()}
    since_s = time.monotonic()
    time.sleep(WINDOW_S)  # what is measured, not a hope
    window_s = time.monotonic() - since_s
    for name, process in processes.items():
        now = spent(lab, name, process)
        written = now.lines[len(before[name].lines) :]
        assert len(written) <= ALARMS + LINES_PER_S * window_s, f"{kind}, {name}: {written}"
        assert now.cpu_s - before[name].cpu_s <= MAX_CORES * window_s, f"{kind}: {name}"
    assert renewals(lab, service.site) > renewed
