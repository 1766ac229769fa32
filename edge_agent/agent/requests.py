"""Requests: what clients say. Each is answered from the tables, put to the allocator, or dropped.

Flow: frame -> the same judgement as the kernel's -> reply, or a command upstream and a client
that waits. Nothing a client sends raises.
"""

from edge_agent.agent.answering import Answering, Now, SendCommand
from edge_agent.agent.guard import Guard
from edge_agent.agent.request_ids import NewReq
from edge_agent.agent.stock import Stock
from edge_agent.agent.waiting import TIMEOUT_NS, Waiting
from edge_agent.datapath.stock import NOBODY
from edge_agent.dhcp import reply
from edge_agent.dhcp.ask import Ask, ask_of
from edge_agent.dhcp.classify import Malformed, RequestState, claimed_ip, classify
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.frame import BROADCAST_IP
from edge_agent.dhcp.request import Request, parse_request, parse_request_lenient
from edge_agent.dhcp.tables import Line, key_of
from lease_core.domain.commands import DeclineAddress, ReleaseLease, RequestLease, RequestOffer
from lease_core.domain.values import NO_IP, Ipv4, Mac, ip_text, printable

_NEWCOMER = {Counter.PASS_UNKNOWN_CLIENT, Counter.PASS_OTHER_LINE}
_INFORMED = {
    *_NEWCOMER,
    Counter.PASS_OTHER_ADDRESS,
    Counter.PASS_HORIZON,
    Counter.PASS_GATE_CLOSED,
}
"""Why the tables do not answer an INFORM, which asks for no address of theirs."""


