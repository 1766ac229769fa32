"""Replay one schedule: python -m tests.simulation SEED"""

import argparse
import time
import traceback

from tests.simulation.world import World


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("seed", type=int)
    parser.add_argument("--until", type=int, default=1, help="run this many seeds from SEED on")
    arguments = parser.parse_args()
    started = time.perf_counter()
    failed = 0
    for seed in range(arguments.seed, arguments.seed + arguments.until):
        failed += not replay_seed(seed, is_alone=arguments.until == 1)
    took_s = time.perf_counter() - started
    print(f"{arguments.until} schedules, {failed} failed, {took_s:.1f} s")
    return bool(failed)


def replay_seed(seed: int, *, is_alone: bool) -> bool:
    """Run one seed; tell its faults and last steps if it fails, or if it runs alone."""
    world, fault = World(seed), ""
    try:
        world.run()
    except Exception as error:  # whatever it is, the seed is told
        fault = "".join(traceback.format_exception(error)[-8:])
    if fault or is_alone:
        print(world.expanded())
    if fault:
        print(f"\nlast steps:\n  {chr(10).join(world.told)}\n\n{fault}")
    return not fault


if __name__ == "__main__":
    raise SystemExit(main())
