"""Who may say that a snapshot is right: another process, of the newest one, once."""

import pytest

from lease_core.domain.commands import ConfirmSnapshot, Refused
from lease_core.domain.events import Event, SnapshotTaken, SnapshotVerified
from lease_core.domain.ledger import LedgerError
from lease_core.domain.reasons import Reason
from tests.site import Site

DIGEST = "0f" * 16


@pytest.fixture
def site() -> Site:
    """A site whose newest snapshot covers its first two events."""
    made = Site()
    made.record(SnapshotTaken(covers=2, digest=DIGEST, chunks=1, taker="one#1"))
    return made


def confirm(covers: int = 2, digest: str = DIGEST, verifier: str = "two#2") -> ConfirmSnapshot:
    return ConfirmSnapshot(req="v", covers=covers, digest=digest, verifier=verifier)


def test_another_process_confirms_once(site: Site) -> None:
    """The first confirmation is an event; a second one changes nothing."""
    events, answer = site.do(confirm())
    assert events == (SnapshotVerified(req="v", covers=2, digest=DIGEST, verifier="two#2"),)
    assert answer is None
    assert site.ledger.verified == site.ledger.taken

    assert site.do(confirm(verifier="three#3")) == ((), None)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (confirm(covers=1), Reason.NO_SNAPSHOT),
        (confirm(digest="00" * 16), Reason.OTHER_DIGEST),
        (confirm(verifier="one#1"), Reason.OWN_SNAPSHOT),
    ],
)
def test_anything_else_is_refused(site: Site, command: ConfirmSnapshot, reason: str) -> None:
    """Another snapshot, another digest, or the taker itself: a reason and no event."""
    assert site.do(command) == ((), Refused(req="v", reason=reason))
    assert site.ledger.verified is None


def test_without_a_snapshot_there_is_nothing_to_confirm() -> None:
    """A confirmation that comes before any snapshot is refused."""
    assert Site().do(confirm())[1] == Refused(req="v", reason=Reason.NO_SNAPSHOT)


def test_a_newer_snapshot_is_unconfirmed_beside_the_older_one(site: Site) -> None:
    """What the log may be cut at stays the verified one until the next is verified."""
    site.do(confirm())
    site.record(SnapshotTaken(covers=3, digest="aa" * 16, chunks=1, taker="one#1"))

    assert site.ledger.taken
    assert site.ledger.verified
    assert (site.ledger.taken.covers, site.ledger.verified.covers) == (3, 2)


@pytest.mark.parametrize(
    "event",
    [
        SnapshotTaken(covers=2, digest=DIGEST, chunks=1, taker="one#1"),
        SnapshotTaken(covers=4, digest=DIGEST, chunks=1, taker="one#1"),
        SnapshotVerified(req="v", covers=1, digest=DIGEST, verifier="two#2"),
        SnapshotVerified(req="v", covers=2, digest="00" * 16, verifier="two#2"),
    ],
)
def test_a_log_that_contradicts_itself_halts(site: Site, event: Event) -> None:
    """A snapshot of the future, one out of turn, or a verification of another: LedgerError, and
    the ledger is as it was."""
    before = site.ledger.digest()
    with pytest.raises(LedgerError):
        site.ledger.evolve(site.ledger.seq + 1, 1, event)

    assert site.ledger.digest() == before
