"""The benchmarks run: with tiny sizes, whose figures say nothing."""

import shutil
from importlib import import_module
from typing import Any

import pytest

from lease_core import audit
from scripts.benchmark.chart import svg
from scripts.benchmark.report import text

TINY: dict[str, dict[str, Any]] = {
    "log": {"PER_CALL": (1, 4), "CALLS": 2, "READ_EVENTS": 20},
    "allocator": {"SUBSCRIBERS": 512},
    "edge": {"EVENTS": 50, "SUBSCRIBERS": 100, "BATCH": 64},
    "fastpath": {"REPEAT": 10},
    "coldstart": {"SIZES": (10, 30)},
    "growth": {"LEASES": (10, 20), "NEW": 20, "POOLS": (1, 2), "PER_POOL": 20, "REPEATS": 1},
    "start": {"LEASES": 40, "TAIL": 10},
    "sockets": {"REQUESTS": 64},
}
"""Sizes, by the names that they have in the modules."""


@pytest.mark.redis
@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("name", TINY)
def test_a_benchmark_measures_what_it_names(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table has a figure in every row and can be shown, so what is called is still there."""
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    module = import_module(f"scripts.benchmark.{name}")
    monkeypatch.setattr(audit, "configure", lambda _: None)  # it would last longer than its file
    for constant, size in TINY[name].items():
        assert hasattr(module, constant)
        monkeypatch.setattr(module, constant, size)

    tables = module.measure(1)

    assert svg(tables)
    for table in tables:
        assert table.rows
        assert table.title in text(table)
        assert all(row.figure and row.figure.median > 0 for row in table.rows), table.title
