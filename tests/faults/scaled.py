"""Run one of our programs with safety times of seconds, so that addresses change hands in a test.

    python -m tests.faults.scaled OBJECT PROGRAM ARGUMENTS...

`leasectl` plans what is below its usual floors. `edgectl` grants down to `MIN_GRANT_S`, and so does
OBJECT, the usual kernel program but for this number.
"""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

LEASE_S, HORIZON_S, GUARD_S = 8, 60, 3
"""L, H and Q: an address rests for L + Q after a client left."""
MIN_GRANT_S = 3
PATCH = {
    "maps.h": ("#define DHCP_MIN_GRANT_S 120", f"#define DHCP_MIN_GRANT_S {MIN_GRANT_S}"),
}
"""What OBJECT is built with."""


def run(kernel_object: str, program: str, arguments: Sequence[str]) -> None:
    """Take the floors away, and become the program."""
    if program == "edgectl":
        package = "edge_agent"
        _load("edge_agent.datapath.pins").object_file = lambda: Path(kernel_object)
        _load("edge_agent.dhcp.fastpath").MIN_GRANT_S = MIN_GRANT_S
    else:
        package = "lease_core"
        _scale_plan()
    sys.argv = [program, *arguments]
    _load(f"{package}.cli.main").main()


def _load(module: str) -> Any:
    """Only what the program itself would load: it starts often."""
    return importlib.import_module(module)


def _scale_plan() -> None:
    plan = _load("lease_core.domain.plan")
    plan.LEASE_TIME_S = range(1, plan.LEASE_TIME_S.stop)
    for option in _load("lease_core.cli.plan").site_add.params:
        if isinstance(option.type, click.IntRange):
            option.type = click.IntRange(1)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3:])
