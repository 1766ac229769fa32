"""Redis comes back without the end of the log, or without all of it, or with what nobody follows.

Nobody may go on as if nothing had been: known clients are served meanwhile, the site recovers from
its edge, and then a newcomer is served. After each: I1, I2, I4, I5, I7, I8, I11 from wire and logs.
"""

import json
import os
import random
import signal
import subprocess
from collections.abc import Sequence
from itertools import pairwise

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import check, events_of
from tests.faults.history import Event
from tests.faults.network import Replica, add_host, cut, mend
from tests.faults.service import UNANSWERED, Service, renewals

pytestmark = [pytest.mark.net, pytest.mark.timeout(300)]

ROUNDS = 10 if os.environ.get("LEASE_FULL") else 1
LOST = 8
"""Events, at least, that only the lost end of the log had."""
NOTICED = {"regressed", "foreign", "stale"}


def notices(service: Service) -> int:
    lines = service.lab.log_of(f"edge-{service.site.name}")
    return sum(line.get("state") in NOTICED for line in lines)


def assert_recovers(service: Service, lost: Sequence[Sequence[Event]], noticed: int = 0) -> None:
    """Known clients are served all the time; when the edge agrees, newcomers are, too, and the
    history that was kept goes on."""
    lab, site = service.lab, service.site
    renewed = renewals(lab, site)
    wait_until(lambda: notices(service) > noticed, "the edge to find out", 30)
    wait_until(lambda: renewals(lab, site) > renewed + UNANSWERED, "known clients to be renewed")
    assert check(lab, site, lost) > 0
    wait_until(lambda: has_recovered(lab, site), "the end of the recovery", 60)
    service.assert_well(lost)
    lab.leasectl("archive")


def archived(service: Service) -> list[Event]:
    """The whole log, at rest; most of it is in a history outside of it."""
    service.lab.leasectl("archive")
    return [*service.quiet()]


def has_recovered(lab: Lab, site: Site) -> bool:
    told = [e["type"] for e in events_of(lab, site) if str(e["type"]).startswith("Recovery")]
    return bool(told) and told[-1] == "RecoveryEnded"


def fail_over(lab: Lab, service: Service) -> tuple[Replica, list[Event]]:
    """Promote a replica without the last events; the master's log as it was."""
    replica = Replica(lab, add_host(lab, "replica", 60))
    cut(lab, replica.host.leg)
    copied = len(events_of(lab, service.site))
    wait_until(lambda: len(events_of(lab, service.site)) > copied + LOST, "events beyond the copy")
    whole = archived(service)
    lab.redis.kill()
    lab.redis.wait()
    replica.promote()
    mend(lab, replica.host.leg)  # only now: the dead master's kernel sends what it still holds
    assert len(events_of(lab, service.site)) < len(whole), "nothing was lost"
    service.go_on()
    return replica, whole


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_a_replica_takes_over_and_the_old_master_comes_back(
    lab: Lab, service: Service, turn: int
) -> None:
    """I1, I5, I13: a copy that lacks the last events is promoted; later the old master, with a
    longer log of an older epoch, stands there again, and nothing of that epoch is applied."""
    replica, whole = fail_over(lab, service)
    assert_recovers(service, [whole])
    noticed = notices(service)
    promoted = archived(service)
    replica.step_down()
    lab.start_redis()
    came_back = len(lab.log_of(f"edge-{service.site.name}"))
    service.go_on()
    assert_recovers(service, [whole, promoted], noticed)

    lines = lab.log_of(f"edge-{service.site.name}")[came_back:]
    applied = {line.get("event_id") for line in lines if line.get("stage") == "applied"}
    assert applied
    assert not applied & {event["id"] for event in whole}
    assert_newer(events_of(lab, service.site)[len(whole) :], promoted)


