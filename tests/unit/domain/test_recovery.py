"""A log that lost events: nothing is assigned anew, and what the edge promised is adopted."""

from dataclasses import replace

import pytest

from lease_core.domain.commands import (
    EndRecovery,
    Heartbeat,
    Held,
    Refused,
    ReportBinding,
    ReportLoss,
    RevokeLease,
    StartRecovery,
)
from lease_core.domain.desk import Timing
from lease_core.domain.events import (
    AddressDeclined,
    Event,
    HorizonGranted,
    LeaseAdopted,
    LeaseRevoked,
    RecoveryEnded,
    RecoveryStarted,
)
from lease_core.domain.reasons import Reason
from lease_core.domain.recovery import is_told
from lease_core.domain.values import Ipv4, Mac
from tests.site import FIRST, Site

LOSS = ReportLoss(req="x", edge="bng1", incarnation="a", epoch=0, applied=99)


def told(mac: int, ip: int = FIRST, state: str = "bound", life: str = "a") -> ReportBinding:
    return ReportBinding(
        req="x",
        edge="bng1",
        incarnation=life,
        mac=Mac(mac),
        line="access0",
        ip=Ipv4(ip),
        state=state,
        remaining_s=50,
    )


def kinds(events: tuple[Event, ...]) -> list[type]:
    return [type(event) for event in events]


def agrees(site: Site, life: str = "a") -> Heartbeat:
    return Heartbeat(
        edge="bng1", incarnation=life, nonce="n", applied=site.ledger.seq, epoch=site.ledger.epoch
    )


@pytest.fixture
def site() -> Site:
    """A site that recovers with the edge that serves it."""
    made = Site()
    assert kinds(made.do(LOSS)[0]) == [RecoveryStarted]
    return made


class TestWhileRecovering:
    def test_no_address_is_assigned_anew(self, site: Site) -> None:
        """I1: strangers get nothing; who is bound is told so."""
        site.do(told(1))

        assert site.offer(2) is None
        assert site.request(2, FIRST + 1)[1] == Refused(req="r2", reason=Reason.RECOVERING)
        assert isinstance(site.request(1, FIRST)[1], Held)

    def test_a_life_without_a_past_is_given_no_horizon(self, site: Site) -> None:
        """I1: a router that rebooted cannot know what its former life promised by lost events."""
        _, answer = site.do(agrees(site, life="b"))

        assert answer == Refused(req="n", reason=Reason.RECOVERING)

    def test_it_ends_when_the_edge_agrees(self, site: Site) -> None:
        """A heartbeat of the life that was asked, behind the recovery's event in this epoch."""
        early = replace(agrees(site), applied=1)
        other = replace(agrees(site), epoch=0)
        assert kinds(site.do(early)[0]) == kinds(site.do(other)[0]) == [HorizonGranted]
        assert kinds(site.do(agrees(site))[0]) == [RecoveryEnded, HorizonGranted]
        assert site.offer(2) == FIRST

    def test_it_ends_when_the_site_was_silent_for_a_horizon(self, site: Site) -> None:
        """I7: after A + Q no promise of a lost event can stand."""
        assert site.wait(14_400 + 119) == []
        assert kinds(tuple(site.wait(2))) == [RecoveryEnded]

    def test_operators_begin_and_end_it(self) -> None:
        """Who restored a copy knows of the loss; who knows that nobody is promised may end it."""
        site = Site()
        assert site.do(EndRecovery(req="x", cause="op"))[1] == Refused(
            req="x", reason=Reason.NOT_RECOVERING
        )
        assert kinds(site.do(StartRecovery(req="x", cause="op"))[0]) == [RecoveryStarted]
        assert site.do(StartRecovery(req="x", cause="op"))[0] == ()
        assert kinds(site.do(EndRecovery(req="x", cause="op"))[0]) == [RecoveryEnded]

    def test_it_begins_once(self, site: Site) -> None:
        """I12: an edge that says again what was heard adds nothing to the log."""
        assert site.do(LOSS) == ((), None)

    def test_the_edge_comes_over_to_a_newer_epoch_only(self) -> None:
        """I5: an edge that has seen this epoch or a newer one is refused until a newer begins."""
        _, answer = Site().do(replace(LOSS, epoch=1))

        assert answer == Refused(req="x", reason=Reason.OLDER_EPOCH)


