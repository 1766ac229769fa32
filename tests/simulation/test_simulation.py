"""The whole service under faults, schedule after schedule.

`python -m tests.simulation SEED` replays one, with `--short` one of the short ones. `LEASE_SEED`
is the first seed, `LEASE_FULL=1` runs many more of them. Every core takes a part.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from tests.simulation.faults import OTHER_KINDS, SHORT, SITE_KINDS, Fault
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.world import World, genesis_of

ROOT = Path(__file__).parents[2]
IS_FULL = bool(os.environ.get("LEASE_FULL"))
FIRST_SEED = int(os.environ.get("LEASE_SEED", "1"))
CORES = os.cpu_count() or 1
PARTS = 2 * CORES
SHORT_ROUNDS, SHORTS = (17, 1500) if IS_FULL else (1, 1500)
LONG_ROUNDS, LONGS = (20, 50) if IS_FULL else (1, 50)
LEAST_STEPS = 1000
MUTANT_TRIES = 40

FAULTS_FOR = {
    "full_lease": ("edge-link", "allocator-link", "redis-down"),
    "horizon_after_commit": ("allocator-lossy",),
    "any_ack_will_do": ("replay", "revoke"),
    "no_former_life": ("reboot",),
    "speaks_before_horizon": ("reboot", "revoke", "mute"),
    "stretched_horizon": ("slew", "kill-agent", "redis-down"),
    "step_forgotten": ("boot-step", "kill-agent", "revoke"),
    "promise_in_memory": ("kill-agent", "revoke"),
    "cursor_before_tables": ("fuse",),
    "takeover_without_extension": ("kill-allocator",),
    "dropped_port_forgotten": ("drop-port", "revoke"),
    "fenced_goes_on": ("stop-allocator",),
    "refuses_what_it_cannot_know": ("edge-link", "revoke"),
    "keeps_its_promises_to_itself": ("old-copy", "promote"),
    "beyond_the_mark": ("lag",),
    "mark_is_a_number": ("promote", "stop-allocator", "redis-crash"),
    "mark_without_waiting": ("lag", "promote"),
    "any_replica_will_do": ("lag", "promote"),
    "leads_on_after_promotion": ("promote",),
}
"""What brings a bug to light soonest; the others need no help."""

REACHED = {
    *(f"fault {kind}" for kind in (*SITE_KINDS, *OTHER_KINDS)),
    *(
        f"edge {state}"
        for state in ("live", "unreachable", "gap", "regressed", "foreign", "halted")
    ),
    *("appended by a deposed master", "append that too few replicas hold"),
    *("told events lost by a promotion", "untold events lost by a promotion"),
    "stranger offered an address of the stock",
    "stranger handed over to the agent",
    "decided more while an append was under way",
    *("SnapshotVerified", "events cut", "AddressDeclined", "LeaseRevoked", "LeaseExpired"),
}
"""What some schedule has to come to, or the rest of them shows less than it says."""


def run_schedules(first: int, count: int, *options: str) -> Counter[str]:
    """Run seeds on all cores; any that fails is told with its faults and the command to replay."""
    edges = [first + count * part // PARTS for part in range(PARTS + 1)]
    print(f"seeds {first}..{first + count - 1} {' '.join(options)}")
    with ThreadPoolExecutor(CORES) as pool:
        runs = list(pool.map(lambda part: _run(*part, options), pairwise(edges)))
    faults = [run.stdout + run.stderr for run in runs if run.returncode]
    if faults:
        pytest.fail(f"{len(faults)} of {len(runs)} parts failed; the first:\n{faults[0][-12000:]}")
    tally: Counter[str] = Counter()
    for run in runs:
        tally.update(json.loads(run.stdout.splitlines()[-2]))
    return tally


def _run(first: int, end: int, options: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    python, count = ["nice", sys.executable], str(end - first)  # tests that wait run beside
    words = [*python, "-m", "tests.simulation", str(first), "--count", count, *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", range(SHORT_ROUNDS))
def test_invariants_hold_in_every_short_schedule(number: int) -> None:
    """I1 to I13 hold after every step of a minute of faults, and the edges agree behind it."""
    tally = run_schedules(FIRST_SEED + number * SHORTS, SHORTS, "--short")
    assert tally["schedules"] == SHORTS
    assert tally["steps"] >= SHORTS * LEAST_STEPS
    assert sorted(name for name in REACHED if not tally[name]) == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", range(LONG_ROUNDS))
def test_invariants_hold_in_every_long_schedule(number: int) -> None:
    """I1 to I13 hold over many leases and horizons; in the end every address comes back."""
    tally = run_schedules(FIRST_SEED + number * LONGS, LONGS)
    assert tally["schedules"] == LONGS


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


def test_a_log_that_was_replaced_is_led_again_once_it_is_taken_up() -> None:
    """A copy from before the log was created anew is recovered as any other: I1 to I13 hold."""
    world = World(FIRST_SEED, length=SHORT)
    world.faults = [
        Fault(10.0, "old-copy", "ams", {"for_s": 24.0}),
        Fault(12.0, "flush", "ams", {"for_s": 2.0}),
    ]
    world.run()
    assert genesis_of("ams") in world.replaced["ams"]
    assert world.genesis["ams"] == genesis_of("ams")


def test_a_seed_means_one_schedule() -> None:
    """The same seed gives the same steps in every process, whatever the order of its hashes."""
    told = {_replayed(hash_seed) for hash_seed in ("0", "1", "4711")}
    assert len(told) == 1, told


def _replayed(hash_seed: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "tests.simulation", str(FIRST_SEED), "--short"],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    traces = [line for line in run.stdout.splitlines() if "trace" in line]
    assert traces, run.stderr
    return traces[0]
