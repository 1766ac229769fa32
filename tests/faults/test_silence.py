"""A site and its centre that do not hear each other: the site promises what it may, and no more;
what it may have promised is waited for, then its addresses return."""

import signal

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import events_of
from tests.faults.conftest import POOL
from tests.faults.history import ENDS, GIVEN
from tests.faults.service import UNANSWERED, Service, await_load, renewals

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


@pytest.fixture
def brief(scaled_lab: Lab) -> Service:
    """A service whose horizon is two leases long, under a settled load."""
    site = scaled_lab.add_site(
        "ams01", POOL, lease_s=LEASE_S, horizon_s=HORIZON_S, reuse_guard_s=GUARD_S, heartbeat_s=1
    )
    made = Service(scaled_lab, site)
    await_load(scaled_lab, site)
    return made


def seen(service: Service, kind: str) -> int:
    return sum(message["type"] == kind for message in service.lab.tapped(service.site))


def test_the_centre_is_gone_for_longer_than_the_horizon(brief: Service) -> None:
    """I2, I6, I9: the kernel renews known clients until E, then nobody is told anything, not even
    NAK; when the centre is back everybody is served, and no address changed hands too soon."""
    service, refused = brief, seen(brief, "NAK")
    lab, site = service.lab, service.site
    lab.stop(lab.redis, signal.SIGKILL)
    renewed = renewals(lab, site)
    wait_until(lambda: renewals(lab, site) > renewed + UNANSWERED, "renewals without the centre")

    def is_silent() -> bool:
        """Whether many asked behind the last answer."""
        messages = list(lab.tapped(site))
        last = max(at for at, message in enumerate(messages) if message["type"] == "ACK")
        return sum(message["type"] == "DISCOVER" for message in messages[last:]) > 10 * UNANSWERED

    wait_until(is_silent, "silence behind E", HORIZON_S + 60)
    assert seen(service, "NAK") == refused
    lab.start_redis()
    service.assert_well()


def test_addresses_of_a_dead_agent_come_back(brief: Service) -> None:
    """I7: revoked while no agent lives, and answered for by the kernel until E, an address is free
    after A + Q; I1, I13: the next agent finds it so, and newcomers are served."""
    service, lab, site = brief, brief.lab, brief.site
    lab.stop(service.edge, signal.SIGKILL)
    for ip in bound(lab, site)[:REVOKED]:
        lab.leasectl("lease", "revoke", site.name, ip)

    def freed() -> int:
        events = events_of(lab, site)
        return sum(event.get("cause") == "horizon-over" for event in events)

    wait_until(lambda: freed() >= REVOKED, "A + Q", HORIZON_S + GUARD_S + 30)
    service.edge = lab.start_edge(site)
    service.assert_well()
