"""Clients that wait for the allocator: a bounded table, one request per client at a time.

Every step but `drop_stale` and `applied` costs the same however many wait.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from edge_agent.dhcp.classify import claimed_ip
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.message import Message
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Ipv4, Mac

MAX_WAITING = 8192
TIMEOUT_NS = 3_000_000_000
REPEAT_NS = 1_000_000_000


@dataclass(slots=True)
class Waiting:
    """A client and his wish; `until_seq` is set when its answer holds as soon as that event is
    applied."""

    req: str
    mac: Mac
    line: Line
    message_type: int
    wish: tuple[Ipv4, Ipv4 | None]
    """What the allocator was asked for: the address, and from which server."""
    octets: bytes
    """The whole frame as it came in."""
    since_ns: int
    until_seq: int | None = None
    read: Request | None = None
    """What is in the frame, as soon as somebody has read it."""

    @classmethod
    def of(cls, req: str, request: Request, line: Line, since_ns: int) -> Self:
        """Who sent a request that was read already."""
        message = request.message
        return cls(
            req,
            message.mac,
            line,
            message.options.message_type,
            (claimed_ip(message), message.options.server_id),
            request.octets,
            since_ns,
            read=request,
        )

    @property
    def request(self) -> Request:
        """What he sent; read when somebody wants to know more of it."""
        if self.read is None:
            read = parse_request(self.octets)
            assert isinstance(read, Request), "the kernel program read it"
            self.read = read
        return self.read

    @property
    def message(self) -> Message:
        return self.request.message

    @property
    def key(self) -> tuple[Mac, Line, int]:
        return self.mac, self.line, self.message_type

    @property
    def is_discover(self) -> bool:
        return self.message_type == MessageType.DISCOVER


class WaitingTable:
    """Times are the elapsed clock in nanoseconds."""

    def __init__(self) -> None:
        self.refused = 0
        self._by_req: dict[str, Waiting] = {}
        self._by_client: dict[tuple[Mac, Line, int], Waiting] = {}
        self._discovers: dict[str, None] = {}
        self._held: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._by_req)

    def add(self, waiting: Waiting) -> bool:
        """Let a client wait; False = no command is due.

        A retransmission takes the place of the one before without asking again soon; another
        wish has to wait so long, or it would get the answer to the first. When the table is full
        a REQUEST takes the place of the DISCOVER that waits longest, and anybody else is refused;
        who gets no answer is counted and will repeat itself.
        """
        key = waiting.key
        standing = self._by_client.get(key)
        if standing and waiting.since_ns - standing.since_ns < REPEAT_NS:
            if standing.wish == waiting.wish:
                standing.octets, standing.read = waiting.octets, waiting.read
            return False
        if standing:
            self.take(standing.req)
        elif len(self._by_req) >= MAX_WAITING:
            self.refused += 1
            if waiting.is_discover or not self._discovers:
                return False
            self.take(next(iter(self._discovers)))
        self._by_req[waiting.req] = waiting
        self._by_client[key] = waiting
        if waiting.is_discover:
            self._discovers[waiting.req] = None
        return True

    def find(self, req: str) -> Waiting | None:
        return self._by_req.get(req)

    def take(self, req: str) -> Waiting | None:
        """Return the client that waits for `req` and forget it."""
        waiting = self._by_req.pop(req, None)
        if waiting:
            del self._by_client[waiting.key]
            self._discovers.pop(req, None)
            self._held.pop(req, None)
        return waiting

    def hold(self, waiting: Waiting, until_seq: int) -> None:
        """Its answer holds as soon as event `until_seq` is applied."""
        waiting.until_seq = until_seq
        self._held[waiting.req] = waiting

    def forget(self, mac: Mac, line: Line) -> None:
        """The client turned to another server."""
        for kind in (MessageType.DISCOVER, MessageType.REQUEST):
            waiting = self._by_client.get((mac, line, kind))
            if waiting:
                self.take(waiting.req)

    def applied(self, seq: int) -> Iterator[Waiting]:
        """Take those whose answer holds since `seq` is applied."""
        for waiting in list(self._held.values()):
            if waiting.until_seq is not None and waiting.until_seq <= seq:
                self.take(waiting.req)
                yield waiting

    def drop_stale(self, now_ns: int) -> int:
        """Forget those that waited too long; return how many."""
        stale = [w.req for w in self._by_req.values() if now_ns - w.since_ns > TIMEOUT_NS]
        for req in stale:
            self.take(req)
        return len(stale)
