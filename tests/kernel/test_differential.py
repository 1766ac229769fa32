"""The program and its Python twin judge the same packets: same counter, octets and promise.

`LEASE_SEED=n` repeats a run; the seed is printed with a failure. `LEASE_FULL=1` judges a million
packets.
"""

import os
import random
import time
from collections import Counter

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.fastpath import judge
from tests.kernel.grammar import some_frame
from tests.kernel.lab import IFINDEX, SECOND, Lab, now_boot_ns
from tests.kernel.world import SLOTS, fill, set_port, some_state

PACKETS = 1_000_000 if os.environ.get("LEASE_FULL") == "1" else 30_000


def promises_in(lab: Lab) -> list[int]:
    """The words of the kernel's promises, by which an ACK tells when it was given."""
    return lab.datapath._promises._words[: 2 * SLOTS].tolist()


def grant_in(reply: bytes) -> int:
    """Option 51, which stands at the same place of every reply behind its tags."""
    at = reply.index(b"\x63\x82\x53\x63", 200) + 4 + 11
    return int.from_bytes(reply[at : at + 4], "big")


@pytest.mark.timeout(3600)
def test_twins(lab: Lab) -> None:
    """Both sides come to the same verdict, octets and promise for every generated packet."""
    seed = int(os.environ.get("LEASE_SEED", random.SystemRandom().getrandbits(32)))
    print(f"LEASE_SEED={seed}")
    pick = random.Random(seed)
    twin = MemoryDatapath(lab.datapath.max_subscribers)
    fill(lab.datapath)
    fill(twin)
    for slot in range(SLOTS):
        twin.raise_promise(slot, lab.datapath.promise(slot))
    seen: Counter[str | None] = Counter()
    at_relay_port, started = False, time.monotonic()
    for number in range(PACKETS):
        if number % 50 == 0:
            state = some_state(pick, now_boot_ns())
            at_relay_port = set_port(pick, lab.datapath, twin)
            lab.datapath.set_state(state)
            twin.set_state(state)
        frame = some_frame(pick, at_relay_port=at_relay_port)
        place = f"packet {number} of LEASE_SEED={seed}: {frame.hex()}"

        promises = promises_in(lab)
        before = now_boot_ns()
        judged = lab.judge(frame)
        after = now_boot_ns()
        raised = sorted(set(promises_in(lab)) - set(promises)) if judged.counter == "ack" else []
        now = raised[0] - grant_in(judged.frame) * SECOND if raised else before

        verdict = judge(frame, IFINDEX, twin, now)

        assert before <= now <= after, place
        assert judged.counter == verdict.counter, place
        assert judged.frame == (verdict.frame or frame), place
        assert judged.is_answered == (verdict.frame is not None), place
        if judged.counter == "ack":
            promised = [lab.datapath.promise(slot) for slot in range(SLOTS)]
            assert promised == [twin.promise(slot) for slot in range(SLOTS)], place
        else:
            assert promises_in(lab) == promises, place
        seen[judged.counter] += 1
    print(f"{PACKETS} packets, {PACKETS / (time.monotonic() - started):.0f}/s: {dict(seen)}")
    assert seen["offer"] > PACKETS // 30 < seen["ack"]
    assert len(seen) > 25
