"""Links that lose everything in silence, and a Redis whose copy takes over without its tail.

After each: I1, I2, I4, I5, I7, I8, I11 from wire and log, tables equal to the log, and a newcomer
is served (I13).
"""

import os
import random
import signal
import time

import pytest

from scripts.lab import Lab, wait_until
from tests.faults.checker import events_of
from tests.faults.network import Host, cut, leg_of, mend
from tests.faults.reuse import changed_hands
from tests.faults.service import UNANSWERED, Service, discovers, renewals

pytestmark = pytest.mark.net

PARTITIONS = 40 if os.environ.get("LEASE_FULL") else 4


def await_unserved(service: Service) -> None:
    """Until the fault bites."""
    enough = discovers(service.lab, service.site) + UNANSWERED
    wait_until(lambda: discovers(service.lab, service.site) > enough, "newcomers in vain")


@pytest.mark.timeout(120 + 60 * PARTITIONS)
def test_no_partition_breaks_a_promise(lab: Lab, service: Service, center: Host, seed: int) -> None:
    """I1, I2, I5, I7, I13: edge, allocator or both are cut from Redis, each for another while."""
    dice = random.Random(seed)
    legs = {"edge": [leg_of(lab, service.site)], "allocator": [center.leg]}
    legs["both"] = legs["edge"] + legs["allocator"]
    kinds = ["edge", "allocator", "both"]
    for number in range(PARTITIONS):
        kind = kinds[number] if number < len(kinds) else dice.choice(kinds)
        renewed = renewals(lab, service.site)
        for leg in legs[kind]:
            cut(lab, leg)
        await_unserved(service)
        time.sleep(dice.choice((0, 0, 4, 8)))  # how long the fault lasts, not a hope for its end
        assert renewals(lab, service.site) > renewed, "known clients are served all the time"
        for leg in legs[kind]:
            mend(lab, leg)
        print(f"{time.monotonic():.1f} partition {number}: {kind}")
        service.assert_well()
    wait_until(
        lambda: changed_hands(events_of(lab, service.site)) > PARTITIONS,
        "addresses to change hands",
        60,
    )


def test_stopped_for_a_while(service: Service) -> None:
    """I1, I5: a process that hangs with its connections open, and goes on, has done no harm."""
    for process in (service.allocator, service.edge):
        process.send_signal(signal.SIGSTOP)
        await_unserved(service)
        process.send_signal(signal.SIGCONT)
        service.assert_well()
