"""Whether the tests would notice: places of the product broken on purpose, one at a time."""

import os
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.mutation.mutant import Mutant
from tests.mutation.run import MUTANTS, OPEN, ROOT, named, run_all, table

IS_FULL = bool(os.environ.get("LEASE_FULL"))
LEAST = 80
QUICK = (
    "offer-out-of-quarantine", "last-holder-on-any-line", "declined-comes-back",
    "negative-remainder", "horizon-not-raised", "takeover-forgets-former-life",
    "ledger-over-a-gap", "ledger-old-epoch", "kernel-beyond-horizon",
    "kernel-promise-not-raised", "kernel-ack-before-promise", "kernel-any-vlan",
)  # fmt: skip


@pytest.mark.timeout(1800)
def test_every_mutant_is_killed() -> None:
    """Some test fails for each that is not known to survive; CI takes a few, a full run all."""
    chosen = MUTANTS if IS_FULL else named(QUICK)
    runnable = [m for m in chosen if not (m.is_kernel and lacking("bpf"))]
    left = [
        (m.name, result)
        for m, result in run_all(runnable)
        if result != "killed" and m.name not in OPEN
    ]
    assert left == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_has_its_place(mutant: Mutant, tmp_path: Path) -> None:
    """Its words stand in the product exactly once, so that it breaks what it says."""
    copy = tmp_path / mutant.path
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / mutant.path).read_text())
    mutant.apply(tmp_path)


def test_the_list_is_long_and_written_down() -> None:
    """docs/testing.md has the table of `python -m tests.mutation --table`."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= LEAST
    assert table(MUTANTS) in (ROOT / "docs" / "testing.md").read_text()
