"""Whether the tests would notice: places of the product broken on purpose, one at a time."""

import os
import random
import secrets
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import lacking
from tests.mutation.mutant import Mutant
from tests.mutation.run import MUTANTS, ROOT, run_all, table

IS_FULL = bool(os.environ.get("LEASE_FULL"))
LEAST = 180
SHARE = 16
"""So many are judged where not all are: another choice each time, so that all have their turn."""
NONE_MAY_SURVIVE = frozenset({"I1", "I2", "I5"})
MAY_SURVIVE = 0.05


@pytest.mark.timeout(7200)
def test_mutants_are_killed() -> None:
    """Some test fails for every mutant that attacks I1, I2 or I5, and for 95 % of all."""
    chosen = _chosen([m for m in MUTANTS if not (m.is_kernel and lacking("bpf"))])
    left = [(mutant, outcome) for mutant, outcome in run_all(chosen) if not outcome.is_killed]

    assert [mutant.name for mutant, _ in left if mutant.attacks in NONE_MAY_SURVIVE] == []
    assert len(left) <= MAY_SURVIVE * len(chosen), left


def _chosen(runnable: Sequence[Mutant]) -> Sequence[Mutant]:
    if IS_FULL:
        return runnable
    seed = int(os.environ.get("LEASE_SEED") or secrets.randbits(32))
    print(f"LEASE_SEED={seed}")
    return random.Random(seed).sample(runnable, SHARE)


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