class Requests:
    def __init__(
        self,
        answering: Answering,
        send_command: SendCommand,
        guard: Guard,
        stock: Stock,
        new_req: NewReq,
    ) -> None:
        self._answering = answering
        self._send_command = send_command
        self._guard = guard
        self._stock = stock
        self._projection = answering.projection
        self._waiting = answering.waiting
        self._new_req = new_req

    def receive(self, octets: bytes, ifindex: int, now: Now) -> Counter | None:
        """Handle one frame; return the judgement on it, None if it is not DHCP."""
        request = parse_request(octets)
        if request is Counter.PASS_OPTIONS:
            request = parse_request_lenient(octets)
        if request is None:
            return None
        if isinstance(request, Counter):
            self._answering.drop(request)
            return request
        return self._serve(request, self._answering.line_of(request, ifindex), now)

    def _serve(self, request: Request, line: Line, now: Now) -> Counter | None:
        verdict = self._answering.judge(request, line, now)
        counter = verdict.counter
        if verdict.frame:
            self._answering.reply(verdict.frame, request, line, str(counter), now, cause="table")
        elif counter is Counter.PASS_MESSAGE_TYPE:
            self._hear(request, line, now)
        elif request.message.options.message_type == MessageType.INFORM and counter in _INFORMED:
            if self._may_ask(request.message.mac, line, now):
                self._inform(request, line, now)
        elif counter is Counter.ASKED:
            self.asked(ask_of(request, line, now.boot_ns), now)
        elif counter in _NEWCOMER:
            if self._may_ask(request.message.mac, line, now):
                self._ask(request, line, now)
        elif counter is Counter.PASS_OTHER_ADDRESS and _is_well_formed(request):
            if self._may_ask(request.message.mac, line, now):
                self._answering.nak(request, line, "address is not yours", now)
        else:
            if counter is Counter.PASS_OTHER_SERVER:
                self._waiting.forget(request.message.mac, line)
            self._answering.drop(str(counter))
        return counter

    def _hear(self, request: Request, line: Line, now: Now) -> None:
        """What the tables never answer, from a client or relay that may say it."""
        match request.message.options.message_type:
            case MessageType.RELEASE if self._may_ask(request.message.mac, line, now):
                self._release(request, line)
            case MessageType.DECLINE if self._may_ask(request.message.mac, line, now):
                self._decline(request, line)
            case MessageType.RELEASE | MessageType.DECLINE:
                pass
            case _:
                self._answering.drop("message_type")

    def _may_ask(self, mac: Mac, line: Line, now: Now) -> bool:
        """Whether its line may have an answer that is not in the tables, or cause a command."""
        if self._guard.allows_another(mac, line, now.elapsed_ns):
            return True
        self._answering.drop("line_too_often")
        return False

    def _has_room(self, mac: Mac, line: Line) -> bool:
        """Whether he could be served if it were granted: no address is bound in vain."""
        if self._projection.has_room(mac, line):
            return True
        self._answering.drop("table_full")
        return False

    def _ask(self, request: Request, line: Line, now: Now) -> None:
        """Put the client's wish to the allocator, unless he could not be served."""
        command = self._command(request, line)
        if command is None or not self._has_room(request.message.mac, line):
            return
        if not self._guard.has_room(request.message.mac, line, now.elapsed_ns):
            self._answering.drop("line_full")
            return
        if isinstance(command, RequestLease) and self._is_anothers(command.ip, request, line):
            self._answering.nak(request, line, "offered to another", now)
            return
        self._put(command, Waiting.of(command.req, request, line, now.elapsed_ns), now)

    def asked(self, ask: Ask, now: Now) -> None:
        """Put the wish of a stranger who takes what he was offered.

        Who judged that has read it, and found nobody under his key.
        """
        if now.boot_ns - ask.at_boot_ns > TIMEOUT_NS:
            self._answering.drop("asked_long_ago")
        elif self._projection.slots.is_full:
            self._answering.drop("table_full")
        elif self._may_ask(ask.mac, ask.line, now):
            self._put_ask(ask, now)

    def _put_ask(self, ask: Ask, now: Now) -> None:
        command = RequestLease(
            req=self._new_req(),
            mac=ask.mac,
            line=self._projection.lines.text(ask.line),
            ip=ask.ip,
            kind=RequestState.SELECTING.value,
            link=ask.link,
            host=printable(ask.host_name),
        )
        wish = ask.ip, ask.server_id
        waiting = Waiting(
            command.req, ask.mac, ask.line, MessageType.REQUEST, wish, ask.octets, now.elapsed_ns
        )
        self._put(command, waiting, now)

    def _put(self, command: RequestOffer | RequestLease, waiting: Waiting, now: Now) -> None:
        """Ask the allocator and let the client wait, if nobody asks for him already."""
        if not self._waiting.add(waiting):
            return
        if not self._send_command(command):
            self._waiting.take(command.req)
        elif isinstance(command, RequestLease) and command.kind == RequestState.SELECTING:
            self._stock.heard(command.link, waiting.line, now)

    def _is_anothers(self, ip: Ipv4, request: Request, line: Line) -> bool:
        """Whether a stranger was offered the address, and another one than who asks for it."""
        owner = self._stock.owner(ip)
        if owner == NOBODY:
            return False
        return owner != key_of(request.message.mac, line, self._projection.mode_of(line))

    def _command(self, request: Request, line: Line) -> RequestOffer | RequestLease | None:
        message = request.message
        options = message.options
        req, line_text = self._new_req(), self._projection.lines.text(line)
        host = printable(options.host_name)
        if options.message_type == MessageType.DISCOVER:
            wanted = options.requested_ip or NO_IP
            return RequestOffer(
                req=req,
                mac=message.mac,
                line=line_text,
                wanted=wanted,
                link=message.giaddr,
                host=host,
            )
        state = classify(message, request.frame.dst_ip)
        if isinstance(state, Malformed):
            self._answering.drop("malformed_request")
            return None
        if options.server_id is not None and not self._is_ours(options.server_id):
            self._waiting.forget(message.mac, line)
            self._answering.drop("other_server")
            return None
        ip = claimed_ip(message)
        return RequestLease(
            req=req,
            mac=message.mac,
            line=line_text,
            ip=ip,
            kind=state.value,
            link=message.giaddr,
            host=host,
        )

    def _is_ours(self, server_id: Ipv4) -> bool:
        return any(pool.server_id == server_id for pool in self._projection.pools)

    def _release(self, request: Request, line: Line) -> None:
        """RFC 2131 4.3.4: only by the holder, on its line, for the address it holds."""
        mac, ip = request.message.mac, request.message.ciaddr
        if self._holds(request, line, ip):
            text = self._projection.lines.text(line)
            self._send_command(ReleaseLease(req=self._new_req(), mac=mac, line=text, ip=ip))

    def _decline(self, request: Request, line: Line) -> None:
        """RFC 2131 4.3.3: the holder found its address in use."""
        mac, ip = request.message.mac, request.message.options.requested_ip or NO_IP
        if self._holds(request, line, ip):
            text = self._projection.lines.text(line)
            self._send_command(DeclineAddress(req=self._new_req(), mac=mac, line=text, ip=ip))

    def _holds(self, request: Request, line: Line, ip: Ipv4) -> bool:
        """Whether the client holds `ip` on this line."""
        found = self._projection.find(request.message.mac, line)
        if found is None or found[1].ip != ip:
            self._answering.drop("not_holder")
            return False
        return True

    def _inform(self, request: Request, line: Line, now: Now) -> None:
        """RFC 2131 4.3.5: options for a client that has its address from elsewhere."""
        ciaddr, to = request.message.ciaddr, request.frame.dst_ip
        pool = next((p for p in self._projection.pools if p.holds(ciaddr)), None)
        if pool and to not in (BROADCAST_IP, pool.server_id):
            self._answering.drop("not_addressed")
            return
        port_mac = self._answering.port_mac(line.ifindex)
        if pool is None or port_mac is None:
            self._answering.drop("inform_elsewhere")
            return
        frame = reply.inform_ack(request, pool, port_mac)
        if frame:
            self._answering.reply(
                frame, request, line, "inform_ack", now, cause="inform", ip=ip_text(ciaddr)
            )


def _is_well_formed(request: Request) -> bool:
    return not isinstance(classify(request.message, request.frame.dst_ip), Malformed)
