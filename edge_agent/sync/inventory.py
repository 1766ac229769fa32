"""The inventory: what these tables promise and a log does not know.

An edge whose log went back, or was replaced, comes over to the new one only when that knows of
every promise that stands, or ended less than Q ago; until then it tells what is missing (I1, I7).
"""

from edge_agent.datapath.port import Datapath
from edge_agent.dhcp.tables import Assignment, SubscriberKey, holder
from edge_agent.sync.lines import Lines
from edge_agent.sync.removals import NO_SLOT, TOMBSTONE, UNSERVED_POOL, discriminator
from lease_core.domain.commands import ReportBinding
from lease_core.domain.ledger import Ledger
from lease_core.domain.recovery import is_told

SECOND_NS = 1_000_000_000
LONGEST_GUARD_NS = 3600 * SECOND_NS
"""The longest Q of any site: so long after its end a promise keeps strangers away.

A promise of no time at all is one that only a former life of these tables can have made.
"""


def unknown_to(
    ledger: Ledger, datapath: Datapath, lines: Lines, edge: str, now_boot_ns: int
) -> list[ReportBinding]:
    """Reports of every such promise that the ledger does not know; ended bindings first.

    What stands on a line that has no name here any more is told as removed, so that it ends.
    `now_boot_ns` is for a clock that nobody slewed ahead; 0 = it says nothing of promises: all of
    them are taken to stand.
    """
    incarnation = datapath.state().life
    reports = []
    for key, found in datapath.entries():
        if not found.check_ok or found.slot == NO_SLOT:
            continue
        end_ns = datapath.promise(found.slot)
        left_ns = end_ns - now_boot_ns
        if end_ns and left_ns <= -LONGEST_GUARD_NS:
            continue
        line = lines.text(found.line)
        has_name = lines.parse(line) == found.line
        report = ReportBinding(
            req=f"inventory-{found.ip:x}",
            edge=edge,
            incarnation=incarnation,
            mac=holder(key, found),
            line=line,
            ip=found.ip,
            state="bound" if has_name and _is_bound(key, found) else "removed",
            remaining_s=max(0, -(-left_ns // SECOND_NS)),
        )
        bound = ledger.bound.get(found.ip)
        is_known = not has_name and _is_bound(key, found) and bound and bound.mac == report.mac
        if not (is_known or is_told(ledger, report)):
            reports.append(report)
    return sorted(reports, key=lambda report: (report.state == "bound", report.ip))


def _is_bound(key: SubscriberKey, found: Assignment) -> bool:
    """Whether it stands, served or not."""
    return discriminator(key) < TOMBSTONE or found.pool_id == UNSERVED_POOL
