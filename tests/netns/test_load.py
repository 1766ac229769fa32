"""Many clients at once: perfdhcp behind a relay, and every address given once."""

import re

import pytest

from scripts.lab import Lab
from tests.faults.checker import check

pytestmark = pytest.mark.net

RELAY = "100.66.63.254"


def number(report: str, what: str) -> list[int]:
    """What perfdhcp counted: DISCOVER-OFFER first, REQUEST-ACK second."""
    return [int(found) for found in re.findall(rf"{what}: (\d+)", report)]


def test_perfdhcp_gets_every_address_once(lab: Lab) -> None:
    """I1, I11: 300 clients behind a relay get as many addresses, and keep them."""
    site = lab.add_site("ber03", "100.66.0.0/18", relay=RELAY)
    lab.start_edge(site)
    words = ("perfdhcp", "-4", "-l", "wire0", "-r", 100, "-R", 1000, "-n", 300, "-u", "-W", 2)
    report = site.homes.run(*words, check=False)
    again = site.homes.run(*words, check=False)
    leases = lab.leasectl("lease", "list", site.name, "--json").splitlines()

    assert number(report, "non unique addresses") == [0, 0]
    assert number(report, "rejected leases") == [0, 0]
    assert number(report, "received packets")[1] > 200
    assert number(again, "non unique addresses") == [0, 0]
    assert number(again, "received packets")[1] > 200
    assert 200 < len(leases) < 400
    assert check(lab, site) > 400
