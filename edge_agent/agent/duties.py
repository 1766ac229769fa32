"""Duties: what the edge owes the allocator, so that addresses come back.

An acknowledgement of every removal with what is still promised, and a report of every binding
whose promises have all passed. Both are said again until the log shows that they were heard.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from edge_agent.agent.answering import Now, SendCommand
from edge_agent.dhcp.tables import Assignment, Line, SubscriberKey, holder, key_mac
from edge_agent.sync.projection import Projection
from edge_agent.sync.recount import Recount
from edge_agent.sync.removals import NO_SLOT, TOMBSTONE, Removal, discriminator
from lease_core.domain.commands import AckRemoval, ReportExpiry
from lease_core.domain.values import Ipv4, Mac

SECOND_NS = 1_000_000_000
REPEAT_ACK_NS = 10 * SECOND_NS
MAX_REPORTS = 1000
SWEPT_AT_ONCE = 20_000
"""Entries that one look for expiries goes through: some tens of milliseconds."""


class Duties:
    def __init__(self, projection: Projection, send_command: SendCommand, started: Now) -> None:
        """`started` is when this process took the tables over."""
        self._projection = projection
        self._datapath = projection.datapath
        self._send_command = send_command
        self._started = started
        self._repeat_ns: dict[int, int] = {}
        self._recount = Recount(projection)
        self._sweep: Iterator[tuple[SubscriberKey, Assignment]] | None = None

    def due_removals(self, now: Now) -> list[Removal]:
        """Removals whose acknowledgement is due, for the first time or again.

        Call `datapath.grace` between this and `acknowledge`: a packet in flight may still be
        answered by an entry that is gone.
        """
        if not self._has_horizon(now):
            return []
        owed = {removal.ref: removal for removal in self._projection.removals}
        self._repeat_ns = {ref: at for ref, at in self._repeat_ns.items() if ref in owed}
        due = (r for r in owed.values() if now.elapsed_ns >= self._repeat_ns.get(r.ref, 0))
        return list(islice(due, MAX_REPORTS))

    def _has_horizon(self, now: Now) -> bool:
        """Whether the log knows this life of the tables, and these tell of promises as they are.

        Before its first horizon the allocator would take what a rebooted router says, whose
        promises are lost, for the word of the former life that made them (I7).
        """
        state = self._datapath.state()
        is_known = state.horizon_boot_ns > now.boot_ns
        return is_known and now.elapsed_ns >= state.held_until_elapsed_ns

    def acknowledge(self, removals: Iterable[Removal], now: Now) -> None:
        """Say what removed holders are still promised, unless a clock was stepped meanwhile."""
        if not self._has_horizon(now):
            return
        incarnation = self._datapath.state().life
        for removal in removals:
            if self._projection.removals.of(removal.ip) != removal:
                continue
            command = AckRemoval(
                req=f"ack-{removal.ref}",
                ip=removal.ip,
                ref=removal.ref,
                remaining_s=self._projection.remaining_s(removal, now.boot_ns),
                incarnation=incarnation,
            )
            if self._send_command(command):
                self._repeat_ns[removal.ref] = now.elapsed_ns + REPEAT_ACK_NS

    def report_expiries(self, now: Now) -> None:
        """Report bindings whose every promise has passed; the log decides (DESIGN section 4).

        Looks at the next `SWEPT_AT_ONCE` entries, and begins anew after the last, so that a full
        table does not keep clients waiting; and at the bindings that have no place there.
        """
        if not self._has_horizon(now):
            return
        if self._sweep is None:
            self._sweep = self._datapath.entries()
            self._recount.begin(now.elapsed_ns)
        entries = list(islice(self._sweep, SWEPT_AT_ONCE))
        self._recount.see(entries)
        if len(entries) < SWEPT_AT_ONCE:
            self._sweep = None
            self._recount.end(now.elapsed_ns)
        over = (
            (holder(key, found), found.line, found.ip, found.seq)
            for key, found in entries
            if self._is_over(key, found, now)
        )
        unserved = (
            (key_mac(each.key), each.line, each.ip, each.ref)
            for each in self._projection.removals.unserved()
            if self._has_passed(each.slot, self._projection.longest_lease_s, now)
        )
        for mac, line, ip, ref in islice(chain(over, unserved), MAX_REPORTS):
            self._report(mac, line, ip, ref)

    def _report(self, mac: Mac, line: Line, ip: Ipv4, ref: int) -> None:
        self._send_command(
            ReportExpiry(
                req=f"expiry-{ref}",
                mac=mac,
                line=self._projection.lines.text(line),
                ip=ip,
                ref=ref,
                incarnation=self._datapath.state().life,
            )
        )

    def _is_over(self, key: SubscriberKey, found: Assignment, now: Now) -> bool:
        """Whether no promise of a binding that is answered can stand."""
        if discriminator(key) >= TOMBSTONE or found.slot == NO_SLOT:
            return False
        pool = self._datapath.pool(found.pool_id)
        has_passed = self._has_passed(found.slot, pool.lease_time_s if pool else 0, now)
        return has_passed and self._datapath.lookup(key) == found

    def _has_passed(self, slot: int, lease_time_s: int, now: Now) -> bool:
        """Whether no promise of a slot can stand.

        Promises of a former life of the tables are not known: for a whole lease time after the
        start, a binding without a promise is taken to have one.
        """
        end_ns = self._datapath.promise(slot)
        return (end_ns or self._started.boot_ns + lease_time_s * SECOND_NS) <= now.boot_ns
