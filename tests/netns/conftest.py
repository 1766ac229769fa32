"""A lab for real clients: skipped, with the reason, where its tools or rights are missing."""

import os
import shutil
from collections.abc import Iterator

import pytest

from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.pins import object_file
from scripts.lab import Lab, Site

TOOLS = ("redis-server", "redis-cli", "udhcpc", "dhclient", "perfdhcp", "nsenter", "ip")


def missing() -> str:
    """What the lab lacks here, in words; empty if nothing."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"not installed: {', '.join(absent)}"
    return ""


def missing_for_xdp() -> str:
    try:
        object_file()
    except FastPathError as error:
        return str(error)
    return "" if os.path.ismount("/sys/fs/bpf") else "no BPF file system at /sys/fs/bpf"


@pytest.fixture(scope="module", params=["xdp", "user"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Redis and an allocator, for each of the two datapaths."""
    reason = missing() or (missing_for_xdp() if request.param == "xdp" else "")
    if reason:
        pytest.skip(reason)
    with Lab(request.param) as made:
        made.start_redis()
        made.start_allocator()
        yield made


@pytest.fixture(scope="module")
def site(lab: Lab) -> Site:
    """A site whose edge is ready."""
    made = lab.add_site("ams01", "100.64.0.0/22")
    lab.start_edge(made)
    return made
