"""The whole service under faults, schedule after schedule.

`python -m tests.simulation SEED` replays one. `LEASE_SEED` is the first seed, `LEASE_FULL=1` runs
many more of them.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.world import World

ROOT = Path(__file__).parents[2]
IS_FULL = bool(os.environ.get("LEASE_FULL"))
FIRST_SEED = int(os.environ.get("LEASE_SEED", "1"))
AT_ONCE = 10
CHUNKS = 200 if IS_FULL else 8
MUTANT_TRIES = 40

FAULTS_FOR = {
    "full_lease": ("edge-link", "allocator-link", "redis-down"),
    "horizon_after_commit": ("allocator-lossy",),
    "any_ack_will_do": ("replay", "revoke"),
    "no_former_life": ("reboot",),
    "speaks_before_horizon": ("reboot", "revoke"),
    "stretched_horizon": ("slew", "kill-agent", "redis-down"),
    "promise_in_memory": ("kill-agent", "revoke"),
    "cursor_before_tables": ("fuse",),
    "takeover_without_extension": ("kill-allocator",),
    "fenced_goes_on": ("stop-allocator",),
}
"""What brings a bug to light soonest; the others need no help."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_invariants_hold_in_every_schedule(chunk: int) -> None:
    """I1 to I13 hold after every step, whatever fails; and when nothing fails, all are served."""
    first = FIRST_SEED + chunk * AT_ONCE
    print(f"seeds {first}..{first + AT_ONCE - 1}")
    for seed in range(first, first + AT_ONCE):
        world = World(seed)
        try:
            world.run()
        except Exception as error:
            last = "\n".join([*world.told][-20:])
            pytest.fail(
                f"{type(error).__name__}: {error}\nreplay: python -m tests.simulation {seed}\n"
                f"{world.expanded()}\nlast steps:\n{last}"
            )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_deliberate_bug_is_found(name: str) -> None:
    """The checkers can fail: each broken rule is found within the schedules of CI."""
    for seed in range(FIRST_SEED, FIRST_SEED + MUTANT_TRIES):
        try:
            World(seed, FAULTS_FOR.get(name, ())).run(mutated(name))
        except (TypeError, AttributeError):
            raise  # the bug does not fit the product any more
        except Exception:
            return
    pytest.fail(f"{MUTANT_TRIES} schedules did not find it: {MUTANTS[name].__doc__}")


def test_a_seed_means_one_schedule() -> None:
    """The same seed gives the same steps in every process, whatever the order of its hashes."""
    told = {_replayed(hash_seed) for hash_seed in ("0", "1", "4711")}
    assert len(told) == 1, told


def _replayed(hash_seed: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "tests.simulation", str(FIRST_SEED)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    traces = [line for line in run.stdout.splitlines() if "trace" in line]
    assert traces, run.stderr
    return traces[0]
