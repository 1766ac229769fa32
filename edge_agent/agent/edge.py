"""The edge: tables, horizon and slow path of one router, put together without input or output.

Flow: frames, records and answers in; frames and commands out through the functions it is given;
time is told to it. `runtime` drives it with sockets and Redis, tests with their own clock.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from edge_agent.agent.slow_path import Now, SendCommand, SendFrame, SlowPath
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.port import Datapath
from edge_agent.dhcp.tables import key_mac
from edge_agent.sync.follower import Following
from edge_agent.sync.horizon import Horizon
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import NO_SLOT, TOMBSTONE, Projection, discriminator
from lease_core.audit import event_name, fields_of
from lease_core.domain.commands import AckRemoval, Heartbeat, ReportExpiry
from lease_core.domain.events import HorizonGranted, Record
from lease_core.log.port import Answered
from lease_core.log.reader import Position

audit = structlog.get_logger("edge")

SECOND_NS = 1_000_000_000
REPEAT_ACK_NS = 10 * SECOND_NS
MAX_REPORTS = 1000


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
    ) -> None:
        """Take over the tables as they are; close the gate if they stand half way in a batch."""
        self.identity = identity
        self.datapath = datapath
        self.projection = Projection(datapath, lines, identity.max_subscribers)
        self.horizon = Horizon()
        self.following = Following.CATCHING_UP
        self.slow_path = SlowPath(
            datapath,
            self.projection,
            send_frame,
            send_command,
            lambda: self.following is Following.LIVE,
        )
        self._send_command = send_command
        self._started = now
        self._acked_ns: dict[int, int] = {}
        self._was_ready = False
        state = datapath.state()
        self.horizon.resume(state.horizon_boot_ns, now.boot_ns, now.elapsed_ns)
        incarnation = state.incarnation or secrets.randbits(63) | 1
        gate = state.gate and state.cursor_lo == state.cursor_hi
        self._state = replace(
            state, incarnation=incarnation, gate=gate, lines=lines.fingerprint(), abi_ok=True
        )
        self.touch(now)

    # --- position ---

    def position(self) -> Position | None:
        """What the tables are a projection of; None = of nothing yet."""
        state = self._state
        if not any(state.genesis):
            return None
        return Position(
            state.genesis.hex(),
            state.cursor_lo,
            state.cursor_hash.hex(),
            state.cursor_commit_ms,
            state.epoch,
        )

    def adopt(self, position: Position) -> None:
        """The tables hold exactly what the log says up to `position`."""
        self._state = replace(
            self._state,
            genesis=bytes.fromhex(position.genesis),
            cursor_lo=position.seq,
            cursor_hi=position.seq,
            cursor_hash=bytes.fromhex(position.h),
            cursor_commit_ms=position.commit_ms,
            epoch=position.epoch,
        )
        self.datapath.set_state(self._state)

    def set_following(self, following: Following) -> None:
        """The gate opens for good once the tables have been up to date."""
        self.following = following
        if following is Following.LIVE and not self._state.gate:
            self._state = replace(self._state, gate=True)
            self.datapath.set_state(self._state)
        self._tell_when_ready()

    def _tell_when_ready(self) -> None:
        is_ready = self._state.gate and self._state.horizon_boot_ns > self._state.touched_boot_ns
        if is_ready and self.following is Following.LIVE and not self._was_ready:
            self._was_ready = True
            audit.info("edge.ready", site=self.identity.site, datapath=self.datapath.kind)

    # --- from the log ---

    def apply(self, records: Sequence[Record], end: Position, now: Now) -> None:
        """Apply a batch: the cursor says before and after what of it is in the tables (I4)."""
        self._state = replace(self._state, cursor_hi=end.seq)
        self.datapath.set_state(self._state)
        for record in records:
            self.projection.apply(record, now.boot_ns)
            if isinstance(record.event, HorizonGranted):
                self._grant(record.event, now)
            audit.info(
                event_name(record.event),
                stage="applied",
                event_id=record.entry_id,
                **fields_of(record.event),
            )
        self.adopt(end)
        for record in records:
            self.slow_path.applied(record, now)
        self.slow_path.settle(end.seq, now)

    def answer(self, answers: Sequence[Answered], now: Now) -> None:
        for answered in answers:
            self.slow_path.answered(answered.answer, self._state.cursor_lo, now)

    def _grant(self, event: HorizonGranted, now: Now) -> None:
        if self.horizon.grant(event):
            self.touch(now)
            self._tell_when_ready()
        elif event.edge == self.identity.edge and event.incarnation != self.incarnation:
            audit.warning("horizon.foreign", incarnation=event.incarnation)

    # --- time ---

    @property
    def incarnation(self) -> str:
        return f"{self._state.incarnation:016x}"

    def heartbeat(self, now: Now) -> Heartbeat:
        """The next heartbeat; the horizon counts from this moment."""
        nonce = secrets.token_hex(6)
        self.horizon.beat(nonce, now.elapsed_ns)
        return Heartbeat(
            edge=self.identity.edge,
            incarnation=self.incarnation,
            nonce=nonce,
            applied=self._state.cursor_lo,
        )

    def touch(self, now: Now) -> None:
        """Tell the kernel program that we are alive, and E on its clock."""
        self._state = replace(
            self._state,
            touched_boot_ns=now.boot_ns,
            horizon_boot_ns=self.horizon.end_boot_ns(now.boot_ns, now.elapsed_ns),
        )
        self.datapath.set_state(self._state)

    def acknowledge_removals(self, now: Now) -> None:
        """Say what removed holders are still promised; say it again until the log has it.

        Call `datapath.grace` between a removal and this: a packet in flight may still be
        answered by an entry that is gone.
        """
        removals = self.projection.removals.values()
        due = [r for r in removals if now.elapsed_ns >= self._acked_ns.get(r.ref, 0)]
        for removal in due[:MAX_REPORTS]:
            self._acked_ns[removal.ref] = now.elapsed_ns + REPEAT_ACK_NS
            self._send_command(
                AckRemoval(
                    req=f"ack-{removal.ref}",
                    ip=removal.ip,
                    ref=removal.ref,
                    remaining_s=self.projection.remaining_s(removal, now.boot_ns),
                )
            )
        owed = {removal.ref for removal in removals}
        self._acked_ns = {ref: at for ref, at in self._acked_ns.items() if ref in owed}

    def report_expiries(self, now: Now) -> None:
        """Report bindings whose every promise has passed; the log decides (DESIGN section 4).

        Promises of a former life of the tables are not known: for a whole lease time after the
        start, a binding without a promise is taken to have one.
        """
        reports = 0
        for key, found in self.datapath.entries():
            if discriminator(key) >= TOMBSTONE or found.slot == NO_SLOT:
                continue
            end_ns = self.datapath.promise(found.slot)
            if not end_ns:
                pool = self.datapath.pool(found.pool_id)
                end_ns = self._started.boot_ns + (pool.lease_time_s if pool else 0) * SECOND_NS
            if end_ns > now.boot_ns:
                continue
            line = self.projection.lines.text(found.line)
            self._send_command(
                ReportExpiry(
                    req=f"expiry-{found.seq}",
                    mac=key_mac(key),
                    line=line,
                    ip=found.ip,
                    ref=found.seq,
                )
            )
            reports += 1
            if reports >= MAX_REPORTS:
                return

    # --- frames ---

    def receive(self, octets: bytes, ifindex: int, now: Now) -> None:
        """A frame that the kernel passed up, or any DHCP frame where there is no kernel part."""
        counter = self.slow_path.receive(octets, ifindex, now)
        if counter and isinstance(self.datapath, MemoryDatapath):
            self.datapath.count(counter)

    def report(self, now: Now) -> dict[str, str]:
        """What operators see of this edge, also in its report hash."""
        return {
            "edge": self.identity.edge,
            "datapath": self.datapath.kind,
            "following": self.following,
            "applied": str(self._state.cursor_lo),
            "epoch": str(self._state.epoch),
            "incarnation": self.incarnation,
            "horizon_left_s": str(int(self.horizon.remaining_s(now.elapsed_ns))),
            "waiting": str(len(self.slow_path.waiting)),
            "unserved": str(self.projection.unserved),
        }
