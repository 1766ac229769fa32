"""Break the product in one place at a time: python -m tests.mutation [NAME...]

Works on copies of the tree; a mutant that no test notices survives, and a test is missing.
"""

import argparse
import time

from tests.mutation.run import MUTANTS, named, run_all, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of mutants; none means all")
    parser.add_argument("--table", action="store_true", help="print the table of docs/testing.md")
    arguments = parser.parse_args()
    if arguments.table:
        print(table(MUTANTS))
        return 0
    started = time.perf_counter()
    chosen = named(arguments.names) if arguments.names else MUTANTS
    survivors = []
    for mutant, outcome in run_all(chosen):
        said = f"{mutant.name:<36} {mutant.attacks:<4} {outcome.result:<8} {outcome.by}"
        print(said.rstrip(), flush=True)
        if not outcome.is_killed:
            survivors.append(mutant)
    killed = len(chosen) - len(survivors)
    took_s = time.perf_counter() - started
    print(f"{killed} of {len(chosen)} killed, {100 * killed / len(chosen):.1f} %, {took_s:.0f} s")
    return bool(survivors)


if __name__ == "__main__":
    raise SystemExit(main())
