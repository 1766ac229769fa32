"""The program and its Python twin judge the same packets: same counter, octets and promise.

`LEASE_SEED=n` repeats a run; the seed is printed, and a failure names the round, which
`python -m tests.kernel.differential SEED ROUND NEXT 1` repeats alone. `LEASE_FULL=1` judges ten
million packets.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from edge_agent.datapath import pins
from tests.kernel.comparison import ROUND
from tests.kernel.mutators import MAX_LEN

PACKETS = 10_000_000 if os.environ.get("LEASE_FULL") == "1" else 1_000_000
AT_LEAST = PACKETS // 5000
"""Packets that meet with each verdict."""
ANSWERED = PACKETS // 10
ROOT = Path(__file__).parents[2]


def on_all_processors(seed: int) -> Counter[str]:
    """Verdicts by name; every processor takes the rounds of its own."""
    workers = len(os.sched_getaffinity(0))
    python = ("nice", sys.executable)  # tests that wait for time run beside
    command = (*python, "-m", "tests.kernel.differential", seed)
    bounds = [(first, PACKETS // ROUND, workers) for first in range(workers)]
    processes = [
        subprocess.Popen(
            [str(word) for word in (*command, *each)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )
        for each in bounds
    ]  # fmt: skip
    seen: Counter[str] = Counter()
    try:
        for process in processes:
            output, said = process.communicate()
            assert process.returncode == 0, said
            seen.update(json.loads(output))
    finally:
        for process in processes:
            process.send_signal(signal.SIGINT)  # nothing to one that has ended
    return seen


@pytest.mark.timeout(3600)
def test_twins(kernel: None) -> None:
    """Both sides, an oracle and scapy agree on every generated packet, and all verdicts occur."""
    seed = int(os.environ.get("LEASE_SEED", random.SystemRandom().getrandbits(32)))
    print(f"LEASE_SEED={seed}")
    started = time.monotonic()
    seen = on_all_processors(seed)
    rate = PACKETS / (time.monotonic() - started)
    print(f"{PACKETS} packets of 0 to {MAX_LEN} octets, {rate:.0f}/s: {dict(seen.most_common())}")
    verdicts = [name for name in pins.counter_names() if not name.startswith("drop")]
    assert {name: seen[name] for name in verdicts if seen[name] < AT_LEAST} == {}
    assert sum(seen[name] for name in ("offer", "ack", "inform_ack", "nak")) > ANSWERED
    assert seen["due"] > ANSWERED // 2
    assert seen["offers to strangers"] > PACKETS // 400
    assert min(seen["offers again"], seen["taken from the stock"]) > AT_LEAST
    assert seen["runt"] > 0 < seen["read by scapy"]
