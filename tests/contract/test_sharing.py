"""Allocator processes share the sites of a real Redis; one joins, leaves, or is killed."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lease_core.domain.plan import add_site
from lease_core.log.connecting import connect
from lease_core.log.keys import PLAN
from lease_core.log.members import RedisMembers
from lease_core.service.planner import change_plan
from lease_core.service.sharing import ranked
from tests.contract.story import GENESIS
from tests.redis_server import RedisServer, is_installed

pytestmark = pytest.mark.redis

SITES = tuple(f"site{number:02}" for number in range(20))
LEASECTL = str(Path(sys.executable).with_name("leasectl"))
DEADLINE_S = 30.0
Shares = dict[str, set[str]]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    if not is_installed():
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path) as server:
        asyncio.run(_plan(server.url))
        yield server.url


async def _plan(url: str) -> None:
    plan = connect(url, PLAN)
    for site in SITES:
        log = connect(url, site)
        await log.create(GENESIS)
        await log.close()
        await change_plan(
            plan, "test",
            lambda plan, site=site: add_site(
                plan, site=site, genesis=GENESIS, horizon_s=14_400, reuse_guard_s=120,
                cause="test",
            ),
        )  # fmt: skip
    await plan.close()


class Processes:
    def __init__(self, url: str) -> None:
        self.url = url
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        words = [LEASECTL, "allocator", "--redis", self.url, "--name", name]
        self.running[name] = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def end(self, name: str, how: signal.Signals) -> None:
        process = self.running.pop(name)
        process.send_signal(how)
        process.wait(10)

    def shares(self) -> Shares:
        """As `leasectl allocator list` tells them."""
        words = [LEASECTL, "allocator", "list", "--json", "--redis", self.url]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        rows = map(json.loads, told.splitlines())
        return {row["allocator"]: set(row["sites"].split()) for row in rows}

    def until(self, is_true: Callable[[Shares], bool]) -> Shares:
        deadline = time.monotonic() + DEADLINE_S
        while not is_true(shares := self.shares()):
            assert time.monotonic() < deadline, shares
            time.sleep(0.05)
        return shares


@pytest.fixture
def processes(url: str) -> Iterator[Processes]:
    made = Processes(url)
    yield made
    for name in list(made.running):
        made.end(name, signal.SIGKILL)


def all_led_by(*names: str) -> Callable[[Shares], bool]:
    """Whether just these live, and each leads what is its own."""

    def is_true(shares: Shares) -> bool:
        if sorted(member.split("#")[0] for member in shares) != sorted(names):
            return False
        own: Shares = {member: set() for member in shares}
        for site in SITES:
            own[ranked(site, shares)[0]].add(site)
        return shares == own

    return is_true


def test_sites_move_when_somebody_comes_or_goes(processes: Processes) -> None:
    """Joining takes a share, leaving and dying give it to the others; no other site moves."""
    processes.start("one")
    processes.until(all_led_by("one"))
    processes.start("two")
    processes.start("three")
    before = processes.until(all_led_by("one", "two", "three"))

    processes.end("two", signal.SIGTERM)
    after = processes.until(all_led_by("one", "three"))
    for member, own in after.items():
        assert before[member] <= own

    processes.end("three", signal.SIGKILL)
    processes.until(all_led_by("one"))


def test_who_was_taken_for_dead_leads_again(processes: Processes) -> None:
    """I13: a process that was stopped until another led its sites has them back soon after it goes
    on, although nobody asks for anything there."""
    processes.start("one")
    processes.start("two")
    processes.until(all_led_by("one", "two"))
    processes.running["one"].send_signal(signal.SIGSTOP)
    processes.until(all_led_by("two"))

    processes.running["one"].send_signal(signal.SIGCONT)
    processes.until(all_led_by("one", "two"))


async def test_the_dead_are_forgotten(url: str) -> None:
    """Who does not beat any more is no member when its time is over, by the server's clock."""
    members = RedisMembers(url)
    assert await members.beat("a", 60_000) == {"a"}
    assert await members.beat("b", 1) >= {"a"}
    await asyncio.sleep(0.01)
    assert await members.living() == {"a"}
    assert await members.beat("a", 0) == set()
    await members.close()
