"""What the ledger refuses, and what a desk and a decision must not forget."""

import pytest

from lease_core.domain.commands import DeclineAddress, Heartbeat, ReleaseLease
from lease_core.domain.decide import decide
from lease_core.domain.desk import SECOND, Desk
from lease_core.domain.events import AddressFreed, EpochStarted, LeaseAssigned, RemovalAcked
from lease_core.domain.ledger import LedgerError
from lease_core.domain.values import Ipv4, Mac
from tests.site import FIRST, Site


def assigned(mac: int, ip: int, line: str = "access0") -> LeaseAssigned:
    return LeaseAssigned(
        mac=Mac(mac), ip=Ipv4(ip), pool="res-1", line=line, cause="selecting", req="r", host=""
    )


def declined(site: Site, mac: int) -> Ipv4:
    ip = site.lease(mac)
    site.do(DeclineAddress(req="d", mac=Mac(mac), line="access0", ip=ip))
    return ip


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_event_out_of_turn_is_refused(ahead: int) -> None:
    """I4: the ledger takes the next event, neither the last one again nor the one after."""
    ledger = Site().ledger
    with pytest.raises(LedgerError, match="gap"):
        ledger.evolve(ledger.seq + ahead, 1, EpochStarted(cause="takeover"))


def test_an_event_of_an_older_epoch_is_refused() -> None:
    """I5: once an epoch began, nothing of an older one is taken."""
    ledger = Site().ledger
    ledger.evolve(ledger.seq + 1, 3, EpochStarted(cause="takeover"))
    with pytest.raises(LedgerError, match="epoch"):
        ledger.evolve(ledger.seq + 1, 2, EpochStarted(cause="takeover"))


def test_a_second_address_of_a_subscriber_is_refused() -> None:
    """I11: a subscriber has one address at a time."""
    site = Site()
    site.lease(1)
    with pytest.raises(LedgerError, match="second address"):
        site.record(assigned(1, FIRST + 2))


def test_an_acknowledgement_of_another_end_is_refused() -> None:
    """I7: a removal is acknowledged by the event that caused it."""
    site = Site()
    ip = declined(site, 1)
    removal = site.ledger.removed[ip]
    with pytest.raises(LedgerError, match="acknowledges"):
        site.record(
            RemovalAcked(
                mac=Mac(1),
                ip=ip,
                pool="res-1",
                line="access0",
                cause="edge",
                req="a",
                ref=removal.seq - 1,
                remaining_s=0,
                quarantine_s=120,
            )
        )


def test_a_removed_address_is_no_strangers() -> None:
    """I1: a stranger who asks by name for an address in quarantine gets another one."""
    site = Site()
    ip = declined(site, 1)
    assert site.offer(2, wanted=ip) not in (None, ip)


def test_the_last_holder_is_the_one_of_that_line() -> None:
    """I1: the same MAC on another line is another subscriber."""
    site = Site()
    ip = site.lease(1)
    _end(site, 1, ip)
    assert site.offer(1, "access1", wanted=ip) not in (None, ip)
    assert site.offer(1, "access0", wanted=ip) == ip


def test_who_declined_does_not_get_it_back() -> None:
    """I7: a declined address rests, whoever asks."""
    site = Site()
    ip = declined(site, 1)
    assert site.offer(1, wanted=ip) not in (None, ip)


def test_no_remainder_is_below_nothing() -> None:
    """I7: an edge that says less than nothing does not shorten the guard."""
    site = Site()
    ip = site.lease(1)
    _end(site, 1, ip)
    (acked,) = site.ack(ip, remaining_s=-100)
    assert isinstance(acked, RemovalAcked)
    assert acked.quarantine_s == site.timing.reuse_guard_s


def test_an_offer_that_lapses_does_not_free_what_rests() -> None:
    """I1, I7: an address that was offered back to its last holder goes on resting."""
    site = Site(size=1)
    ip = site.lease(1)
    _end(site, 1, ip)
    assert site.offer(1) == ip
    site.wait(site.timing.offer_hold_s + 1)

    assert site.offer(2) is None


def test_a_removal_is_acknowledged_once() -> None:
    """I7: an acknowledgement that comes again does not begin another quarantine."""
    site = Site()
    ip = site.lease(1)
    _end(site, 1, ip)
    assert len(site.ack(ip, remaining_s=50)) == 1
    assert site.ack(ip, remaining_s=0) == ()


def test_a_quarantine_ends_for_the_removal_that_it_began_with() -> None:
    """I7: whoever came back out of quarantine and ended again has a quarantine of his own."""
    site = Site()
    ip = site.lease(1)
    _end(site, 1, ip)
    site.ack(ip)
    site.wait(10)
    assert site.lease(1) == ip
    _end(site, 1, ip)
    assert site.wait(site.timing.reuse_guard_s) == []
    assert ip in site.ledger.removed


def test_nothing_is_freed_that_did_not_end() -> None:
    """I7: an address that nobody gave back cannot come back."""
    site = Site()
    ip = site.lease(1)
    with pytest.raises(LedgerError, match="quarantine"):
        site.record(
            AddressFreed(mac=Mac(1), ip=ip, pool="res-1", line="access0", cause="quarantine-over")
        )


def test_a_claim_ends_when_the_address_goes_to_another() -> None:
    """I11: the log names one holder; who had the address before is nobody to it any more."""
    site = Site(size=1)
    ip = site.lease(1)
    _end(site, 1, ip)
    site.ack(ip)
    site.wait(site.timing.reuse_guard_s + 1)
    assert site.ledger.former_ip(Mac(1), "access0") == ip
    assert site.lease(2) == ip

    assert site.ledger.former_ip(Mac(1), "access0") is None


def test_the_horizon_is_raised_before_the_commit() -> None:
    """I6: deciding a grant raises A, whatever becomes of the append."""
    site = Site()
    site.now_ns += 1000 * SECOND
    decide(site.ledger, site.desk, _beat("a"), site.now_ns)
    assert site.desk.horizon_ns == site.now_ns + site.timing.horizon_s * SECOND


def test_a_takeover_holds_back_for_a_former_life() -> None:
    """I1: after a takeover, promises of a retired life may last for a whole horizon."""
    site = Site()
    site.do(_beat("b"))
    desk = Desk(site.ledger, site.timing, site.now_ns)
    assert desk.former_life_ns == desk.horizon_ns > site.now_ns


def _beat(life: str) -> Heartbeat:
    return Heartbeat(edge="bng1", incarnation=life, nonce="n", applied=0)


def _end(site: Site, mac: int, ip: Ipv4) -> None:
    site.do(ReleaseLease(req="x", mac=Mac(mac), line="access0", ip=ip))
