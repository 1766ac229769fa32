"""leasectl plan: the plan outside of Redis, and back."""

from pathlib import Path

import pytest

from lease_core.cli import common
from lease_core.log.keys import PLAN
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.service.planner import read_plan
from tests.unit.cli.test_leasectl import Leasectl


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Leasectl:
    """Two sites, one of them with a second log, and options that were changed."""
    server = MemoryServer()
    monkeypatch.setattr(common, "connect", lambda _, site: MemoryLog(site, server))
    leasectl = Leasectl(server, tmp_path)
    leasectl("site", "add", "ams01")
    leasectl("site", "add", "fra02", "--horizon", "7200")
    leasectl("pool", "add", "ams01/res-1", "100.64.0.0/24", "--dns", "192.0.2.53")
    more = ("--option", "mtu=1492", "--option", "ntp=192.0.2.1", "--gateway", "100.65.0.254")
    leasectl("pool", "add", "fra02/res-1", "100.65.0.0/24", *more)
    leasectl("pool", "set", "ams01/res-1", "--option", "mtu=1400", "--unset", "dns")
    server.sites.pop("fra02")
    leasectl("site", "recreate", "fra02", "--yes")
    return leasectl


def test_a_plan_comes_back_as_it_was(planned: Leasectl, tmp_path: Path) -> None:
    """After FLUSHALL the imported plan has the same events under the same seqs: sites, the genesis
    of each log they had, prefixes in their order, and options."""
    file = tmp_path / "plan.jsonl"
    file.write_text(planned("plan", "export").stdout)
    before, _ = planned.do(lambda: read_plan(planned.log(PLAN)))
    planned.server.sites.clear()
    planned("plan", "import", str(file))
    after, _ = planned.do(lambda: read_plan(planned.log(PLAN)))

    assert after == before
    assert after.seq == 6
    assert planned("plan", "export").stdout == file.read_text()


def test_a_plan_is_not_written_over_another(planned: Leasectl, tmp_path: Path) -> None:
    """Where any plan stands, nothing is imported."""
    file = tmp_path / "plan.jsonl"
    file.write_text(planned("plan", "export").stdout)
    refused = planned("plan", "import", str(file), code=2)

    assert "a plan of 6 events" in refused.stderr
    assert planned("plan", "export").stdout == file.read_text()


DAMAGE = {
    "no JSON": (0, "{", ""),
    "another event": (0, "SiteAdded", "EpochStarted"),
    "a number that is none": (0, "14400", '"long"'),
    "a field too few": (2, '"pool": "res-1", ', ""),
    "addresses of others": (2, "100.64.0.254", "100.64.1.254"),
    "no address": (2, "100.64.0.254", "elsewhere"),
    "a prefix twice": (3, "100.65.0.", "100.64.0."),
    "an unknown option": (4, "mtu=", "no-such="),
    "a pool of no site": (1, "fra02", "fra03"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_plan_is_refused_whole(planned: Leasectl, tmp_path: Path, what: str) -> None:
    """Whatever was changed in the file, the line is named and nothing is written."""
    at, old, new = DAMAGE[what]
    lines = planned("plan", "export").stdout.splitlines()
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new)
    file = tmp_path / "plan.jsonl"
    file.write_text("\n".join(lines))
    planned.server.sites.clear()

    refused = planned("plan", "import", str(file), code=2)
    assert "line " in refused.stderr
    assert PLAN not in planned.server.sites
