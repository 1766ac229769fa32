"""What tables promise that a log does not know, and when an edge may come over to it."""

from dataclasses import replace

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.sync.inventory import LONGEST_GUARD_NS, unknown_to
from edge_agent.sync.lines import Lines
from edge_agent.sync.reconcile import reconcile
from edge_agent.sync.removals import NO_SLOT
from lease_core.domain.commands import ReleaseLease, ReportBinding, ReportLoss
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Mac
from tests.site import Site, pool_added
from tests.unit.sync.histories import open_tables, projection_of, records_of
from tests.unit.sync.test_projection import NOW_BOOT, SECOND, applied


def unknown(site: Site, ledger: Ledger, now_ns: int = NOW_BOOT) -> list[ReportBinding]:
    projection = applied(site)
    return unknown_to(ledger, projection.datapath, projection.lines, "bng1", now_ns)


def a_site() -> Site:
    """Two subscribers hold addresses, a third gave its own back and the log knows that."""
    site = Site(size=4)
    site.lease(1)
    site.lease(2)
    ip = site.lease(3)
    site.do(ReleaseLease(req="x", mac=Mac(3), line="access0", ip=ip))
    site.ack(ip, remaining_s=3600)
    return site


def test_the_log_that_was_followed_knows_everything_but_what_it_lets_rest() -> None:
    """An acknowledged removal alone would be told again: it is owed anew to a log that lost it."""
    site = a_site()

    assert [report.state for report in unknown(site, site.ledger)] == ["removed"]


def test_every_promise_is_told_to_a_log_that_lost_it_until_it_knows_it() -> None:
    """I1: bindings and removals, acknowledged ones too; adopted, nothing is missing."""
    site, lost = a_site(), Ledger()
    lost.evolve(1, 1, pool_added(4))
    reports = unknown(site, lost)
    assert [(int(r.mac), r.state) for r in reports] == [
        (3, "removed"),
        (1, "bound"),
        (2, "bound"),
    ]

    other = Site(size=4)
    life = reports[0].incarnation
    other.ledger.edge = None
    other.do(ReportLoss(req="x", edge="bng1", incarnation=life, epoch=0, applied=9))
    for report in reports:
        other.do(replace(report, incarnation=life))
    assert unknown(site, other.ledger) == []


def test_a_promise_is_told_until_q_has_passed_for_any_site() -> None:
    """I7: what ended a moment ago still keeps strangers away."""
    site, lost = a_site(), Ledger()
    end_ns = NOW_BOOT + 3600 * SECOND

    assert len(unknown(site, lost, end_ns + LONGEST_GUARD_NS - 1)) == 3
    assert unknown(site, lost, end_ns + LONGEST_GUARD_NS) == []


def test_tables_rebuilt_after_a_reboot_remember_what_rests() -> None:
    """I7: a router that was rebooted tells a log that lost them of removals it never saw."""
    site, lost = a_site(), Ledger()
    lost.evolve(1, 1, pool_added(4))
    projection = projection_of(open_tables())
    reconcile(projection, site.ledger, NOW_BOOT)
    reports = unknown_to(lost, projection.datapath, projection.lines, "bng1", NOW_BOOT)

    assert [(int(r.mac), r.line, r.state) for r in reports] == [
        (3, "access0", "removed"),
        (1, "access0", "bound"),
        (2, "access0", "bound"),
    ]
    assert reports[0].remaining_s >= 3600


def test_what_nobody_can_be_promised_is_not_told() -> None:
    """I2: an entry whose check word is wrong, and one that has no slot for a promise."""
    site, lost = Site(size=4), Ledger()
    site.lease(1)
    site.lease(2)
    projection = applied(site)
    (damaged, first), (without, second) = list(projection.datapath.entries())
    projection.datapath.put(damaged, replace(first, check_ok=False))
    projection.datapath.put(without, replace(second, slot=NO_SLOT))

    assert unknown_to(lost, projection.datapath, projection.lines, "bng1", NOW_BOOT) == []


def test_what_only_a_former_life_can_have_promised_is_told_however_late() -> None:
    """I7: a binding read from the log without a horizon has no promise of this life."""
    site, lost = a_site(), Ledger()
    projection = projection_of(MemoryDatapath(64), records_of(site.log))
    late_ns = NOW_BOOT + 10 * LONGEST_GUARD_NS

    assert len(unknown_to(lost, projection.datapath, projection.lines, "bng1", late_ns)) == 3


def test_what_has_no_place_here_is_told_to_a_log_that_lost_it() -> None:
    """I1: a binding on a line that is none of ours any more is no news to a log that has it."""
    site, lost = Site(size=4), Ledger()
    site.lease(1)
    projection = applied(site)
    lines = Lines({"access1": 8})
    reconcile(projection_of(projection.datapath, lines=lines), site.ledger, NOW_BOOT)  # type: ignore[arg-type]

    def told(ledger: Ledger) -> list[str]:
        reports = unknown_to(ledger, projection.datapath, lines, "bng1", NOW_BOOT)
        return [report.state for report in reports]

    assert (told(site.ledger), told(lost)) == ([], ["removed"])
