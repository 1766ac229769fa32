"""The lab of the fault tests: the kernel datapath, one site, a checker at the end of each test."""

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.lab import Lab, Site
from tests.faults.checker import check
from tests.faults.network import Host, add_host
from tests.faults.scaled import GUARD_S, HORIZON_S, LEASE_S, PATCH
from tests.faults.service import Service, await_load
from tests.kernel.builds import build
from tests.netns.conftest import missing, missing_for_xdp

POOL = "100.64.0.0/26"
"""Few addresses for those who come and go: a stranger gets each after a quarantine."""


@pytest.fixture
def bare_lab() -> Iterator[Lab]:
    """Not even Redis runs."""
    reason = missing() or missing_for_xdp()
    if reason:
        pytest.skip(reason)
    with Lab("xdp") as made:
        yield made


@pytest.fixture
def lab(bare_lab: Lab) -> Lab:
    bare_lab.start_redis()
    return bare_lab


@pytest.fixture(scope="session")
def scaled_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("scaled"), patch=PATCH)


@pytest.fixture
def scaled_lab(lab: Lab, scaled_object: Path) -> Lab:
    """Safety times may be seconds there."""
    lab.launcher = (sys.executable, "-m", "tests.faults.scaled", scaled_object)
    return lab


@pytest.fixture
def quick(scaled_lab: Lab) -> Site:
    """A planned site whose safety times are seconds, so that addresses change hands."""
    return scaled_lab.add_site(
        "ams01", POOL, lease_s=LEASE_S, horizon_s=HORIZON_S, reuse_guard_s=GUARD_S, heartbeat_s=1
    )


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """A planned site without allocator and edge; the wire is checked against the log at the end."""
    made = lab.add_site("ams01", "100.64.0.0/22")
    yield made
    assert check(lab, made) > 0, "nothing was promised, so nothing was checked"


@pytest.fixture
def center(lab: Lab) -> Host:
    """Where the allocator runs, a link away from Redis."""
    return add_host(lab, "center", 50)


@pytest.fixture
def service(lab: Lab, quick: Site, center: Host) -> Service:
    """All of it under a settled load."""
    made = Service(lab, quick, center.namespace)
    await_load(lab, quick)
    return made


@pytest.fixture
def seed() -> int:
    """Of a randomised test; LEASE_SEED repeats one."""
    number = int(os.environ.get("LEASE_SEED") or secrets.randbits(32))
    print(f"LEASE_SEED={number}")
    return number