def assert_newer(events: Sequence[Event], than: Sequence[Event]) -> None:
    """I5: whatever is written is of an epoch above every one that was seen."""
    last = max(int(str(event["ep"])) for event in than)
    recovery = next(n for n, event in enumerate(events) if event["type"] == "RecoveryStarted")
    written = [int(str(event["ep"])) for event in events[recovery:]]
    assert min(written) > last


@pytest.mark.parametrize("who", ["allocator and edge", "edge"])
@pytest.mark.parametrize("turn", range(ROUNDS // 2 or 1))
def test_the_append_only_file_is_cut(
    lab: Lab, service: Service, turn: int, who: str, seed: int
) -> None:
    """I1, I5, I13: less came back from the disk than was synchronised, and somebody repaired it;
    allocator and edge remember, or, where the allocator was restarted, the edge alone (ADR 8)."""
    dice = random.Random(seed + turn)
    whole = archived(service)
    if who == "edge":
        lab.stop(service.allocator, signal.SIGKILL)
    lab.redis.kill()
    lab.redis.wait()
    [tail] = (lab.directory / "redis" / "appendonlydir").glob("*.incr.aof")
    size = tail.stat().st_size
    os.truncate(tail, size - dice.randint(size // 8, size // 2))
    subprocess.run(["redis-check-aof", "--fix", tail], input=b"y\n", check=True)
    lab.start_redis()
    assert len(events_of(lab, service.site)) < len(whole), "nothing was lost"
    if who == "edge":
        service.allocator = service.start_allocator()
    service.go_on()
    assert_recovers(service, [whole])


def test_all_is_gone_and_the_log_is_made_anew(lab: Lab, service: Service) -> None:
    """I1, I9, I11, I13: after FLUSHALL the plan is imported from its file and the site's log is
    made anew, as docs/operating.md says: known clients keep their addresses, newcomers are served,
    and the history has who held what before and after."""
    plan = lab.directory / "plan.jsonl"
    plan.write_text(lab.leasectl("plan", "export"))
    whole = archived(service)
    lab.redis_cli("FLUSHALL")
    service.go_on()
    wait_until(lambda: notices(service) > 0, "the edge to find out", 30)
    lab.leasectl("plan", "import", plan)
    lab.stop(service.allocator, signal.SIGTERM)
    service.allocator = service.start_allocator()
    lab.leasectl("site", "recreate", service.site.name, "--yes")
    assert_recovers(service, [whole])
    adopted = [event for event in events_of(lab, service.site) if event["type"] == "LeaseAdopted"]
    assert any(is_held_on(lab, event) for event in adopted)


def test_an_event_is_gone_and_the_log_is_set_aside(lab: Lab, service: Service) -> None:
    """I1, I3, I9, I13: nobody leads a log that lacks an event; once it was set aside and made anew,
    as docs/operating.md says, known clients keep their addresses and newcomers are served."""
    site = service.site.name
    whole = archived(service)
    lab.redis_cli("XDEL", f"lease:{{{site}}}:events", whole[-2]["id"])
    lab.stop(service.allocator, signal.SIGKILL)
    service.allocator = service.start_allocator()
    service.go_on()
    wait_until(lambda: "log.damaged" in lab.leasectl("status", check=False), "the damage", 30)
    for key in lab.redis_cli("--scan", "--pattern", f"lease:{{{site}}}:*").split():
        lab.redis_cli("RENAME", key, f"kept:{key}")
    lab.leasectl("site", "recreate", site, "--yes")
    assert_recovers(service, [whole])


def is_held_on(lab: Lab, adopted: dict[str, object]) -> bool:
    """Whether the history has its holder in the lost log as well; not who gave it back there."""
    told = lab.leasectl("history", adopted["ip"], "--json").splitlines()
    holdings = [(row["mac"], row["ended"], row["from_id"]) for row in map(json.loads, told)]
    mac, event_id = adopted["mac"], adopted["id"]
    return any(
        former[:2] == (mac, "NotKnown") and (here[0], here[2]) == (mac, event_id)
        for former, here in pairwise(holdings)
    )
