"""Redis comes back without the end of the log: nobody may go on as if nothing had been."""

import os
import random
import subprocess
from collections.abc import Sequence

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import check, events_of
from tests.faults.history import Event
from tests.faults.network import Replica, add_host, cut, mend
from tests.faults.service import Service
from tests.faults.test_partitions import UNANSWERED, renewals

pytestmark = pytest.mark.net

ROUNDS = 10 if os.environ.get("LEASE_FULL") else 1
LOST = 8
"""Events, at least, that only the lost end of the log had."""
NOTICED = {"regressed", "foreign", "stale"}


@pytest.fixture
def service(lab: Lab, quick: Site) -> Service:
    center = add_host(lab, "center", 50)
    made = Service(lab, quick, center.namespace)
    wait_until(lambda: renewals(lab, quick) > UNANSWERED, "a settled load")
    return made


def assert_safe(service: Service, whole: Sequence[Event]) -> None:
    """The edge finds out and serves whom it knows; no promise is broken, I1 above all."""
    lab, site = service.lab, service.site
    wait_until(
        lambda: any(line.get("state") in NOTICED for line in lab.log_of(f"edge-{site.name}")),
        "the edge to find out",
        30,
    )
    renewed = renewals(lab, site)
    wait_until(lambda: renewals(lab, site) > renewed + UNANSWERED, "known clients to be renewed")
    assert check(lab, site, lost=[whole]) > 0


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_replica_takes_over_without_the_tail(lab: Lab, service: Service, turn: int) -> None:
    """I1, I5: a copy that lacks the last events is promoted; the old master never comes back."""
    replica = Replica(lab, add_host(lab, "replica", 60))
    cut(lab, replica.host.leg)
    copied = len(events_of(lab, service.site))
    wait_until(lambda: len(events_of(lab, service.site)) > copied + LOST, "events beyond the copy")
    whole = service.quiet()
    lab.redis.kill()
    lab.redis.wait()
    mend(lab, replica.host.leg)
    replica.promote()
    assert len(events_of(lab, service.site)) < len(whole), "nothing was lost"
    service.go_on()
    assert_safe(service, whole)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_the_append_only_file_is_cut(lab: Lab, service: Service, turn: int, seed: int) -> None:
    """I1, I5: less came back from the disk than was synchronised, and somebody repaired it."""
    dice = random.Random(seed + turn)
    whole = service.quiet()
    lab.redis.kill()
    lab.redis.wait()
    [tail] = (lab.directory / "redis" / "appendonlydir").glob("*.incr.aof")
    size = tail.stat().st_size
    os.truncate(tail, size - dice.randint(size // 8, size // 2))
    subprocess.run(["redis-check-aof", "--fix", tail], input=b"y\n", check=True)
    lab.start_redis()
    assert len(events_of(lab, service.site)) < len(whole), "nothing was lost"
    service.go_on()
    assert_safe(service, whole)
