"""Clients behind a relay: perfdhcp as many at once, and one that renews past the relay."""

import json
import re
import sys
import time

import pytest

from scripts.lab import BIN, Lab, Site
from tests.faults.checker import check
from tests.packets import ACK

pytestmark = pytest.mark.net

RELAY = "100.66.63.254"
SERVER = "100.66.0.1"
LAST_REPLIES_US = 1_000_000
"""Those that come after a run would count as another client's in the next: it uses xids again."""


def number(report: str, what: str) -> list[int]:
    """What perfdhcp counted: DISCOVER-OFFER first, REQUEST-ACK second."""
    return [int(found) for found in re.findall(rf"{what}: (\d+)", report)]


def counted(site: Site) -> dict[str, int]:
    """The verdicts of the site's program so far."""
    words = (BIN / "edgectl", "status", "--config", site.config, "--json")
    counters: dict[str, int] = json.loads(site.router.run(*words))["counters"]
    return counters


def test_perfdhcp_gets_every_address_once(lab: Lab) -> None:
    """I1, I11: 300 clients behind a relay get as many addresses, and keep them.

    The ACKs are the program's, also of those who had to wait for the allocator.
    """
    site = lab.add_site("ber03", "100.66.0.0/18", relay=RELAY)
    lab.start_edge(site)
    words = ("perfdhcp", "-4", "-l", "wire0", "-r", 100, "-R", 1000, "-n", 300, "-u",
             "-W", LAST_REPLIES_US)  # fmt: skip
    report = site.homes.run(*words, check=False)
    acks = counted(site)["ack"] if lab.datapath == "xdp" else 300
    again = site.homes.run(*words, check=False)
    leases = lab.leasectl("lease", "list", site.name, "--json").splitlines()

    assert number(report, "non unique addresses") == [0, 0]
    assert number(report, "rejected leases") == [0, 0]
    assert acks >= number(report, "received packets")[1] > 200
    assert number(again, "non unique addresses") == [0, 0]
    assert number(again, "received packets")[1] > 200
    assert 200 < len(leases) < 400
    assert check(lab, site) > 400
    if lab.datapath == "xdp":  # its requests are shorter than the replies
        assert {"offer", "ack"} <= counted(site).keys()
        assert "pass_reply_space" not in counted(site)


def test_a_renewal_past_the_relay(lab: Lab) -> None:
    """A client behind the relay renews by unicast, its router brings it and takes the ACK back."""
    site = lab.sites["ber03"]
    leases = map(json.loads, lab.leasectl("lease", "list", site.name, "--json").splitlines())
    lease = next(leases)
    words = (sys.executable, "-m", "tests.netns.renewal", "wire0", SERVER, lease["mac"])
    said = len(lab.log_of(f"edge-{site.name}"))
    reply = json.loads(site.homes.run(*words, lease["ip"]))
    short = json.loads(site.homes.run(*words, lease["ip"], 0))
    time.sleep(0.1)  # the agent writes its line after the frame has left
    lines = lab.log_of(f"edge-{site.name}")[said:]
    answered = [line["message"] for line in lines if line["event"] == "client.answered"]

    assert reply[:6] == [ACK, lease["mac"], lease["ip"], lease["ip"], SERVER, 67]
    assert answered == ([] if lab.datapath == "xdp" else ["ack", "ack"])
    assert short == reply
