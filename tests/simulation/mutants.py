"""Deliberate bugs: each breaks one rule of safety, so the checkers must find it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

from edge_agent.agent import edge, responses
from edge_agent.agent.duties import Duties
from edge_agent.agent.edge import Edge
from edge_agent.agent.site_record import CURRENT_NS, SiteRecord
from edge_agent.dhcp import fastpath, reply
from edge_agent.sync import follower, projection, reconcile
from edge_agent.sync.follower import MARK_POLL_MAX_S, Follower
from edge_agent.sync.horizon import SECOND_NS, Horizon
from edge_agent.sync.promises import Promises
from lease_core.domain import decide, ledger, speakers
from lease_core.domain.desk import Desk
from lease_core.domain.events import HorizonGranted
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import Site
from lease_core.log.port import Batch
from lease_core.service.committing import Committer
from tests.simulation import seams
from tests.simulation.replicas import Replicas
from tests.simulation.server import SimLog

Patch = Any


def _full_lease(lease_time_s: int, horizon_boot_ns: int, now_boot_ns: int) -> int:
    return lease_time_s if horizon_boot_ns > now_boot_ns else 0


def full_lease() -> list[Patch]:
    """The kernel grants L instead of min(L, E - t)."""
    return [mock.patch.object(fastpath, "grant_s", _full_lease)]


def horizon_from_receipt() -> list[Patch]:
    """E counts from when the grant came instead of when the heartbeat was sent."""

    def grant(self: Horizon, event: HorizonGranted) -> bool:
        if self._sent.pop(event.nonce, None) is None:
            return False
        usable_ns = int(event.horizon_s * SECOND_NS * (1 - seams.RHO))
        now_ns = seams.here().clock.elapsed_ns()
        self._end_elapsed_ns = max(self._end_elapsed_ns, now_ns + usable_ns)
        return True

    return [mock.patch.object(Horizon, "grant", grant)]


def no_drift_allowance() -> list[Patch]:
    """E is H, not H(1 - rho)."""
    return [mock.patch("edge_agent.sync.horizon.RATE_ERROR", 0.0)]


def horizon_after_commit() -> list[Patch]:
    """A is raised when the append is known to have happened, not before."""
    append = Committer._append
    raise_horizon = Desk.raise_horizon

    async def late(self: Committer, batch: Batch) -> Batch:
        done = await append(self, batch)
        if any(isinstance(record.event, HorizonGranted) for record in batch.records):
            raise_horizon(self._site.desk, seams.here().clock.elapsed_ns())
        return done

    return [
        mock.patch.object(Committer, "_append", late),
        mock.patch.object(Desk, "raise_horizon"),
    ]


def quarantine_without_guard() -> list[Patch]:
    """An address rests for r instead of r + Q."""
    acked = decide.RemovalAcked

    def hasty(**fields: Any) -> Any:
        return acked(**fields | {"quarantine_s": fields["remaining_s"]})

    return [mock.patch.object(decide, "RemovalAcked", hasty)]


def quarantine_without_remainder() -> list[Patch]:
    """The edge always says that nothing is promised any more."""
    return [mock.patch.object(Promises, "remaining_s", return_value=0)]


def any_ack_will_do() -> list[Patch]:
    """An acknowledgement is taken for whatever removal of the address stands now."""
    ack = decide._ack

    def loose(book: Any, table: Any, command: Any, now_ns: int) -> Any:
        removal = book.removed.get(command.ip)
        if removal:
            command = decide.AckRemoval(
                req=command.req,
                ip=command.ip,
                ref=removal.seq,
                remaining_s=command.remaining_s,
                incarnation=command.incarnation,
            )
        return ack(book, table, command, now_ns)

    return [mock.patch.object(decide, "_ack", loose)]


def takeover_without_extension() -> list[Patch]:
    """A new allocator believes that nothing was promised before it came."""
    begin = Desk.__init__

    def rash(self: Desk, book: Any, timing: Any, now_ns: int) -> None:
        begin(self, book, timing, now_ns)
        self.horizon_ns = now_ns

    return [mock.patch.object(Desk, "__init__", rash)]


def no_former_life() -> list[Patch]:
    """A rebooted router's forgotten promises are not held back for."""
    return [mock.patch.object(Desk, "retire_life")]


def speaks_before_horizon() -> list[Patch]:
    """A rebooted router acknowledges before the log knows its new life, and nobody asks which."""
    return [
        mock.patch.object(Duties, "_has_horizon", return_value=True),
        mock.patch.object(speakers, "_other_life", return_value=None),
    ]


def stretched_horizon() -> list[Patch]:
    """A restarted agent believes what a slowed clock says of E."""

    def resume(self: Horizon, end_boot_ns: int, *_: int) -> None:
        clock = seams.here().clock
        self._end_elapsed_ns = clock.elapsed_ns() + end_boot_ns - clock.boot_ns()

    return [mock.patch.object(Horizon, "resume", resume)]


def step_forgotten() -> list[Patch]:
    """Only the process that sees a clock stepped doubts the promises."""
    take_over = Edge._take_over

    def trusting(self: Edge, now: Any) -> None:
        found = self.record.state
        self.record.state = replace(
            found,
            held_until_elapsed_ns=0,
            touched_elapsed_ns=found.touched_elapsed_ns and now.elapsed_ns,
            touched_boot_ns=found.touched_boot_ns and now.boot_ns,
        )
        take_over(self, now)

    return [mock.patch.object(Edge, "_take_over", trusting)]


