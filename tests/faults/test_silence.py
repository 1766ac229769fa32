"""A site that says nothing: what it may have promised is waited for, then its addresses return."""

import signal

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import events_of
from tests.faults.conftest import POOL
from tests.faults.history import ENDS, GIVEN
from tests.faults.service import Service, await_load

pytestmark = pytest.mark.net

LEASE_S, HORIZON_S, GUARD_S = 4, 8, 2
REVOKED = 3


def bound(lab: Lab, site: Site) -> list[object]:
    """Addresses that somebody has by the log."""
    held: dict[object, None] = {}
    for event in events_of(lab, site):
        if event["type"] in GIVEN:
            held[event["ip"]] = None
        elif event["type"] in ENDS:
            held.pop(event["ip"], None)
    return list(held)


def test_addresses_of_a_dead_agent_come_back(scaled_lab: Lab) -> None:
    """I7: revoked while no agent lives, and answered for by the kernel until E, an address is free
    after A + Q; I1, I13: the next agent finds it so, and newcomers are served."""
    lab = scaled_lab
    site = lab.add_site(
        "ams01", POOL, lease_s=LEASE_S, horizon_s=HORIZON_S, reuse_guard_s=GUARD_S, heartbeat_s=1
    )
    service = Service(lab, site)
    await_load(lab, site)
    lab.stop(service.edge, signal.SIGKILL)
    for ip in bound(lab, site)[:REVOKED]:
        lab.leasectl("lease", "revoke", site.name, ip)

    def freed() -> int:
        events = events_of(lab, site)
        return sum(event.get("cause") == "horizon-over" for event in events)

    wait_until(lambda: freed() >= REVOKED, "A + Q", HORIZON_S + GUARD_S + 30)
    service.edge = lab.start_edge(site)
    service.assert_well()
