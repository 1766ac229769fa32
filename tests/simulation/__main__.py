"""Replay one schedule, or run many: python -m tests.simulation SEED [--short] [--count N]"""

import argparse
import json
import time
import traceback
from collections import Counter

from tests.simulation.faults import LONG, SHORT, Length
from tests.simulation.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int)
    parser.add_argument("--short", action="store_true", help="a minute of faults instead of four")
    parser.add_argument("--count", type=int, default=1, help="run so many seeds from SEED on")
    arguments = parser.parse_args()
    length = SHORT if arguments.short else LONG
    started = time.perf_counter()
    tally: Counter[str] = Counter()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        run_seed(seed, length, tally, is_alone=arguments.count == 1)
    took_s = time.perf_counter() - started
    if arguments.count > 1:
        print(json.dumps(tally, sort_keys=True))
    print(
        f"{arguments.count} {length.name} schedules, {tally['steps']} steps, "
        f"{tally['failed']} failed, {took_s:.1f} s, {tally['steps'] / took_s:.0f} steps/s"
    )
    return bool(tally["failed"])


def run_seed(seed: int, length: Length, tally: Counter[str], *, is_alone: bool) -> None:
    """Run one seed; tell its faults and last steps if it fails, or if it runs alone."""
    world, fault = World(seed, length=length), ""
    try:
        world.run()
    except Exception as error:  # whatever it is, the seed is told
        fault = "".join(traceback.format_exception(error)[-8:])
    tally.update(world.tally)
    tally["schedules"] += 1
    tally["steps"] += world.loop.steps
    tally["failed"] += bool(fault)
    if fault or is_alone:
        print(world.expanded())
    if fault:
        option = "" if length is LONG else f" --{length.name}"
        print(f"\nlast steps:\n  {chr(10).join(world.told)}\n\n{fault}")
        print(f"replay: python -m tests.simulation {seed}{option}")


if __name__ == "__main__":
    raise SystemExit(main())
