"""An edge speaks for its own site and its present life; nobody speaks for others."""

import pytest

from lease_core.domain.commands import (
    AckRemoval,
    Command,
    ConfirmSnapshot,
    Heartbeat,
    ReleaseLease,
    ReportExpiry,
    ReportLoss,
    RequestOffer,
    RevokeLease,
)
from lease_core.domain.reasons import Reason
from lease_core.domain.speakers import may_not_say
from lease_core.domain.values import Ipv4, Mac
from tests.site import FIRST, Site

OFFER = RequestOffer(req="r", mac=Mac(1), line="access0")
RELEASE = ReleaseLease(req="r", mac=Mac(1), line="access0", ip=FIRST)
REVOKE = RevokeLease(req="r", ip=FIRST, cause="abuse")
CONFIRM = ConfirmSnapshot(req="r", covers=1, digest="0" * 32, verifier="core-2#77aa")
BEAT = Heartbeat(edge="bng1", incarnation="b", nonce="n", applied=0)


def ack(life: str) -> AckRemoval:
    return AckRemoval(req="r", ip=Ipv4(FIRST), ref=1, remaining_s=0, incarnation=life)


def expiry(life: str) -> ReportExpiry:
    return ReportExpiry(
        req="r", mac=Mac(1), line="access0", ip=Ipv4(FIRST), ref=1, incarnation=life
    )


def loss(life: str) -> ReportLoss:
    return ReportLoss(req="r", edge="bng1", incarnation=life, epoch=0, applied=9)


@pytest.fixture
def site() -> Site:
    """Served by bng1 in life b; life a is retired."""
    made = Site()
    made.do(BEAT)
    return made


@pytest.mark.parametrize(
    ("by", "command", "reason"),
    [
        ("bng1", OFFER, None),
        ("bng2", OFFER, Reason.OTHER_EDGE),
        ("bng1", RELEASE, None),
        ("bng2", RELEASE, Reason.OTHER_EDGE),
        ("bng1", BEAT, None),
        ("bng2", BEAT, Reason.OTHER_EDGE),
        ("bng1", ack("b"), None),
        ("bng2", ack("b"), Reason.OTHER_EDGE),
        ("bng1", ack("a"), Reason.FORMER_LIFE),
        ("bng1", ack("c"), Reason.OTHER_LIFE),
        ("bng1", expiry("b"), None),
        ("bng1", expiry("a"), Reason.FORMER_LIFE),
        ("operator:anna", expiry("b"), Reason.OTHER_EDGE),
        ("operator:anna", REVOKE, None),
        ("bng1", REVOKE, Reason.NOT_OPERATOR),
        ("operator", REVOKE, Reason.NOT_OPERATOR),
        ("bng1", loss("b"), None),
        ("bng2", loss("b"), Reason.OTHER_EDGE),
        ("bng1", loss("a"), Reason.FORMER_LIFE),
        ("core-2", CONFIRM, None),
        ("operator:anna", CONFIRM, None),
        ("bng1", CONFIRM, Reason.NOT_VERIFIER),
    ],
)
def test_who_may_say_what(site: Site, by: str, command: Command, reason: Reason | None) -> None:
    """Each command has its speakers; anybody else is refused with a counted reason."""
    assert may_not_say(site.ledger, by, command) == reason


def test_before_the_first_horizon_no_life_says_what_it_promised() -> None:
    """A site without a life has nothing to acknowledge."""
    site = Site()
    site.ledger.edge = None

    assert may_not_say(site.ledger, "bng1", ack("a")) is Reason.OTHER_LIFE
    assert may_not_say(site.ledger, "bng1", OFFER) is None
