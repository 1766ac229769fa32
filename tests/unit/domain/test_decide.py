"""Given what the log says, when a command comes, then these events and that answer."""

from dataclasses import replace

import pytest

from lease_core.domain.commands import (
    AckRemoval,
    DeclineAddress,
    Heartbeat,
    Held,
    Refused,
    ReleaseLease,
    ReportExpiry,
    RevokeLease,
)
from lease_core.domain.desk import Timing
from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    HorizonGranted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    RemovalAcked,
)
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.reasons import Reason
from lease_core.domain.values import Ipv4, Mac
from tests.site import FIRST, Site, pool_added


def refusal(answer: object) -> str:
    assert isinstance(answer, Refused)
    return answer.reason


class TestAssigning:
    def test_discover_then_request_binds_the_offered_address(self) -> None:
        """A new client is assigned the address it was offered."""
        site = Site()
        ip = site.offer(1)
        events, answer = site.request(1, ip or 0)

        assert answer is None
        assert [type(event) for event in events] == [LeaseAssigned]
        assert site.ledger.bound[FIRST].mac == 1

    def test_asking_twice_gives_the_same_lease(self) -> None:
        """A repeated REQUEST or DISCOVER of a holder adds no event and names the old one."""
        site = Site()
        ip = site.lease(1)
        before = site.ledger.seq
        events, answer = site.request(1, ip)

        assert (events, answer) == ((), Held(req="r1", seq=before))
        assert site.offer(1) is None
        assert site.ledger.seq == before

    def test_repeated_discover_is_offered_the_same_address(self) -> None:
        """An offer stands: retransmissions do not eat the pool."""
        site = Site()

        assert {site.offer(1) for _ in range(10)} == {FIRST}

    def test_two_clients_are_never_offered_one_address(self) -> None:
        """An offered address is kept apart from everybody else's offers."""
        site = Site(size=4)
        offers = [site.offer(mac) for mac in range(1, 7)]

        assert offers == [FIRST, FIRST + 1, FIRST + 2, FIRST + 3, None, None]

    def test_an_offer_that_is_not_taken_comes_back(self) -> None:
        """After the hold time an offered address can be offered to another."""
        site = Site(size=1)
        site.offer(1)
        assert site.offer(2) is None
        site.wait(61)

        assert site.offer(2) == FIRST

    def test_option_50_is_honoured_when_free(self) -> None:
        """A DISCOVER that asks for a free address of the pool is offered it."""
        site = Site()

        assert site.offer(1, wanted=FIRST + 2) == FIRST + 2
        assert site.offer(2, wanted=FIRST + 2) == FIRST

    def test_request_for_anothers_address_is_refused(self) -> None:
        """No REQUEST takes an address that is bound or offered to another."""
        site = Site()
        site.lease(1)
        offered = site.offer(2) or 0

        assert refusal(site.request(3, FIRST)[1]) == Reason.IN_USE
        assert refusal(site.request(3, offered)[1]) == Reason.IN_USE

    def test_request_for_a_second_address_is_refused(self) -> None:
        """A holder that asks for another address is told that it holds one."""
        site = Site()
        site.lease(1)

        assert refusal(site.request(1, FIRST + 1)[1]) == Reason.OTHER_ADDRESS

    def test_request_outside_the_pools_is_refused(self) -> None:
        """An address that no pool of the site holds is not ours to give."""
        site = Site()

        assert refusal(site.request(1, 0x0A000001)[1]) == Reason.NOT_OURS

    def test_unknown_client_in_init_reboot_is_not_assigned(self) -> None:
        """Only SELECTING creates a record; others need one (RFC 2131 4.3.2)."""
        site = Site()

        assert refusal(site.request(1, FIRST, kind="init-reboot")[1]) == Reason.UNKNOWN_CLIENT

    def test_one_mac_on_two_lines_is_two_bindings(self) -> None:
        """The subscriber key holds the line, so a second line gets a second address."""
        site = Site()
        one, other = site.lease(1, "access0:1"), site.lease(1, "access0:2")

        assert one != other
        assert len(site.ledger.bindings_of(Mac(1))) == 2


