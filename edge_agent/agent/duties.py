"""Duties: what the edge owes the allocator, so that addresses come back.

An acknowledgement of every removal with what is still promised, and a report of every binding
whose promises have all passed. Both are said again until the log shows that they were heard.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from edge_agent.agent.answering import Now, SendCommand
from edge_agent.datapath.columns import Rows, Slots, discriminators
from edge_agent.dhcp.tables import Line, SubscriberKey, holder, key_mac
from edge_agent.sync.clock_watch import SLEW_DIVISOR
from edge_agent.sync.projection import Projection
from edge_agent.sync.recount import Recount
from edge_agent.sync.removals import NO_SLOT, TOMBSTONE, Removal
from lease_core.domain.commands import AckRemoval, ReportExpiry
from lease_core.domain.mixing import Words
from lease_core.domain.values import Ipv4, Mac

SECOND_NS = 1_000_000_000
REPEAT_ACK_NS = 10 * SECOND_NS
MAX_REPORTS = 1000
REPORTS_AT_ONCE = 200
"""Expiries that one look reports."""


class Duties:
    def __init__(self, projection: Projection, send_command: SendCommand, started: Now) -> None:
        """`started` is when this process took the tables over."""
        self._projection = projection
        self._datapath = projection.datapath
        self._send_command = send_command
        self._started = started
        self._repeat_ns: dict[int, int] = {}
        self._recount = Recount(projection)
        self._sweep: Iterator[tuple[Words, Rows]] = iter(())

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
            unslewed_ns = self._projection.promises.unslewed_ns(now.boot_ns, removal.pool_id)
            command = AckRemoval(
                req=f"ack-{removal.ref}",
                ip=removal.ip,
                ref=removal.ref,
                remaining_s=self._projection.promises.remaining_s(removal, unslewed_ns),
                incarnation=incarnation,
            )
            if self._send_command(command):
                self._repeat_ns[removal.ref] = now.elapsed_ns + REPEAT_ACK_NS

    def report_expiries(self, now: Now, *, begins: bool = True) -> None:
        """Report bindings whose every promise has passed; the log decides (DESIGN section 4).

        Looks at the next thousands of entries, some milliseconds of work, so that a full table
        does not keep clients waiting. After the last of them it begins anew, if it `begins`, also
        with the bindings that have no place there.
        """
        if not self._has_horizon(now):
            return
        chunk = next(self._sweep, None)
        if chunk is None:
            self._recount.end(now.elapsed_ns)
        if chunk is None and begins:
            self._report_unserved(now)
            self._sweep = self._datapath.rows()
            self._recount.begin(now.elapsed_ns)
            chunk = next(self._sweep, None)
        if chunk is None:
            return
        self._recount.see(*chunk)
        for key in self._over(*chunk, now):
            found = self._datapath.lookup(key)
            if found:
                self._report(holder(key, found), found.line, found.ip, found.seq)

    def _over(self, keys: Words, rows: Rows, now: Now) -> list[SubscriberKey]:
        """Some of the bindings that are answered and of which no promise can stand."""
        are_live = (discriminators(keys) < TOMBSTONE) & (rows["slot"] != NO_SLOT)
        pool_ids, pool = np.unique(rows["pool_id"], return_inverse=True)
        pools = map(self._datapath.pool, pool_ids.tolist())
        lease_times_s = [found.lease_time_s if found else 0 for found in pools]
        ends = self._ends(rows["slot"], np.array(lease_times_s, np.uint64)[pool])
        over: list[SubscriberKey] = keys[are_live & (ends <= now.boot_ns)].tolist()
        return over[:REPORTS_AT_ONCE]

    def _ends(self, slots: Slots, lease_times_s: Words) -> Words:
        """When the last promise of each slot ends, also on a clock that was slewed ahead (I7).

        Promises of a former life of the tables are not known: for a whole lease time after the
        start, a binding without a promise is taken to have one.
        """
        ends = self._datapath.promises(slots)
        lease_times_ns = lease_times_s * np.uint64(SECOND_NS)
        unknown = np.uint64(self._started.boot_ns) + lease_times_ns
        slewed: Words = lease_times_ns // np.uint64(SLEW_DIVISOR)
        return np.where(ends, ends, unknown) + slewed

    def _report_unserved(self, now: Now) -> None:
        unserved = self._projection.removals.unserved()
        slots = np.array([each.slot for each in unserved], np.uint32)
        lease_s = np.full(len(slots), self._projection.promises.longest_lease_s, np.uint64)
        over = np.flatnonzero(self._ends(slots, lease_s) <= now.boot_ns).tolist()
        for each in (unserved[at] for at in over[:MAX_REPORTS]):
            self._report(key_mac(each.key), each.line, each.ip, each.ref)

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