class TestAdoption:
    def test_what_the_log_does_not_know_is_adopted_once(self, site: Site) -> None:
        """Asking twice gives the same state."""
        assert kinds(site.do(told(1))[0]) == [LeaseAdopted]
        assert site.do(told(1)) == ((), None)

    def test_an_ended_binding_is_adopted_as_one_that_waits_for_its_acknowledgement(
        self, site: Site
    ) -> None:
        """I7: the address is freed r + Q after the edge acknowledged, as ever."""
        assert kinds(site.do(told(1, state="removed"))[0]) == [LeaseAdopted, LeaseRevoked]
        assert site.do(told(1, state="removed"))[0] == ()
        [acked] = site.ack(FIRST, remaining_s=50)
        assert acked.quarantine_s == 170  # type: ignore[union-attr]

    def test_the_edge_knows_better_than_the_log(self) -> None:
        """Who moved to another address by lost events is bound there, and the old one is ended."""
        site = Site()
        first = site.lease(1)
        second = site.lease(2)
        site.do(LOSS)
        events, _ = site.do(told(1, ip=second))

        assert kinds(events) == [LeaseRevoked, LeaseRevoked, LeaseAdopted]
        assert site.ledger.bound[second].mac == 1
        assert set(site.ledger.removed) == {first}

    def test_only_the_life_that_told_of_the_loss_is_believed(self, site: Site) -> None:
        """Nobody is bound by the word of another."""
        assert site.do(told(1, life="b"))[1] == Refused(req="x", reason=Reason.NOT_RECOVERING)
        assert Site().do(told(1))[1] == Refused(req="x", reason=Reason.NOT_RECOVERING)

    def test_two_lives_that_promised_one_address_both_lose_it(self) -> None:
        """I1: never two holders; it rests for H + W + Q and longer than either promise."""
        site = Site()
        ip = site.lease(1)
        site.do(replace(LOSS, incarnation="b"))
        events, answer = site.do(told(2, ip=ip, life="b"))

        assert kinds(events) == [LeaseRevoked, LeaseAdopted, AddressDeclined]
        assert answer == Refused(req="x", reason=Reason.CONFLICT)
        assert site.ledger.removed[ip].declined_s == 14_400 + 120

    def test_a_removal_of_another_life_is_a_conflict_too(self) -> None:
        """I1: who was removed from the address may be promised it as long as who holds it now."""
        timing = Timing(deposed_writer_s=30)
        site = Site(timing=timing)
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="op"))
        site.ack(ip, remaining_s=50)
        site.do(replace(LOSS, incarnation="b"))
        events, answer = site.do(told(2, ip=ip, life="b"))

        assert kinds(events) == [LeaseAdopted, AddressDeclined]
        assert answer == Refused(req="x", reason=Reason.CONFLICT)
        assert site.ledger.removed[ip].declined_s == 14_400 + 30 + 120

    def test_a_removal_is_told_of_by_its_holder_until_it_rests(self) -> None:
        """I7: another's removal says nothing of a holder, and one that rests may end too early."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="op"))
        site.do(LOSS)

        assert is_told(site.ledger, told(1, ip=ip, state="removed"))
        assert not is_told(site.ledger, told(2, ip=ip, state="removed"))
        site.ack(ip, remaining_s=50)
        assert not is_told(site.ledger, told(1, ip=ip, state="removed"))

    def test_an_address_of_no_pool_is_not_adopted(self, site: Site) -> None:
        """I10: what lies in no pool of the site can neither be held nor come back."""
        assert site.do(told(1, ip=FIRST + 99))[1] == Refused(req="x", reason=Reason.NOT_OURS)

    def test_an_adopted_holder_is_as_old_as_the_log(self) -> None:
        """I7: a former life may have promised the address too."""
        site = Site()
        site.do(Heartbeat(edge="bng1", incarnation="b", nonce="n", applied=0))
        site.do(replace(LOSS, incarnation="b"))
        site.do(told(1, life="b"))
        site.do(RevokeLease(req="x", ip=FIRST, cause="op"))
        [acked] = site.ack(FIRST)

        assert acked.remaining_s == 14_400  # type: ignore[union-attr]
