"""The compiled program in this kernel, once per test session."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from edge_agent.datapath.bcc_binding import bcc
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.pins import object_file
from edge_agent.datapath.xdp import XdpDatapath
from tests.kernel.lab import Lab

BPFFS = Path("/sys/fs/bpf")
SUBSCRIBERS = 4096

_numbers = count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here runs in the kernel."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.bpf)


@pytest.fixture(scope="session")
def kernel() -> None:
    """Skip, by name of what is missing, where the program cannot be loaded."""
    if os.geteuid() != 0:
        pytest.skip("loading BPF programs needs root")
    try:
        bcc()
        object_file()
    except FastPathError as error:
        pytest.skip(str(error))
    if " bpf " not in Path("/proc/mounts").read_text():
        mounted = subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=False)
        if mounted.returncode:
            pytest.skip(f"no BPF file system on {BPFFS}")


@pytest.fixture
def directory(kernel: None) -> Iterator[Path]:
    """A pin directory of its own for one test."""
    path = BPFFS / f"lease-test-{os.getpid()}-{next(_numbers)}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def datapath(kernel: None) -> Iterator[XdpDatapath]:
    """Tables that all packet tests share."""
    path = BPFFS / f"lease-test-{os.getpid()}"
    with XdpDatapath.open(path, SUBSCRIBERS, has_circuits=True) as opened:
        yield opened
    shutil.rmtree(path)


@pytest.fixture
def lab(datapath: XdpDatapath) -> Lab:
    """One subscriber, one pool, one port, an open site."""
    return Lab(datapath)