def promise_in_memory() -> list[Patch]:
    """A restarted agent erases the promises that the kernel wrote."""
    take_over = Edge._take_over

    def erase(self: Edge, now: Any) -> None:
        self.datapath._promises.clear()  # type: ignore[attr-defined]
        take_over(self, now)

    return [mock.patch.object(Edge, "_take_over", erase)]


def double_offer() -> list[Patch]:
    """An address whose last holder may still use it counts as free."""
    assign = ledger.Ledger._assign

    def loose(self: ledger.Ledger, event: Any, seq: int) -> None:
        self.removed.pop(event.ip, None)
        assign(self, event, seq)

    def is_free(book: ledger.Ledger, _desk: Any, ip: Any, *_: Any) -> bool:
        return ip not in book.bound

    return [
        mock.patch.object(decide, "_is_free_for", is_free),
        mock.patch.object(ledger.Ledger, "_assign", loose),
    ]


def cursor_before_tables() -> list[Patch]:
    """The cursor moves before the events are in the tables."""
    apply = Edge.apply

    def early(self: Edge, records: Any, end: Any, now: Any) -> None:
        self.record.move_to(end)
        apply(self, records, end, now)

    return [mock.patch.object(Edge, "apply", early)]


def ack_before_removal() -> list[Patch]:
    """The edge acknowledges a removal and goes on answering."""
    return [mock.patch.object(projection.Projection, "_take_out")]


def lines_ignored() -> list[Patch]:
    """The kernel answers a binding on any line."""

    def anywhere(tables: Any, mac_key: int, *_: Any) -> Any:
        found = tables.lookup(mac_key)
        if found is None:
            return fastpath.Counter.PASS_UNKNOWN_CLIENT
        return fastpath._Binding(mac_key, found, tables.pool(found.pool_id))

    return [mock.patch.object(fastpath, "_find_binding", anywhere)]


def answered_before_appended() -> list[Patch]:
    """A client is answered by the offer alone: ACK without an assignment in the log."""

    def instead(request: Any, **fields: Any) -> Any:
        return reply.ack(request, **fields)

    return [mock.patch.object(responses.reply, "offer", instead)]


def fenced_goes_on() -> list[Patch]:
    """The log takes appends of any epoch, at any end."""
    check = MemoryLog._check

    def lax(self: MemoryLog, site: Any, head: Any, batch: Any) -> None:
        before = batch.before
        head = replace(head, epoch=batch.after.epoch, seq=before.seq, h=before.h)
        check(self, site, head, batch)

    return [mock.patch.object(MemoryLog, "_check", lax)]


def dropped_port_forgotten() -> list[Patch]:
    """What was promised on a port goes with it."""
    return [
        mock.patch.object(reconcile, "_is_unserved", return_value=False),
        mock.patch.object(Promises, "longest_in", return_value=0),
    ]


def refuses_what_it_cannot_know() -> list[Patch]:
    """An edge that does not follow the log up to now says NAK."""

    def rash(self: SiteRecord, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self._write(current_until_boot_ns=self.state.touched_boot_ns + CURRENT_NS)

    return [mock.patch.object(SiteRecord, "_write_current", rash)]


def keeps_its_promises_to_itself() -> list[Patch]:
    """An edge comes over to a log that lost events without a word of what it promised."""
    return [mock.patch.object(edge, "unknown_to", return_value=[])]


def beyond_the_mark() -> list[Patch]:
    """An edge acts on what its server has, be it held by replicas or not."""
    return [mock.patch.object(follower, "_mark_of", return_value=None)]


def mark_is_a_number() -> list[Patch]:
    """An edge takes whatever has a number below the mark for held by replicas."""

    async def held(self: Follower, came: Any) -> Any:
        await self._read_mark()
        while self._is_beyond_mark(came.records):
            await asyncio.sleep(MARK_POLL_MAX_S)
            await self._read_mark()
        return came

    return [mock.patch.object(Follower, "_held", held)]


def mark_without_waiting() -> list[Patch]:
    """An allocator says that replicas hold what it has only written."""
    return [mock.patch.object(SimLog, "_wait")]


def any_replica_will_do() -> list[Patch]:
    """One replica is enough where two must hold it."""

    def first(self: Replicas, written_at_s: float, now_s: float) -> bool:
        return any(
            written_at_s + replica.word_s <= min(now_s, replica.stalled_at_s)
            for replica in self.each
        )

    return [mock.patch.object(Replicas, "have_said", first)]


def leads_on_after_promotion() -> list[Patch]:
    """A leadership is good for every server that has a copy of it (ADR 12)."""
    return [mock.patch.object(Site, "is_led_here", new=True)]


def removals_forgotten() -> list[Patch]:
    """The edge never acknowledges what it removed."""
    return [mock.patch.object(Duties, "acknowledge")]


MUTANTS: dict[str, Callable[[], list[Patch]]] = {
    mutant.__name__: mutant
    for mutant in (
        full_lease,
        horizon_from_receipt,
        no_drift_allowance,
        horizon_after_commit,
        quarantine_without_guard,
        quarantine_without_remainder,
        any_ack_will_do,
        takeover_without_extension,
        no_former_life,
        speaks_before_horizon,
        stretched_horizon,
        step_forgotten,
        promise_in_memory,
        double_offer,
        cursor_before_tables,
        ack_before_removal,
        lines_ignored,
        answered_before_appended,
        fenced_goes_on,
        dropped_port_forgotten,
        refuses_what_it_cannot_know,
        keeps_its_promises_to_itself,
        beyond_the_mark,
        mark_is_a_number,
        mark_without_waiting,
        any_replica_will_do,
        leads_on_after_promotion,
        removals_forgotten,
    )
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The product with one deliberate bug. To be entered inside `simulated`."""
    patches = MUTANTS[name]()
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()
