"""What the abuse desk is told where logs cannot be read, or are other ones than before."""

import json

import pytest

from lease_core.cli import common
from lease_core.domain.events import EpochStarted, RecoveryStarted
from lease_core.log.errors import LogUnavailableError
from lease_core.log.memory_log import MemoryLog
from lease_core.log.port import Head
from tests.site import Site
from tests.unit.cli.test_leasectl import MINUTE, Leasectl, clock, leasectl, told, write

__all__ = ["clock", "leasectl", "told"]

HELD = "2025-11-22T08:30:00Z"
"""MAC 1 holds 100.64.0.2, and more was written later."""
LATER = "2025-11-22T09:00:00Z"
"""After the last event that was read."""


@pytest.fixture
def kept(leasectl: Leasectl, told: Site) -> Leasectl:
    """Its history was asked for once, and there is another site."""
    leasectl("site", "add", "fra01")
    leasectl("who", "100.64.0.2")
    return leasectl


@pytest.fixture
def cut_off(kept: Leasectl, monkeypatch: pytest.MonkeyPatch) -> Leasectl:
    """The node that has site ams01 does not answer."""

    class CutOff(MemoryLog):
        async def head(self) -> Head | None:
            if self.site == "ams01":
                raise LogUnavailableError("no route to it")
            return await super().head()

    monkeypatch.setattr(common, "connect", lambda _, site: CutOff(site, kept.server))
    return kept


def test_what_was_known_before_is_told(cut_off: Leasectl) -> None:
    """Up to the last event that was read the answer is whole, and ends as ever."""
    answer = cut_off("who", "100.64.0.2", "--at", HELD)

    assert "00:00:00:00:00:01   line ams01/access0" in answer.stdout
    assert answer.stderr == ""
    cut_off("who", "100.64.0.9", "--at", HELD, code=1)


def test_what_may_be_hidden_is_said(cut_off: Leasectl) -> None:
    """Later nobody can say who holds it, or that nobody does: it ends as in an outage."""
    answer = cut_off("who", "100.64.0.2", "--at", LATER, code=69)
    nobody = cut_off("who", "100.64.0.9", "--at", LATER, code=69)
    of_mac = cut_off("history", "00:00:00:00:00:02", "--json", code=69)

    assert "-> unknown" in answer.stdout
    assert "ams01 is known until 2025-11-22T08:46:" in answer.stderr
    assert "no route to it" in nobody.stderr
    assert json.loads(of_mac.stdout)["ip"] == "100.64.0.2"
    assert "fra01" not in answer.stderr


def test_an_outage_of_everything_is_not_hidden(kept: Leasectl) -> None:
    """There may be sites that nobody has heard of; what is known is shown all the same."""
    kept.server.is_down = True
    answer = kept("who", "100.64.0.2", "--at", HELD, code=69)

    assert "00:00:00:00:00:01" in answer.stdout
    assert "which sites there are is not known" in answer.stderr


def test_a_site_of_which_nothing_is_known_is_said(kept: Leasectl) -> None:
    """It may have had the address at any time."""
    kept("site", "add", "lon01")
    kept.server.site("lon01").head = None
    answer = kept("who", "100.64.0.2", "--at", HELD, code=65)

    assert "nothing is known of lon01: there is no log of site lon01" in answer.stderr


def test_another_log_leaves_the_history_of_the_former(kept: Leasectl) -> None:
    """I11: what was read of the former log is told for its time; the new one is not mixed in."""
    del kept.server.sites["ams01"]
    kept.do(lambda: kept.log().create("ff" * 8))

    assert "00:00:00:00:00:01" in kept("who", "100.64.0.2", "--at", HELD).stdout
    assert "foreign" in kept("who", "100.64.0.2", "--at", LATER, code=65).stderr


def test_what_was_lost_with_a_log_is_said(kept: Leasectl, clock: list[int]) -> None:
    """Between the last event that was read of it and the first of the log made anew nobody can say
    who held an address; before and after that everything is as ever."""
    genesis = kept.server.site("ams01").head.genesis  # type: ignore[union-attr]
    del kept.server.sites["ams01"]
    kept.do(lambda: kept.log().create("ff" * 8))
    clock[0] += 60 * MINUTE
    write(kept, [EpochStarted(cause="first-start")])
    write(kept, [RecoveryStarted(cause="recreated", replaces=genesis)])
    hidden = kept("who", "100.64.0.2", "--at", LATER, code=65)

    assert "nobody is known to have held it" in hidden.stdout
    assert "before    00:00:00:00:00:02 until 2025-11-22T08:46:" in hidden.stdout
    assert "ams01 is not known after 2025-11-22T08:46:" in hidden.stderr
    assert "00:00:00:00:00:01" in kept("who", "100.64.0.2", "--at", HELD).stdout
    assert "nobody held it" in kept("who", "100.64.0.2", "--at", "2025-11-22T12:00Z", code=1).stdout
    assert kept.rows("history", "00:00:00:00:00:02")[0]["ended"] == "NotKnown"
    assert [row["site"] for row in kept.rows("archive")] == ["ams01", "fra01"]


def test_a_site_that_cannot_be_read_keeps_no_other_from_the_archive(cut_off: Leasectl) -> None:
    """The others are archived, and may be cut; the exit code says that one was not."""
    done = cut_off("archive", "--json", code=69)

    assert json.loads(done.stdout)["site"] == "fra01"
    assert "ams01 is known until" in done.stderr
