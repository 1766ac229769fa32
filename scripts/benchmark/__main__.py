"""Measure against a peer or a ceiling in the same run.

scripts/bench fastpath [--wire] | log | allocator | edge | coldstart | start | service | sockets |
fleet | storm | growth | all
"""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module

from scripts.benchmark import report
from scripts.benchmark.measure import Table, say
from scripts.lab import LabError

COMMANDS = {
    "fastpath": "what the kernel program costs a packet",
    "wire": "round trips over a veth pair (also: fastpath --wire)",
    "log": "appending and reading, against the bare script and bare XREAD",
    "allocator": "deciding and appending, against the bare script",
    "edge": "following the log into the kernel's map, against bare XREAD",
    "coldstart": "an edge and an allocator that start from a snapshot, up to a million leases",
    "start": "an allocator that starts with a million leases, and its memory",
    "service": "new subscribers through everything, against Kea",
    "sockets": "receiving a request and sending a reply, one by one and many a call",
    "fleet": "many sites: idle ones, and leases spread over them",
    "growth": "what an operation costs as leases and pools become more",
    "storm": "all known subscribers at once after a power cut, and new ones among them",
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=[*COMMANDS, "all"], help=str(COMMANDS))
    parser.add_argument("--wire", action="store_true", help="fastpath: over a veth pair instead")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each figure (default 3)")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    parser.add_argument("--save", action="store_true", help="also into docs/benchmarks.md")
    return parser.parse_args()


def _measure(command: str) -> Callable[[int], list[Table]]:
    """Imported when wanted: most need less than all of the machine's tools."""
    measure: Callable[[int], list[Table]] = import_module(f"scripts.benchmark.{command}").measure
    return measure


def main() -> None:
    chosen = _arguments()
    command = "wire" if chosen.wire else chosen.command
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for BPF and network namespaces")
    found: list[Table] = []
    try:
        for name in COMMANDS if command == "all" else [command]:
            say(f"{name}: {COMMANDS[name]}")
            tables = _measure(name)(chosen.rounds)
            if chosen.save:
                report.save(name, tables)
            found += tables
    except LabError as error:
        sys.exit(f"bench: {error}")
    if chosen.json:
        print(report.as_json(found))
        return
    print(report.header())
    for table in found:
        print(f"\n{report.text(table)}")


if __name__ == "__main__":
    main()
