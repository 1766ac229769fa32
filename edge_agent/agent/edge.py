"""The edge: tables, horizon and slow path of one router, put together without input or output.

Flow: frames, records and answers in; frames and commands out through the functions it is given;
time is told to it. `runtime` drives it with sockets and Redis, tests with their own clock.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from edge_agent.agent.duties import Duties
from edge_agent.agent.kernel_notices import KernelNotices
from edge_agent.agent.request_ids import request_ids
from edge_agent.agent.site_record import SiteRecord
from edge_agent.agent.slow_path import Now, SendCommand, SendFrame, SlowPath
from edge_agent.agent.stock import Stock
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.port import Datapath
from edge_agent.sync.clock_watch import ClockWatch
from edge_agent.sync.far_clock import FarClock
from edge_agent.sync.follower import LOST, ContradictionError, Following
from edge_agent.sync.horizon import Horizon
from edge_agent.sync.inventory import unknown_to
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import Projection
from lease_core.audit import tell_records
from lease_core.domain.commands import Command, Heartbeat, ReportBinding, ReportLoss
from lease_core.domain.events import (
    LEASE_VERSION,
    EpochStarted,
    HorizonGranted,
    LeaseAssigned,
    Record,
    RecoveryEnded,
    RecoveryStarted,
)
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.log.port import Answered
from lease_core.log.reader import Position
from lease_core.log.runs import Run, granted_of, parts_of

MISSED_BEATS = 3
SECOND_NS = 1_000_000_000
MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    site: str
    edge: str
    max_subscribers: int


class Edge:
    """`following` is set by whoever follows the log; the rest follows from events."""

    def __init__(
        self,
        identity: Identity,
        datapath: Datapath,
        lines: Lines,
        *,
        send_frame: SendFrame,
        send_command: SendCommand,
        now: Now,
        per_line: Mapping[int, int] = MappingProxyType({}),
        links: int = 1,
    ) -> None:
        """Take over the tables as they are: empty, or left by a former process.

        `per_line` limits how many subscribers a line may have, by ifindex; absent = any number.
        `links` is how many have strangers who are offered addresses of the stock.
        """
        self.identity = identity
        self.datapath = datapath
        self.projection = Projection(
            datapath, lines, identity.max_subscribers, identity.site, limited=per_line
        )
        self.horizon = Horizon()
        self.unanswered = 0
        """Heartbeats sent since the last one that was answered."""
        self.must_ask = False
        """Whether E was given up: a heartbeat is due now."""
        self._clocks = ClockWatch(now.boot_ns, now.elapsed_ns)
        self._far_clock = FarClock()
        self.following = Following.CATCHING_UP
        self._send_command = send_command
        new_req = request_ids()
        self.stock = Stock(datapath, self.projection.pools, self._send_unless_lost, new_req, links)
        self.slow_path = SlowPath(
            identity.site,
            datapath,
            self.projection,
            send_frame=send_frame,
            send_command=self._send_unless_lost,
            stock=self.stock,
            new_req=new_req,
            per_line=per_line,
        )
        self.duties = Duties(self.projection, self._send_unless_lost, now)
        self.is_ready = False
        self._audit = structlog.get_logger("edge").bind(site=identity.site, edge=identity.edge)
        self.notices = KernelNotices(datapath, lines, self._audit)
        self.record = SiteRecord(datapath, lines.fingerprint())
        self._take_over(now)

    def _take_over(self, now: Now) -> None:
        """Go on with the tables, as long as the clocks tell how long they may be trusted."""
        state = self.record.state
        self.horizon.resume(state.horizon_boot_ns, state.touched_boot_ns, state.touched_elapsed_ns)
        self.record.take_over()
        former = ClockWatch(state.touched_boot_ns, state.touched_elapsed_ns)
        if state.touched_boot_ns and not former.are_steady(*now):
            self._distrust_clocks(former)
        self.touch(now)

    def _send_unless_lost(self, command: Command) -> bool:
        """Ask nothing of a log that is not the one these tables are of: it knows other events."""
        return self.following not in LOST and self._send_command(command)

    # --- from the log ---

    @property
    def may_lack(self) -> bool:
        """Full tables may not even remember every binding that has no place in them."""
        return self.projection.slots.is_full

    def set_following(self, following: Following) -> None:
        """What the follower does now: up to date, or not."""
        self.following = following
        self.record.follows(is_live=following is Following.LIVE)
        self._tell_when_ready()

    def _tell_when_ready(self) -> None:
        if self.record.may_answer and self.following is Following.LIVE and not self.is_ready:
            self.is_ready = True
            self._audit.info("edge.ready", datapath=self.datapath.kind)

    def apply(self, records: Sequence[Record], end: Position, now: Now) -> None:
        """Apply a batch: the cursor says before and after what of it is in the tables (I4).

        Raises:
            ContradictionError: one cannot be applied; those before it were, and the cursor says so.
        """
        self.record.begin_to(end.seq)
        fault, done = None, 0
        try:
            for applied in self._applying(records, now):
                done += applied
        except LedgerError as error:
            records = records[:done]
            end = _end_of(records, self.record.position() or end)
            fault = ContradictionError(end, str(error))
        self.record.move_to(end)
        tell_records(self._audit, "applied", records)
        if self.slow_path.waiting or self.stock:
            self._heed(records, now)
        self.slow_path.settle(end.seq, now)
        if fault:
            raise fault

    def _heed(self, records: Sequence[Record], now: Now) -> None:
        """Answer who waited for these, and offer their addresses to nobody else."""
        all_granted = list(granted_of(records))
        self.stock.take_out(granted.ip for granted in all_granted)
        for granted in all_granted:
            self.slow_path.granted(granted, now)

    def _applying(self, records: Sequence[Record], now: Now) -> Iterator[int]:
        """Apply records step by step; after each, how many went with it."""
        for part in parts_of(records):
            if isinstance(part, Run) and part.kind is LeaseAssigned:
                yield from self.projection.apply_run(part, now.boot_ns)
            else:
                for record in part:
                    self._apply_one(record, now)
                    yield 1

    def _apply_one(self, record: Record, now: Now) -> None:
        self.projection.apply(record, now.boot_ns)
        event = record.event
        if isinstance(event, HorizonGranted):
            self._grant(event, record.epoch, now)
        elif isinstance(event, RecoveryStarted | RecoveryEnded):
            self.recovers(isinstance(event, RecoveryStarted))
        elif isinstance(event, EpochStarted):
            self.stock.clear()

    def recovers(self, is_so: bool) -> None:
        """Whether the log lost events and may not know yet all that was promised."""
        self.stock.clear()
        self.record.recovers(is_so=is_so)

    def answer(self, answers: Sequence[Answered], now: Now) -> None:
        for answered in answers:
            if not self.stock.answered(answered.answer, now):
                self.slow_path.answered(answered.answer, self.record.state.cursor_lo, now)

    def _grant(self, event: HorizonGranted, epoch: int, now: Now) -> None:
        if self._has_stood_still(event, epoch, now):
            self.touch(now)
        elif self.horizon.grant(event):
            if self.unanswered > MISSED_BEATS:
                self._audit.info("horizon.answered", unanswered=self.unanswered)
            self.unanswered = 0
            self.touch(now)
            self._tell_when_ready()
        else:
            self.heed_life(event.incarnation, now)

    def _has_stood_still(self, event: HorizonGranted, epoch: int, now: Now) -> bool:
        """Whether the machine was paused with its clocks; then E is given up (I6).

        Promises look longer than they are by as much, so what is said of them holds.
        """
        sent_ns = self.horizon.sent_ns(event.nonce)
        if sent_ns is None or not event.elapsed_ms:
            return False
        stood_ns = self._far_clock.stood_still_ns(
            epoch, event.elapsed_ms * MILLISECOND, sent_ns, now.elapsed_ns
        )
        if not stood_ns:
            return False
        self.horizon.forfeit()
        self.must_ask = True
        self._audit.critical("clock.stopped", stood_ms=stood_ns // MILLISECOND)
        return True

    def heed_life(self, incarnation: str, now: Now) -> None:
        """Promise nothing more if the site is served by another life than ours (I1)."""
        if incarnation != self.record.state.life and self.horizon.remaining_s(now.elapsed_ns):
            self.horizon.forfeit()
            self.touch(now)
            self._audit.critical("horizon.forfeited", life=incarnation)

    # --- time ---

    def heartbeat(self, now: Now) -> Heartbeat:
        """The next heartbeat; the horizon counts from this moment. Said once if nobody answers."""
        self.unanswered += 1
        self.must_ask = False
        if self.unanswered == MISSED_BEATS + 1:
            left_s = int(self.horizon.remaining_s(now.elapsed_ns))
            self._audit.error("horizon.unanswered", missed=MISSED_BEATS, left_s=left_s)
        nonce = secrets.token_hex(6)
        self.horizon.beat(nonce, now.elapsed_ns)
        state = self.record.state
        return Heartbeat(
            edge=self.identity.edge,
            incarnation=state.life,
            nonce=nonce,
            applied=state.cursor_lo,
            epoch=state.epoch,
            genesis=state.genesis.hex(),
            elapsed_ms=now.elapsed_ns // MILLISECOND,
            reads=LEASE_VERSION,
        )

    def unknown_to(self, ledger: Ledger, now: Now) -> list[ReportBinding]:
        """What these tables promise and the ledger does not know.

        Lines of tables that were made for other interfaces have no name now (I8).
        """
        lines = Lines({}) if self.record.needs_rebuild else self.projection.lines
        is_held = now.elapsed_ns < self.record.state.held_until_elapsed_ns
        return unknown_to(
            ledger,
            self.datapath,
            lines,
            self.identity.edge,
            0 if is_held else self.projection.promises.unslewed_ns(now.boot_ns),
        )

    def loss(self) -> ReportLoss:
        """What to say to a log that does not go on from what was applied."""
        state = self.record.state
        return ReportLoss(
            req=f"loss-{state.cursor_lo}",
            edge=self.identity.edge,
            incarnation=state.life,
            epoch=state.epoch,
            applied=state.cursor_lo,
        )

    def touch(self, now: Now) -> None:
        """Tell the kernel program that we are alive, and E on its clock."""
        if not self._clocks.are_steady(now.boot_ns, now.elapsed_ns):
            self._distrust_clocks(self._clocks)
        elif self._clocks.paused_ns:
            self._audit.warning("agent.paused", paused_s=self._clocks.paused_ns // SECOND_NS)
        self.record.touch(now, self.horizon.end_boot_ns(now.boot_ns, now.elapsed_ns))

    def _distrust_clocks(self, clocks: ClockWatch) -> None:
        """Give up E, and say nothing of promises that may look shorter than they are (I1, I7).

        A promise is a time on CLOCK_BOOTTIME, and none is longer than E was on the elapsed clock.
        The tables remember that, for the next process may not see the step.
        """
        self.record.hold(self.horizon.forfeit())
        self.must_ask = True
        step_ms = clocks.step_ns // MILLISECOND
        self._audit.critical("clock.unsteady", boot_ahead_ms=step_ms)

    # --- frames ---

    def hear_asks(self, limit: int, now: Now) -> None:
        """Put what the kernel program asks for to the allocator."""
        for ask in self.datapath.take_asks(limit):
            self.slow_path.asked(ask, now)

    def receive(self, octets: bytes, ifindex: int, now: Now) -> None:
        """A frame that the kernel passed up, or any DHCP frame where there is no kernel part."""
        counter = self.slow_path.receive(octets, ifindex, now)
        if counter and isinstance(self.datapath, MemoryDatapath):
            self.datapath.count(counter)


def _end_of(records: Sequence[Record], before: Position) -> Position:
    """The position after records that follow `before` and were checked."""
    return before.behind(records[-1]) if records else before
