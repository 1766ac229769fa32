"""The running agent: one event loop that drives the edge with sockets, Redis and time."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from edge_agent.agent.config import EdgeConfig
from edge_agent.agent.edge import Edge, Identity
from edge_agent.agent.opening import hold_port, warn_of_settings
from edge_agent.agent.slow_path import Now
from edge_agent.agent.status import Status, report_of
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.packet_socket import PacketSocket, PacketSocketError
from edge_agent.datapath.port import Datapath
from edge_agent.sync.filling import fill
from edge_agent.sync.follower import LOST, Follower
from edge_agent.sync.lines import Lines
from edge_agent.sync.reconcile import reconcile
from edge_agent.sync.upstream import Upstream
from lease_core.audit import EVENT_LINES
from lease_core.clock import boot_ns, elapsed_ns
from lease_core.domain.commands import Command
from lease_core.domain.events import Record, RecoveryStarted
from lease_core.domain.ledger import Ledger
from lease_core.log.port import (
    Answered,
    ForeignLogError,
    Head,
    LogUnavailableError,
    SiteLog,
)
from lease_core.log.reader import Position
from lease_core.log.replay import replay
from lease_core.log.runs import kinds_of
from lease_core.log.wire import parse_id

audit = structlog.get_logger("edge")

TICK_S = 1.0
EXPIRY_EVERY_TICKS = 5
FIRST_HEARTBEATS_S = 1.0
FRAMES_PER_WAKEUP = 64
"""So few that the allocator has work while the others are read."""
READ_TRIES = 5
READ_WITHIN_NS = 1_000_000
TOLD_AT_ONCE = 1000
TOLD_TRIES = 100
TOLD_PAUSE_S = 0.05


def now() -> Now:
    """Both clocks, read again if something came between."""
    for _ in range(READ_TRIES):
        before, elapsed, after = boot_ns(), elapsed_ns(), boot_ns()
        if after - before < READ_WITHIN_NS:
            break
    return Now(after, elapsed)


class Runtime:
    """`run` serves until cancelled; the kernel goes on answering after it."""

    def __init__(self, config: EdgeConfig, log: SiteLog, datapath: Datapath) -> None:
        self._config = config
        self._log = log
        opened = [(port, PacketSocket(port.interface)) for port in config.ports]
        self._sockets = {s.ifindex: s for _, s in opened}
        self._lost: dict[int, PacketSocketError] = {}
        self._holders = [hold_port(port.interface) for port in config.ports]
        self._upstream = Upstream(log, config.edge)
        self._is_asked = False
        self._status = Status(
            log, config.edge, config.status, lambda: report_of(self.edge, now()), config.heartbeat_s
        )
        self._datapath = datapath
        # first, because bindings are found by the key modes of ports
        for port, heard in opened:
            datapath.put_port(heard.ifindex, port.as_port(heard.mac))
        lines = Lines(
            {s.interface: ifindex for ifindex, s in self._sockets.items()},
            {port.interface: port.key_mode for port in config.ports},
        )
        identity = Identity(config.site, config.edge, config.max_subscribers)
        self.edge = Edge(
            identity,
            datapath,
            lines,
            send_frame=self._send_frame,
            send_command=self._upstream.send,
            now=now(),
            per_line={s.ifindex: port.per_line for port, s in opened if port.per_line},
            links=sum(max(1, len(port.relays)) for port in config.ports if port.offers_stock),
        )

    def _send_frame(self, ifindex: int, frame: bytes) -> None:
        try:
            is_sent = ifindex not in self._lost and self._sockets[ifindex].send(frame)
        except PacketSocketError as error:
            self._lose(ifindex, error)
            is_sent = False
        if not is_sent:
            self.edge.slow_path.tally["send_failed"] += 1

    def _lose(self, ifindex: int, error: PacketSocketError) -> None:
        """Go on without an interface; the others are still served."""
        asyncio.get_running_loop().remove_reader(self._sockets[ifindex].fileno())
        self._lost[ifindex] = error
        audit.critical("interface.lost", reason=str(error), **self._who())

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            FastPathError: the kernel refuses its service.
            PacketSocketError: no interface is left.
        """
        try:
            await self._serve()
        except ExceptionGroup as group:
            known = group.subgroup((FastPathError, PacketSocketError))
            raise known.exceptions[0] if known else group from None

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for ifindex, opened in self._sockets.items():
            loop.add_reader(opened.fileno(), self._receive, ifindex)
        asks_fd = self._datapath.asks_fd
        if asks_fd is not None:
            loop.add_reader(asks_fd, self._hear_asks)
        audit.info("edge.started", datapath=self._datapath.kind, **self._who())
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._upstream.run())
                tasks.create_task(self._follow())
                tasks.create_task(self._beat())
                tasks.create_task(self._keep_time())
                tasks.create_task(warn_of_settings(self._log))
                tasks.create_task(self._status.run())
        finally:
            if asks_fd is not None:
                loop.remove_reader(asks_fd)
            for opened in self._sockets.values():
                loop.remove_reader(opened.fileno())
                opened.close()
            for holder in self._holders:
                holder.close()
            await self._log.close()
            audit.info("edge.stopped", **self._who())

    def _who(self) -> dict[str, str]:
        return {"site": self._config.site, "edge": self._config.edge}

    def _receive(self, ifindex: int) -> None:
        """Take what is there, but let the log have its turn."""
        opened = self._sockets[ifindex]
        for _ in range(FRAMES_PER_WAKEUP):
            try:
                octets = opened.receive()
            except PacketSocketError as error:
                self._lose(ifindex, error)
                return
            if octets is None:
                return
            self.edge.receive(octets, ifindex, now())

    def _hear_asks(self) -> None:
        self.edge.hear_asks(FRAMES_PER_WAKEUP, now())

    # --- the log ---

    async def _follow(self) -> None:
        position, has_snapshot = self.edge.record.position(), False
        if position is None:
            head, has_snapshot = await self._first_head()
            position = Position(head.genesis)
            self.edge.record.adopt(position)
        follower = Follower(
            self._log,
            position,
            apply=self._apply,
            rebuild=self._rebuild,
            rejoin=self._rejoin,
            tell=self.edge.set_following,
            needs_rebuild=self.edge.record.needs_rebuild or self.edge.may_lack or has_snapshot,
        )
        await follower.run()

    async def _first_head(self) -> tuple[Head, bool]:
        """A fresh edge follows the log it finds; wait until there is one.

        Returns:
            Its head, and whether empty tables are filled sooner from a snapshot.
        """
        told = False
        while True:
            try:
                head = await self._log.head()
                if head:
                    return head, bool(await self._log.snapshots())
                reason = "no log of this site; add it with: leasectl site add"
            except (LogUnavailableError, ForeignLogError) as error:
                reason = str(error)
            if not told:
                audit.error("log.awaited", reason=reason, **self._who())
                told = True
            await asyncio.sleep(TICK_S)

    def _apply(self, records: Sequence[Record], end: Position, answers: list[Answered]) -> None:
        moment = now()
        if records:
            self.edge.apply(records, end, moment)
            if RecoveryStarted in kinds_of(records):
                self._is_asked = True
        if answers:
            self.edge.answer(answers, moment)

    async def _rebuild(self) -> Position:
        position = self.edge.record.position()
        assert position
        if not position.seq and self.edge.projection.is_empty:
            projection = self.edge.projection
            self.edge.record.begin_anew()
            filled = await fill(projection, self._log, position.genesis, now().boot_ns)
            if filled:
                return self._go_on(*filled, corrected=0)
        ledger, end = await replay(self._log, position.genesis, position)
        return self._go_on_from(ledger, end)

    async def _rejoin(self) -> Position | None:
        """Tell a log that lost what was followed what it does not know; join it once it knows.

        A log of another genesis is joined only if an operator put it in the place of ours.
        """
        ours = self.edge.record.position()
        assert ours
        ledger, end = await replay(self._log)
        if ours.genesis not in (end.genesis, *ledger.replaces):
            return None
        unknown = self.edge.unknown_to(ledger, now())
        if not unknown and ledger.epoch > ours.epoch:
            self._is_asked = True
            return self._go_on_from(ledger, end)
        await self._tell_log([self.edge.loss(), *unknown])
        return None

    async def _tell_log(self, commands: list[Command]) -> None:
        """Send all in their order, no faster than an allocator takes them."""
        for at in range(0, len(commands), TOLD_AT_ONCE):
            last = await self._log.send_many(commands[at : at + TOLD_AT_ONCE], self._config.edge)
            for _ in range(TOLD_TRIES):
                head = await self._log.head()
                if head is None or parse_id(head.cursor.encode()) >= parse_id(last.encode()):
                    break
                await asyncio.sleep(TOLD_PAUSE_S)

    def _go_on_from(self, ledger: Ledger, end: Position) -> Position:
        """Make the tables what the log says, and follow it from there."""
        self.edge.record.begin_anew()
        wrong = reconcile(self.edge.projection, ledger, now().boot_ns)
        return self._go_on(ledger, end, corrected=wrong)

    def _go_on(self, ledger: Ledger, end: Position, *, corrected: int) -> Position:
        """The tables are what the log says."""
        is_asked = ledger.recovery and ledger.recovery.incarnation == self.edge.record.state.life
        if ledger.edge and not is_asked:
            self.edge.heed_life(ledger.edge.incarnation, now())
        self.edge.recovers(ledger.recovery is not None)
        self.edge.record.adopt(end)
        audit.warning("edge.resynced", corrected=corrected, seq=end.seq, **self._who())
        return end

    # --- time ---

    async def _beat(self) -> None:
        """Ask for the horizon: often until there is one, then once per heartbeat +-10 %."""
        while True:
            self._send_heartbeat()
            await asyncio.sleep(FIRST_HEARTBEATS_S)
            left_s = self.edge.horizon.remaining_s(elapsed_ns())
            if left_s:
                jitter = random.uniform(0.9, 1.1)  # noqa: S311  (spreads load, hides nothing)
                await asyncio.sleep(self._config.heartbeat_s * jitter - FIRST_HEARTBEATS_S)

    def _send_heartbeat(self) -> None:
        """Say nothing to a log that is not ours: where we are means something else there."""
        self._is_asked = False
        if self.edge.following not in LOST:
            self._upstream.send(self.edge.heartbeat(now()))

    async def _keep_time(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK_S)
            ticks += 1
            if len(self._lost) == len(self._sockets):
                raise next(iter(self._lost.values()))
            moment = now()  # one for all: a clock may be stepped at any other
            self.edge.touch(moment)
            self.edge.notices.tell(moment)
            EVENT_LINES.tell()
            if self._is_asked or self.edge.must_ask:
                self._send_heartbeat()
            dropped = self.edge.slow_path.waiting.drop_stale(elapsed_ns())
            self.edge.slow_path.tally["waited_too_long"] += dropped
            self.edge.stock.drop_stale(moment)
            begins = ticks % EXPIRY_EVERY_TICKS == 0
            self.edge.duties.report_expiries(moment, begins=begins)
            due = self.edge.duties.due_removals(moment)
            if due:
                await asyncio.to_thread(self._datapath.grace)
                moment = now()
                self.edge.touch(moment)
                self.edge.duties.acknowledge(due, moment)
