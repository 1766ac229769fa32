"""The slow path: what the kernel passed up, and what the allocator said to it.

Flow: frame -> the same judgement as the kernel's -> reply, or a command upstream and a client
that waits; then event or answer -> reply. No input or output: frames and commands leave through
the two functions it is given.
"""

import secrets
from collections import Counter as Tally
from collections.abc import Callable
from typing import NamedTuple

import structlog

from edge_agent.agent.waiting import Waiting, WaitingTable
from edge_agent.datapath.port import Datapath
from edge_agent.dhcp import fastpath, reply
from edge_agent.dhcp.classify import Malformed, RequestState, claimed_ip, classify
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import Line, PoolOptions, subscriber_key
from edge_agent.sync.projection import Projection
from lease_core.domain.commands import (
    Answer,
    Command,
    DeclineAddress,
    Held,
    Offered,
    Refused,
    ReleaseLease,
    RequestLease,
    RequestOffer,
)
from lease_core.domain.events import LeaseAssigned, Record
from lease_core.domain.values import NO_IP, Ipv4, Mac, ip_text, mac_text, printable

audit = structlog.get_logger("edge")

SendFrame = Callable[[int, bytes], None]
"""Sends a frame out of the interface with that number."""
SendCommand = Callable[[Command], bool]

_NEWCOMER = {Counter.PASS_UNKNOWN_CLIENT, Counter.PASS_OTHER_LINE}
_NAK_ALWAYS = {"in-use", "other-address"}
_NAK_STARTING = {"not-ours"}
_STARTING = {RequestState.SELECTING, RequestState.INIT_REBOOT}


class Now(NamedTuple):
    """One moment on two clocks, nanoseconds."""

    boot_ns: int
    elapsed_ns: int


