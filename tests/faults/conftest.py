"""The lab of the fault tests: the kernel datapath, one site, a checker at the end of each test."""

import os
import secrets
from collections.abc import Iterator

import pytest

from scripts.lab import Lab, Site
from tests.faults.checker import check
from tests.netns.conftest import missing, missing_for_xdp


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


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """A planned site without allocator and edge; the wire is checked against the log at the end."""
    made = lab.add_site("ams01", "100.64.0.0/22")
    yield made
    assert check(lab, made) > 0, "nothing was promised, so nothing was checked"


@pytest.fixture
def seed() -> int:
    """Of a randomised test; LEASE_SEED repeats one."""
    number = int(os.environ.get("LEASE_SEED") or secrets.randbits(32))
    print(f"LEASE_SEED={number}")
    return number
