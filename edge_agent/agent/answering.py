"""Answering: what both halves of the slow path do with a client's request, and the audit of it."""

from collections import Counter as Tally
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from edge_agent.agent.waiting import Waiting, WaitingTable
from edge_agent.datapath.port import Datapath
from edge_agent.dhcp import fastpath, reply
from edge_agent.dhcp.classify import claimed_ip
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.message import Message
from edge_agent.dhcp.request import Request
from edge_agent.dhcp.tables import Line
from edge_agent.sync.projection import Projection
from lease_core.domain.commands import Command
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from lease_core.rationing import SECOND_NS, Quota

ANSWERS_A_SECOND = 16
"""Lines about answers of one kind, each of which costs more than the answer; the tally knows them
all, and the log every lease."""

_COUNTERS: dict[int, Counter] = {
    MessageType.OFFER: Counter.OFFER, MessageType.ACK: Counter.ACK, MessageType.NAK: Counter.NAK
}  # fmt: skip

SendFrame = Callable[[int, bytes], None]
"""Sends a frame out of the interface with that number."""
SendCommand = Callable[[Command], bool]
"""Queues a command; False = it was dropped."""


class Now(NamedTuple):
    """One moment on two clocks, nanoseconds."""

    boot_ns: int
    elapsed_ns: int


class Answering:
    """The tables, the waiting clients and the counters that both halves share."""

    def __init__(
        self,
        site: str,
        datapath: Datapath,
        projection: Projection,
        *,
        send_frame: SendFrame,
    ) -> None:
        self.waiting = WaitingTable()
        self.tally: Tally[str] = Tally()
        self.datapath = datapath
        self.projection = projection
        self._send_frame = send_frame
        self._quota = Quota(ANSWERS_A_SECOND, SECOND_NS)
        self._audit = structlog.get_logger("edge").bind(site=site)

    def judge(self, request: Request, line: Line, now: Now) -> fastpath.Verdict:
        """The kernel's judgement, which the agent also makes for a MAC's further lines."""
        mac, boot_ns = request.message.mac, now.boot_ns
        if mac not in self.projection.known:
            return fastpath.decide(request, line.ifindex, self.datapath, boot_ns, is_stranger=True)
        found = self.projection.find(mac, line)
        return fastpath.decide(request, line.ifindex, self.datapath, boot_ns, found)

    def judge_again(self, waiting: Waiting, now: Now) -> fastpath.Verdict:
        """The judgement on a request that has waited: the program's, else our own."""
        octets = self.datapath.judge_again(waiting.octets, waiting.line.ifindex)
        if octets is None:
            return self.judge(waiting.request, waiting.line, now)
        return fastpath.Verdict(_COUNTERS[reply.message_type_of(octets)], octets)

    def line_of(self, request: Request, ifindex: int) -> Line:
        """The line that a request came in on."""
        return fastpath.line_of(request, ifindex, self.datapath)

    def drop(self, reason: str) -> None:
        """Count a frame or a client that gets no answer."""
        self.tally[f"drop_{reason}"] += 1

    def port_mac(self, ifindex: int) -> Mac | None:
        return self.datapath.port_mac(ifindex)

    def nak(self, request: Request, line: Line, text: str, now: Now) -> None:
        """Say NAK, but never because somebody is unreachable (DESIGN section 2).

        It sends the client looking for another address, so only who could give one says it.
        """
        state = self.datapath.state()
        port_mac = self.port_mac(line.ifindex)
        may_give_until_ns = min(state.current_until_boot_ns, state.horizon_boot_ns)
        if not state.gate or may_give_until_ns <= now.boot_ns or port_mac is None:
            self.drop("nak_not_current")
            return
        server = request.message.options.server_id or self._server_for(request, line)
        if server is None:
            self.drop("nak_elsewhere")
            return
        frame = reply.nak(request, server, port_mac, text)
        if frame:
            self.reply(frame, request, line, "nak", now, cause=text)

    def _server_for(self, request: Request, line: Line) -> Ipv4 | None:
        """Who refuses a client that names no server: the one of the pool that serves its line.

        That is the pool of its binding there; else of its relay's network, and a relay of none of
        ours has another server; where there is no relay, of the address that it asks for, if any.
        """
        message, pools = request.message, list(self.projection.pools)
        found = self.projection.find(message.mac, line)
        bound = self.datapath.pool(found[1].pool_id) if found else None
        if bound:
            return bound.server_id
        link = message.giaddr or claimed_ip(message)
        on_link = [pool for pool in pools if pool.holds(link)]
        candidates = on_link if on_link or message.giaddr else pools
        return next((pool.server_id for pool in candidates), None)

    def reply(
        self,
        frame: bytes,
        asker: Request | Waiting,
        line: Line,
        kind: str,
        now: Now,
        *,
        cause: str,
        **more: Any,
    ) -> None:
        """Send a frame to a client; `more` stands in the audit line and may name another `ip`."""
        self._send_frame(line.ifindex, frame)
        self.tally[kind] += 1
        if self._quota.allows(kind, now.elapsed_ns):
            self._tell(asker.message, line, kind, cause, more)

    def _tell(
        self, message: Message, line: Line, kind: str, cause: str, more: dict[str, Any]
    ) -> None:
        found = self.projection.find(message.mac, line)
        fields = {
            "stage": "answered",
            "message": kind,
            "mac": mac_text(message.mac),
            "xid": f"{message.xid:08x}",
            "ip": ip_text(found[1].ip) if found else "",
            "line": self.projection.lines.text(line),
            "cause": cause,
            "event_id": "",
        }
        self._audit.info("client.answered", **(fields | more))
