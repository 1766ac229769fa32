"""Rounds of the comparison in a process of its own, on tables of its own.

    python -m tests.kernel.differential SEED FIRST STOP STEP     # rounds as of range()

Prints one JSON object: how often each verdict was met. Ends with the packet where the two sides
differ.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

from edge_agent.datapath.xdp import XdpDatapath
from tests.kernel.comparison import Disagreement, Round

BPFFS = Path("/sys/fs/bpf")
SUBSCRIBERS = 4096
PR_SET_PDEATHSIG = 1  # linux/prctl.h: whoever started this has gone


def run(datapath: XdpDatapath, seed: int, rounds: range) -> Counter[str]:
    """Verdicts by name over some rounds.

    Raises:
        Disagreement: names round, packet and frame.
    """
    seen: Counter[str] = Counter()
    shapes: set[tuple[object, ...]] = set()
    for number in rounds:
        one = Round(datapath, seed, number)
        one.shapes = shapes
        one.run()
        seen += one.seen
    seen["shapes of replies"] = len(shapes)
    return seen


def main(words: list[str]) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
    seed, *bounds = map(int, words)
    pins = BPFFS / f"lease-test-{os.getpid()}"
    try:
        with XdpDatapath.open(pins, SUBSCRIBERS, has_circuits=True) as datapath:
            print(json.dumps(run(datapath, seed, range(*bounds))))
    except Disagreement as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(pins, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
