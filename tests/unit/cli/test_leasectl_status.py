"""leasectl status: every site on one page, and all trouble as text."""

import asyncio
import json
import time

import pytest

from lease_core.cli import common
from lease_core.cli.status import COLUMNS
from lease_core.domain.events import EpochStarted
from lease_core.log.errors import LogUnavailableError
from lease_core.log.memory_log import MemoryLog
from lease_core.log.port import Head
from tests.unit.cli.test_leasectl import Leasectl, clock, leasectl, write

__all__ = ["clock", "leasectl"]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Town:
    """One site, with an allocator and an edge that say what they are told to."""

    def __init__(self, leasectl: Leasectl) -> None:
        self.leasectl = leasectl
        leasectl("site", "add", "ams01")
        write(leasectl, [EpochStarted(cause="first-start")] * 5)
        self.allocator()
        self.edge()

    def allocator(self, word: str = "leads", reason: str = "", ttl_ms: int = 10**12) -> None:
        status = {"by": "core-1#5f0c", "is": word, "reason": reason, "since_ms": "1763800000000"}
        self.leasectl.do(lambda: self.leasectl.log().set_status(status, ttl_ms))

    def edge(self, **more: object) -> None:
        report = {"following": "live", "applied": 5, "horizon_left_s": 14_300, "at_ms": now_ms()}
        said = {name: str(value) for name, value in (report | more).items()}
        self.leasectl.do(lambda: self.leasectl.log().report("ams01-bng1", said))

    def trouble(self) -> str:
        [line] = self.leasectl("status", "--json", code=1).stdout.splitlines()
        return str(json.loads(line)["trouble"])


@pytest.fixture
def town(leasectl: Leasectl) -> Town:
    return Town(leasectl)


def test_all_is_well(town: Town, leasectl: Leasectl) -> None:
    """Who leads, where the log and the edge are, what is left of the horizon; ends with 0."""
    [row] = leasectl.rows("status")

    assert set(row) == set(COLUMNS)
    shown = {name: row[name] for name in ("leader", "epoch", "event", "waiting", "edge", "follows")}
    assert shown == {
        "leader": "core-1",
        "epoch": 1,
        "event": 5,
        "waiting": 0,
        "edge": "ams01-bng1",
        "follows": "live",
    }
    assert (row["lag"], row["horizon"], row["trouble"]) == (0, "3h58m", "")


@pytest.mark.parametrize("word", ["log.foreign", "log.damaged", "log.unavailable", "redis.unsafe"])
def test_what_stands_in_an_allocators_way_is_shown(town: Town, word: str) -> None:
    """With its reason and since when; nobody is said to lead."""
    town.allocator(word, "it has genesis 99")

    assert town.trouble() == f"{word} since 08:26:40 UTC: it has genesis 99"


def test_a_site_without_an_allocator_is_trouble(town: Town, leasectl: Leasectl) -> None:
    """What was said too long ago is not said."""
    town.allocator(ttl_ms=-1)

    assert town.trouble() == "no allocator says anything of it"


def test_what_is_wrong_at_an_edge_is_shown(town: Town) -> None:
    """Its follower's state, its silence and the end of its horizon, counted since it spoke."""
    town.edge(following="foreign")
    assert town.trouble() == "the edge's log is foreign"
    town.edge(at_ms=now_ms() - 600_500, horizon_left_s=500)
    assert town.trouble() == "the edge is silent for 10m; its horizon is over"
    town.edge(at_ms=now_ms() - 600_500, horizon_left_s="soon", applied="x")
    assert "its horizon is over" in town.trouble()


def test_a_lag_and_a_queue_are_shown(town: Town, leasectl: Leasectl) -> None:
    """How many events the edge has not applied, and how many commands wait."""
    town.edge(applied=2)
    [row] = leasectl.rows("status", "ams01")

    assert (row["lag"], row["trouble"]) == (3, "")


def test_sites_without_edge_log_or_redis_are_trouble(leasectl: Leasectl) -> None:
    """Each has its row, whatever becomes of the others."""
    leasectl("status", code=1)
    leasectl("site", "add", "ams01")
    leasectl("site", "add", "fra02")
    leasectl.server.site("fra02").head = None
    result = leasectl("status", code=1)

    assert "no edge has reported" in result.stdout
    assert "there is no log" in result.stdout
    leasectl.server.is_down = True
    leasectl("status", code=69)
    assert "down" in leasectl("status", "ams01", code=1).stdout


def test_a_site_that_does_not_answer_holds_up_no_other(
    leasectl: Leasectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are asked while it is waited for; each has its row, in the order asked for."""
    others_asked = asyncio.Event()

    class Slow(MemoryLog):
        async def head(self) -> Head | None:
            if self.site == "fra02":
                others_asked.set()
            try:
                await asyncio.wait_for(others_asked.wait(), 5)
            except TimeoutError:
                raise LogUnavailableError("nobody else was asked") from None
            return await super().head()

    for site in ("ams01", "fra02"):
        leasectl("site", "add", site)
    monkeypatch.setattr(common, "connect", lambda _, site: Slow(site, leasectl.server))
    rows = leasectl.rows("status", "ams01", "fra02", code=1)

    assert [row["site"] for row in rows] == ["ams01", "fra02"]
    assert "nobody else was asked" not in rows[0]["trouble"]
