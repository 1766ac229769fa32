"""Looking for expiries: every entry has its turn, and no look takes long."""

from edge_agent.agent.answering import Now
from edge_agent.agent.duties import REPORTS_AT_ONCE, Duties
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.tables import Assignment, Line, PoolOptions, SiteState, subscriber_key
from edge_agent.sync.lines import Lines
from edge_agent.sync.pools import Pools
from edge_agent.sync.projection import Projection
from lease_core.domain.commands import AckRemoval, Command, ReportExpiry
from lease_core.domain.values import Ipv4, Mac

COUNT = 10_000
OVER = range(0, COUNT, 100)
SECOND = 10**9
LEASE_S = 55
NOW = Now(1000 * SECOND, 1000 * SECOND)


def reports(duties: Duties, sent: list[Command], *, begins: bool) -> list[int]:
    """The addresses that one look reports."""
    sent.clear()
    duties.report_expiries(NOW, begins=begins)
    return [report.ip for report in sent if isinstance(report, ReportExpiry)]


def duties_of(over: range, sent: list[Command], lease_s: int = 0) -> Duties:
    """Duties of a table with `COUNT` entries, some of whose promises are over."""
    datapath = MemoryDatapath(COUNT)
    datapath.set_state(SiteState(horizon_boot_ns=NOW.boot_ns + SECOND))
    datapath.put_pool(1, PoolOptions(Ipv4(0), Ipv4(0), Ipv4(1), lease_s, b"", "res-1"))
    for number in range(COUNT):
        binding = Assignment(Ipv4(number), 1, number, Line(7), number + 1)
        datapath.put(subscriber_key(Mac(number + 1)), binding)
        datapath.raise_promise(number, NOW.boot_ns + (0 if number in over else 1))
    projection = Projection(datapath, Lines({"access0": 7}), COUNT)
    return Duties(projection, lambda command: not sent.append(command), NOW)


def test_a_sweep_looks_at_everything_piece_by_piece() -> None:
    """Each look goes through some thousands of entries, all of them once in a sweep; a sweep that
    is over is not begun anew unless it is time (I10, I12)."""
    sent: list[Command] = []
    duties = duties_of(OVER, sent)
    first = reports(duties, sent, begins=True)
    found = [*first]
    while more := reports(duties, sent, begins=False):
        found += more

    assert sorted(found) == list(OVER)
    assert 0 < len(first) <= len(OVER) // 2
    assert reports(duties, sent, begins=False) == []
    assert reports(duties, sent, begins=True) == first


def test_a_look_reports_a_bounded_number() -> None:
    """A table whose every promise is over does not flood the log (I12)."""
    sent: list[Command] = []
    duties = duties_of(range(COUNT), sent)

    assert len(reports(duties, sent, begins=True)) == REPORTS_AT_ONCE


def test_a_binding_without_a_promise_is_taken_to_have_one() -> None:
    """What a former life of the tables promised is not known: nothing is said before a whole lease
    time has passed since the start, on a clock that was slewed ahead too (I1, I7)."""
    sent: list[Command] = []
    duties = duties_of(range(0), sent, LEASE_S)
    datapath = duties._datapath
    datapath._promises.clear()

    assert reports(duties, sent, begins=True) == []
    later = Now(NOW.boot_ns + 12 * LEASE_S // 11 * SECOND, NOW.elapsed_ns + LEASE_S * SECOND)
    datapath.set_state(SiteState(horizon_boot_ns=later.boot_ns + SECOND))
    duties.report_expiries(Now(later.boot_ns - 1, later.elapsed_ns - 1))
    assert sent == []
    duties.report_expiries(later)
    assert len(sent) == REPORTS_AT_ONCE


def test_what_was_promised_is_over_on_a_slewed_clock_too() -> None:
    """A daemon may show a lease of 55 s in 60 s of CLOCK_BOOTTIME: an expiry is reported, and a
    removal acknowledged, as if it had (I7). Longer leases of other pools do not matter."""
    sent: list[Command] = []
    duties = duties_of(range(1), sent, LEASE_S)
    datapath = duties._datapath
    datapath.put_pool(2, PoolOptions(Ipv4(0), Ipv4(0), Ipv4(1), 86_400, b"", "res-2"))
    duties._projection.pools = Pools(datapath)
    datapath.set_state(SiteState(horizon_boot_ns=NOW.boot_ns + 3600 * SECOND))

    for after_s, reported in ((0, 0), (4, 0), (5, 1)):
        now = Now(NOW.boot_ns + after_s * SECOND, NOW.elapsed_ns)
        assert len(duties._over(*next(datapath.rows()), now)) == reported

    [key] = [key for key, found in datapath.entries() if found.ip == 0]
    projection = duties._projection
    projection.remove(key, datapath.lookup(key), ref=COUNT + 1)
    duties.acknowledge(duties.due_removals(NOW), NOW)
    [acked] = [command for command in sent if isinstance(command, AckRemoval)]
    assert acked.remaining_s == 5