class SlowPath:
    """`is_current` tells whether the log is followed up to now: only then may a NAK be said."""

    def __init__(
        self,
        datapath: Datapath,
        projection: Projection,
        send_frame: SendFrame,
        send_command: SendCommand,
        is_current: Callable[[], bool],
    ) -> None:
        self.waiting = WaitingTable()
        self.tally: Tally[str] = Tally()
        self._datapath = datapath
        self._projection = projection
        self._send_frame = send_frame
        self._send_command = send_command
        self._is_current = is_current
        self._life = secrets.token_hex(3)
        self._asked = 0

    # --- from clients ---

    def receive(self, octets: bytes, ifindex: int, now: Now) -> Counter | None:
        """Handle one frame; return the judgement on it, None if it is not DHCP."""
        request = parse_request(octets)
        if request is None:
            return None
        if isinstance(request, Counter):
            self.tally[f"drop_{request}"] += 1
            return request
        match request.message.options.message_type:
            case MessageType.DISCOVER | MessageType.REQUEST:
                return self._serve(request, ifindex, now)
            case MessageType.RELEASE:
                self._release(request, ifindex)
            case MessageType.DECLINE:
                self._decline(request, ifindex)
            case MessageType.INFORM:
                self._inform(request, ifindex)
            case _:
                self.tally["drop_message_type"] += 1
        return Counter.PASS_MESSAGE_TYPE

    def _serve(self, request: Request, ifindex: int, now: Now) -> Counter | None:
        verdict = self._judge(request, ifindex, now)
        if verdict.frame:
            self._reply(verdict.frame, request, ifindex, str(verdict.counter), cause="table")
        elif verdict.counter in _NEWCOMER:
            self._ask(request, ifindex, now)
        elif verdict.counter is Counter.PASS_OTHER_ADDRESS:
            self._nak(request, ifindex, "address is not yours")
        else:
            if verdict.counter is Counter.PASS_OTHER_SERVER:
                self.waiting.forget(request.message.mac, ifindex)
            self.tally[f"drop_{verdict.counter}"] += 1
        return verdict.counter

    def _judge(self, request: Request, ifindex: int, now: Now) -> fastpath.Verdict:
        number = self._projection.discriminator_of(request.message.mac, Line(ifindex))
        return fastpath.decide(request, ifindex, self._datapath, now.boot_ns, number)

    def _ask(self, request: Request, ifindex: int, now: Now) -> None:
        """Put the client's wish to the allocator and let the client wait."""
        command = self._command(request, ifindex)
        if command is None:
            return
        waiting = Waiting(command.req, request, ifindex, now.elapsed_ns)
        if self.waiting.add(waiting) and not self._send_command(command):
            self.waiting.take(command.req)

    def _command(self, request: Request, ifindex: int) -> RequestOffer | RequestLease | None:
        message = request.message
        options = message.options
        req = self._req()
        line = self._projection.lines.text(Line(ifindex))
        host = printable(options.host_name)
        if options.message_type == MessageType.DISCOVER:
            wanted = options.requested_ip or NO_IP
            return RequestOffer(req=req, mac=message.mac, line=line, wanted=wanted, host=host)
        state = classify(message, request.frame.dst_ip)
        if isinstance(state, Malformed):
            self.tally["drop_malformed_request"] += 1
            return None
        if options.server_id is not None and not self._is_ours(options.server_id):
            self.waiting.forget(message.mac, ifindex)
            self.tally["drop_other_server"] += 1
            return None
        ip = claimed_ip(message)
        return RequestLease(req=req, mac=message.mac, line=line, ip=ip, kind=state.value, host=host)

    def _is_ours(self, server_id: Ipv4) -> bool:
        return any(pool.server_id == server_id for pool in self._projection.pools())

    def _release(self, request: Request, ifindex: int) -> None:
        """RFC 2131 4.3.4: only by the holder, on its line, for the address it holds."""
        message = request.message
        if self._holds(message.mac, ifindex, message.ciaddr):
            line = self._projection.lines.text(Line(ifindex))
            self._send_command(
                ReleaseLease(req=self._req(), mac=message.mac, line=line, ip=message.ciaddr)
            )

    def _decline(self, request: Request, ifindex: int) -> None:
        """RFC 2131 4.3.3: the holder found its address in use."""
        message = request.message
        ip = message.options.requested_ip or NO_IP
        if self._holds(message.mac, ifindex, ip):
            line = self._projection.lines.text(Line(ifindex))
            self._send_command(DeclineAddress(req=self._req(), mac=message.mac, line=line, ip=ip))

    def _holds(self, mac: Mac, ifindex: int, ip: Ipv4) -> bool:
        found = self._projection.find(mac, Line(ifindex))
        holds = found is not None and found[1].ip == ip
        if not holds:
            self.tally["drop_not_holder"] += 1
        return holds

    def _inform(self, request: Request, ifindex: int) -> None:
        """RFC 2131 4.3.5: options for a client that has its address from elsewhere."""
        ciaddr = request.message.ciaddr
        pool = next((p for p in self._projection.pools() if ciaddr & p.netmask == p.network), None)
        port_mac = self._datapath.port_mac(ifindex)
        if pool is None or port_mac is None:
            self.tally["drop_inform_elsewhere"] += 1
            return
        frame = reply.inform_ack(request, pool, port_mac)
        if frame:
            self._reply(frame, request, ifindex, "ack", cause="inform")

    # --- from the log ---

    def applied(self, record: Record, now: Now) -> None:
        """Answer the client whose request caused this event."""
        if isinstance(record.event, LeaseAssigned):
            waiting = self.waiting.take(record.event.req)
            if waiting:
                self._answer(waiting, now, record.event.cause, record.entry_id)

    def settle(self, applied_seq: int, now: Now) -> None:
        """Answer those who waited for the projection to reach an event."""
        for waiting in self.waiting.applied(applied_seq):
            self._answer(waiting, now, "held")

    def answered(self, answer: Answer, applied_seq: int, now: Now) -> None:
        """Act on an answer of the allocator, if its asker still waits here."""
        waiting = self.waiting.find(answer.req)
        if waiting is None:
            return
        match answer:
            case Held(seq=seq):
                waiting.until_seq = seq
                self.settle(applied_seq, now)
            case Offered():
                self.waiting.take(answer.req)
                self._offer(waiting, answer, now)
            case Refused():
                self.waiting.take(answer.req)
                self._refuse(waiting, answer.reason)

    def _answer(self, waiting: Waiting, now: Now, cause: str, event_id: str = "") -> None:
        verdict = self._judge(waiting.request, waiting.ifindex, now)
        if verdict.frame:
            waited_us = (now.elapsed_ns - waiting.since_ns) // 1000
            self._reply(
                verdict.frame,
                waiting.request,
                waiting.ifindex,
                str(verdict.counter),
                cause=cause,
                event_id=event_id,
                waited_us=waited_us,
            )
        else:
            self.tally[f"drop_{verdict.counter}"] += 1

    def _offer(self, waiting: Waiting, answer: Offered, now: Now) -> None:
        """An OFFER promises nothing, but says what an ACK would promise now."""
        pool = self._projection.pool_named(answer.pool)
        port_mac = self._datapath.port_mac(waiting.ifindex)
        if pool is None or port_mac is None:
            self.tally["drop_pool_unknown"] += 1
            return
        frame = self._render_offer(waiting, answer.ip, pool, port_mac, now)
        if frame:
            waited_us = (now.elapsed_ns - waiting.since_ns) // 1000
            self._reply(
                frame,
                waiting.request,
                waiting.ifindex,
                "offer",
                cause="reserved",
                ip=ip_text(answer.ip),
                waited_us=waited_us,
            )

    def _render_offer(
        self, waiting: Waiting, ip: Ipv4, pool: PoolOptions, port_mac: Mac, now: Now
    ) -> bytes | None:
        state = self._datapath.state()
        grant_s = fastpath.grant_s(pool.lease_time_s, state.horizon_boot_ns, now.boot_ns)
        if not grant_s or not state.gate:
            self.tally["drop_pass_horizon"] += 1
            return None
        return reply.offer(
            waiting.request,
            yiaddr=ip,
            pool=pool,
            grant_s=grant_s,
            mac_key=subscriber_key(waiting.request.message.mac),
            port_mac=port_mac,
        )

    def _refuse(self, waiting: Waiting, reason: str) -> None:
        """Say NAK only about an address that we know to be wrong; otherwise stay silent."""
        self.tally[f"refused_{reason}"] += 1
        message = waiting.request.message
        if message.options.message_type != MessageType.REQUEST:
            return
        is_starting = classify(message, waiting.request.frame.dst_ip) in _STARTING
        if reason in _NAK_ALWAYS or (reason in _NAK_STARTING and is_starting):
            self._nak(waiting.request, waiting.ifindex, reason)

    def _nak(self, request: Request, ifindex: int, text: str) -> None:
        server = next((pool.server_id for pool in self._projection.pools()), None)
        port_mac = self._datapath.port_mac(ifindex)
        if not self._is_current() or server is None or port_mac is None:
            self.tally["drop_nak_not_current"] += 1
            return
        frame = reply.nak(request, request.message.options.server_id or server, text, port_mac)
        if frame:
            self._reply(frame, request, ifindex, "nak", cause=text)

    # --- out ---

    def _req(self) -> str:
        self._asked += 1
        return f"{self._life}-{self._asked}"

    def _reply(
        self,
        frame: bytes,
        request: Request,
        ifindex: int,
        kind: str,
        *,
        cause: str,
        ip: str = "",
        event_id: str = "",
        waited_us: int = 0,
    ) -> None:
        self._send_frame(ifindex, frame)
        self.tally[kind] += 1
        mac, line = request.message.mac, Line(ifindex)
        found = self._projection.find(mac, line)
        audit.info(
            "client.answered",
            stage="answered",
            message=kind,
            mac=mac_text(mac),
            ip=ip or (ip_text(found[1].ip) if found else ""),
            line=self._projection.lines.text(line),
            cause=cause,
            event_id=event_id,
            waited_us=waited_us,
        )