class TestReuse:
    def test_an_address_is_reused_only_after_ack_and_quarantine(self) -> None:
        """I7: release, acknowledgement with remainder r, then r + Q, then another may have it."""
        site = Site(size=1, timing=Timing(reuse_guard_s=120))
        ip = site.lease(1)
        events, _ = site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        assert [type(e) for e in events] == [LeaseReleased]
        site.wait(1000)
        assert site.offer(2) is None, "not acknowledged"
        [acked] = site.ack(ip, remaining_s=500)
        assert isinstance(acked, RemovalAcked)
        assert acked.quarantine_s == 620
        site.wait(619)
        assert site.offer(2) is None, "in quarantine"
        [freed] = site.wait(2)

        assert isinstance(freed, AddressFreed)
        assert site.offer(2) == ip

    def test_a_silent_sites_address_comes_back_after_the_horizon(self) -> None:
        """I7 ii: without an acknowledgement the address is free only after A + Q."""
        site = Site(size=1, timing=Timing(horizon_s=14_400, reuse_guard_s=120))
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        assert site.wait(14_400 + 119) == []
        freed = site.wait(2)

        assert [type(e) for e in freed] == [AddressFreed]

    def test_the_last_holder_gets_its_address_back_at_once(self) -> None:
        """A promise to the same subscriber is no conflict, so it need not wait."""
        site = Site()
        ip = site.lease(1)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))

        assert site.lease(1) == ip

    def test_the_last_holder_gets_its_address_back_when_it_is_free(self) -> None:
        """A freed address goes to strangers last and to its last holder first."""
        site = Site(size=3)
        ip = site.lease(1)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        site.ack(ip)
        site.wait(121)

        assert site.offer(2) == FIRST + 1
        assert site.offer(1) == ip

    def test_an_acknowledgement_of_another_removal_frees_nothing(self) -> None:
        """I7: a late acknowledgement of an older removal does not start the quarantine."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        old = site.ledger.removed[ip].seq
        site.lease(1)
        site.do(RevokeLease(req="y", ip=ip, cause="operator"))
        events, _ = site.do(AckRemoval(req="a", ip=ip, ref=old, remaining_s=0, incarnation="a"))

        assert events == ()
        assert site.ledger.removed[ip].quarantine_s is None

    def test_only_the_holder_on_its_line_releases_or_declines(self) -> None:
        """RELEASE and DECLINE by another MAC, line or address change nothing."""
        site = Site()
        ip = site.lease(1)

        for mac, line, address in ((2, "access0", ip), (1, "other", ip), (1, "access0", ip + 1)):
            for kind in (ReleaseLease, DeclineAddress):
                command = kind(req="x", mac=Mac(mac), line=line, ip=Ipv4(address))
                assert refusal(site.do(command)[1]) == Reason.NOT_HOLDER

    def test_an_expiry_report_for_an_older_binding_is_refused(self) -> None:
        """A report that crossed with a new assignment does not end the new one."""
        site = Site()
        ip = site.lease(1)
        stale = site.ledger.bound[ip].seq
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        site.lease(1)
        report = ReportExpiry(
            req="x", mac=Mac(1), line="access0", ip=ip, ref=stale, incarnation="a"
        )

        assert refusal(site.do(report)[1]) == Reason.NOT_HOLDER

    def test_an_expiry_is_of_an_event_whatever_the_line_is_called_now(self) -> None:
        """I10: the edge may not know the line any more; event, address and MAC say which it is."""
        site = Site()
        ip = site.lease(1)
        seq = site.ledger.bound[ip].seq
        report = ReportExpiry(req="x", mac=Mac(1), line="if0", ip=ip, ref=seq, incarnation="a")
        for other in ({"mac": Mac(2)}, {"ref": seq - 1}, {"ip": Ipv4(ip + 1)}):
            assert refusal(site.do(replace(report, **other))[1]) == Reason.NOT_HOLDER
        [expired], _ = site.do(report)

        assert isinstance(expired, LeaseExpired)
        assert expired.line == "access0"

    def test_expiry_is_decided_by_the_log(self) -> None:
        """The edge reports, the allocator decides, the event ends the binding."""
        site = Site()
        ip = site.lease(1)
        seq = site.ledger.bound[ip].seq
        events, _ = site.do(
            ReportExpiry(req="x", mac=Mac(1), line="access0", ip=ip, ref=seq, incarnation="a")
        )

        assert [type(e) for e in events] == [LeaseExpired]

    def test_declined_address_rests_longer_each_time(self) -> None:
        """Quarantine of a declined address grows from 10 minutes and its holder gets another."""
        site = Site(size=400)
        rests = []
        for mac in (1, 2):
            site.request(mac, FIRST)
            [declined], _ = site.do(DeclineAddress(req="x", mac=Mac(mac), line="access0", ip=FIRST))
            assert isinstance(declined, AddressDeclined)
            rests.append(declined.quarantine_s)
            assert site.offer(mac) != FIRST
            site.ack(FIRST)
            site.wait(declined.quarantine_s + 121)

        assert rests == [600, 1200]

    def test_declines_never_hold_more_than_one_percent_of_a_pool(self) -> None:
        """Beyond the cap a declined address rests no longer than safety asks."""
        site = Site(size=200)
        rests = []
        for mac in range(1, 6):
            ip = site.lease(mac)
            [declined], _ = site.do(DeclineAddress(req="x", mac=Mac(mac), line="access0", ip=ip))
            assert isinstance(declined, AddressDeclined)
            rests.append(declined.quarantine_s)

        assert rests == [600, 600, 0, 0, 0]

    def test_revoked_lease_ends_for_good(self) -> None:
        """An operator's revoke names its cause in the event."""
        site = Site()
        ip = site.lease(1)
        [revoked], _ = site.do(RevokeLease(req="x", ip=ip, cause="operator:anna"))

        assert isinstance(revoked, LeaseRevoked)
        assert revoked.cause == "operator:anna"


