"""A leader that is stopped and resumed commits nothing any more (I5), time after time."""

import os
import random
import signal
import subprocess
import time

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import events_of
from tests.faults.history import number, seq
from tests.faults.service import Service

pytestmark = pytest.mark.net

STOPS = 100 if os.environ.get("LEASE_FULL") else 5
NAMES = ("allocator-1", "allocator-2")
GIVEN_UP = {"leadership.lost", "leadership.given-up", "log.unavailable"}
"""What a deposed leader says when it wakes; the last if its connection did not outlive the stop."""


def last_epoch(lab: Lab, site: Site) -> dict[str, object]:
    """How the epoch that lasts now began."""
    return [event for event in events_of(lab, site) if event["type"] == "EpochStarted"][-1]


def told_by(lab: Lab, name: str) -> list[str]:
    """What it has said of its leadership so far."""
    words = {"leadership.won", *GIVEN_UP}
    return [str(line["event"]) for line in lab.log_of(name) if line["event"] in words]


def gave_up(told: list[str]) -> int:
    return sum(word in GIVEN_UP for word in told)


def stopped_leader(
    lab: Lab, site: Site, leaders: dict[str, subprocess.Popen[bytes]]
) -> tuple[str, int]:
    """SIGSTOP whoever leads, in the middle of it, and is not about to give the site to whom it
    belongs; returns its name, and how often it had given up by then.

    Both are of one reading of its lines: what it said last may reach them only now.
    """
    while True:
        name = str(last_epoch(lab, site)["by"])
        leaders[name].send_signal(signal.SIGSTOP)
        told = told_by(lab, name)
        if told[-1:] == ["leadership.won"]:
            return name, gave_up(told)
        leaders[name].send_signal(signal.SIGCONT)
        time.sleep(0.05)


def stop_leader(service: Service, leaders: dict[str, subprocess.Popen[bytes]]) -> None:
    """Until another leads and has written; then the old one finds out that it is deposed."""
    lab, site = service.lab, service.site
    name, given_up = stopped_leader(lab, site, leaders)

    def is_led_anew() -> bool:
        now = last_epoch(lab, site)
        return now["by"] != name and seq(events_of(lab, site)[-1]) > seq(now)

    wait_until(is_led_anew, "another leader's first events", 30)
    leaders[name].send_signal(signal.SIGCONT)
    wait_until(lambda: gave_up(told_by(lab, name)) > given_up, "the old leader to find out", 30)


@pytest.mark.timeout(120 + 15 * STOPS)
def test_a_resumed_leader_commits_nothing(lab: Lab, quick: Site, seed: int) -> None:
    """I5: under load each epoch has one writer and none is gone back to, however often the leader
    is stopped in the middle of its work; I1, I2, I7, I13: nor does anything else come of it."""
    dice = random.Random(seed)
    service = Service(lab, quick)
    lab.stop(service.allocator, signal.SIGTERM)
    leaders = {name: lab.start_allocator(name) for name in NAMES}
    wait_until(lambda: last_epoch(lab, quick)["by"] in NAMES, "one of the two to lead")
    for turn in range(STOPS):
        time.sleep(dice.random())  # at any moment: when the fault strikes, not a hope
        stop_leader(service, leaders)
        print(f"{time.monotonic():.1f} stop {turn}: {last_epoch(lab, quick)['by']} leads")
    service.assert_well()

    events = events_of(lab, quick)
    epochs = [number(event["ep"]) for event in events]
    assert epochs == sorted(epochs)
    writers = {(event["ep"], event["by"]) for event in events if "by" in event}
    assert len(writers) == len(set(epochs)), "two wrote in one epoch"
    assert len(set(epochs)) > STOPS
