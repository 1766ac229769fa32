"""For all tests: tiers that must not skip, what a tier needs of this machine, randomised runs.

`LEASE_REQUIRE=kernel,netns`: a skipped test of these tiers fails (a tier is a folder here).
`LEASE_FULL=1`: more examples.
"""

import os
import subprocess
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

Report = pytest.TestReport | pytest.CollectReport
Outcome = Generator[None, Report, Report]

HERE = Path(__file__).parent
REQUIRED = frozenset(os.environ.get("LEASE_REQUIRE", "").split(","))
NOTHING_HELPS = ("the host has not been up", "this kernel has no")
"""A skip for such a reason stands even where the tier is required: nothing can be installed."""

NEEDS = {
    "kernel": ("bpf",),
    "netns": ("namespaces",),
    "faults": ("namespaces", "bpf"),
    "test_another_link_layer_is_told": ("tun",),
}
"""What a tier or a single test needs of the machine."""

WAITING = ("netns", "faults", "contract")
"""Tiers that wait for clocks and clients most of the time: they run beside the others, which keep
the processors busy, in an order of their own each."""

CAP_SYS_ADMIN, CAP_BPF = 21, 39
WHOLE_RANGE = ["0", "0", "4294967295"]

settings.register_profile("quick", print_blob=True, deadline=None)
settings.register_profile("full", print_blob=True, deadline=None, max_examples=2000)
settings.load_profile("full" if os.environ.get("LEASE_FULL") else "quick")


def tier_of(path: Path) -> str:
    return path.relative_to(HERE).parts[0]


def _may_load_bpf() -> bool:
    """Root of a user namespace may not; root of a container needs the capability."""
    status = Path("/proc/self/status").read_text().splitlines()
    held = int(next(line for line in status if line.startswith("CapEff")).split()[1], 16)
    is_initial = Path("/proc/self/uid_map").read_text().split() == WHOLE_RANGE
    return is_initial and bool(held >> CAP_SYS_ADMIN & 1 or held >> CAP_BPF & 1)


def _may_make_namespaces() -> bool:
    probe = ["unshare", "--net", "ip", "link", "set", "lo", "up"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@lru_cache
def lacking(need: str) -> str | None:
    """Why this machine cannot give what a test needs, None if it can."""
    if need == "bpf" and not _may_load_bpf():
        return "loading BPF programs needs root of the machine, or CAP_BPF"
    if need == "namespaces" and not _may_make_namespaces():
        return "network namespaces need root or user namespaces, and `ip`"
    if need == "tun" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not for this user"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two halves, for two processes; `--dist loadgroup` does not know the node ids of pytest 9."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  (only where it is there)

    class Halves(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "waiting" if tier_of(HERE.parent / nodeid) in WAITING else "working"

    return Halves(config, log)


def pytest_report_header() -> list[str]:
    words = {need: lacking(need) or "to be had" for need in ("bpf", "namespaces")}
    return [f"{need}: {words[need]}" for need in words]


def needs_of(item: pytest.Item) -> Iterator[str]:
    """By tier, by the datapath that a test is run on, or for itself."""
    yield from NEEDS.get(tier_of(item.path), ())
    if isinstance(item, pytest.Function):
        yield from NEEDS.get(item.originalname, ())
        if "xdp" in (item.callspec.params.values() if hasattr(item, "callspec") else ()):
            yield "bpf"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if reason := next(filter(None, map(lacking, needs_of(item))), None):
        pytest.skip(reason)


def _refuse_skip(report: Report, path: Path) -> None:
    tier = tier_of(path)
    if not report.skipped or tier not in REQUIRED or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(words in reason for words in NOTHING_HELPS):
        report.outcome = "failed"
        report.longrepr = f"tier {tier} is required, but this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Outcome:
    report = yield
    _refuse_skip(report, item.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Outcome:
    report = yield
    if isinstance(collector, pytest.Module):
        _refuse_skip(report, collector.path)
    return report