class TestHorizon:
    def test_a_heartbeat_is_granted_a_horizon_with_its_nonce(self) -> None:
        """The grant answers one heartbeat, so the edge knows from when to count."""
        site = Site()
        [granted], _ = site.do(Heartbeat(edge="bng1", incarnation="a", nonce="77", applied=3))

        assert granted == HorizonGranted(edge="bng1", incarnation="a", nonce="77", horizon_s=14_400)

    def test_a_second_edge_is_refused_while_the_first_may_serve(self) -> None:
        """Two agents with one site: the second gets no horizon before A + Q."""
        site = Site()
        beat = Heartbeat(edge="bng2", incarnation="b", nonce="1", applied=0)
        assert refusal(site.do(beat)[1]) == Reason.OTHER_EDGE
        site.wait(14_400 + 121)

        assert [type(e) for e in site.do(beat)[0]] == [HorizonGranted]

    def test_a_restarted_edge_is_granted_and_its_former_life_refused(self) -> None:
        """A rebooted router serves at once; a clone that goes on with the old life does not."""
        site = Site()
        assert site.do(Heartbeat(edge="bng1", incarnation="b", nonce="1", applied=0))[0]
        old = Heartbeat(edge="bng1", incarnation="a", nonce="2", applied=0)

        assert refusal(site.do(old)[1]) == Reason.FORMER_LIFE

    def test_promises_of_a_former_life_hold_back_reuse(self) -> None:
        """I7: what the edge forgot in a reboot may still be promised until the old horizon."""
        site = Site()
        ip = site.lease(1)
        site.do(Heartbeat(edge="bng1", incarnation="b", nonce="1", applied=0))
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        [acked] = site.ack(ip, remaining_s=0)

        assert isinstance(acked, RemovalAcked)
        assert acked.remaining_s == 14_400

    def test_who_comes_back_out_of_a_removal_is_as_old_as_before(self) -> None:
        """I7: the former life's promises count for a holder who came back under a new seq."""
        site = Site()
        ip = site.lease(1)
        site.do(Heartbeat(edge="bng1", incarnation="b", nonce="1", applied=0))
        for _ in range(2):
            site.do(RevokeLease(req="x", ip=ip, cause="operator"))
            assert site.request(1, ip)[0]
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        [acked] = site.ack(ip, remaining_s=0)

        assert isinstance(acked, RemovalAcked)
        assert acked.remaining_s == 14_400

    def test_a_stranger_is_not_as_old_as_who_had_the_address_before(self) -> None:
        """Once an address was freed, whoever gets it begins anew."""
        site = Site(size=1)
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.request(1, ip)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.ack(ip)
        site.wait(121)
        site.do(Heartbeat(edge="bng1", incarnation="b", nonce="1", applied=0))
        site.lease(2)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        [acked] = site.ack(ip, remaining_s=0)

        assert isinstance(acked, RemovalAcked)
        assert acked.remaining_s == 0


class TestTakeover:
    def test_takeover_extends_before_it_expires(self) -> None:
        """A new allocator counts horizon and quarantines afresh from its own start."""
        site = Site(size=1, timing=Timing(deposed_writer_s=5))
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.wait(14_000)
        site.take_over()

        assert site.wait(14_400 + 5 + 119) == []
        assert len(site.wait(2)) == 1

    def test_takeover_counts_quarantine_afresh(self) -> None:
        """A quarantine that was running begins again, so it is never shortened."""
        site = Site(size=1)
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.ack(ip, remaining_s=100)
        site.wait(200)
        site.take_over()

        assert site.wait(219) == []
        assert len(site.wait(2)) == 1

    def test_takeover_keeps_state(self) -> None:
        """I3: replay gives the ledger that was live."""
        site = Site()
        site.lease(1)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=site.lease(2)))
        before = site.ledger.digest()
        site.take_over()

        assert site.ledger.digest() == before


class TestDamagedPools:
    def test_a_pool_without_a_network_is_refused_before_anything_changes(self) -> None:
        """An event that names no network is the log's fault, told as such, and changes nothing."""
        ledger = Ledger()
        broken = replace(pool_added(), network="100.64.0.0/99")

        with pytest.raises(LedgerError, match="adds pool res-1"):
            ledger.evolve(1, 1, broken)
        assert (ledger.seq, ledger.pools) == (0, {})
