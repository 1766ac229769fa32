"""Clients that wait for the allocator: a bounded table, one request per client at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.dhcp.request import Request
from lease_core.domain.values import Mac

MAX_WAITING = 8192
TIMEOUT_NS = 3_000_000_000
REPEAT_NS = 1_000_000_000


@dataclass(slots=True)
class Waiting:
    """`until_seq` is set when the answer holds as soon as that event is applied."""

    req: str
    request: Request
    ifindex: int
    since_ns: int
    until_seq: int | None = None

    @property
    def key(self) -> tuple[Mac, int, int]:
        message = self.request.message
        return message.mac, self.ifindex, message.options.message_type


class WaitingTable:
    """Times are the elapsed clock in nanoseconds."""

    def __init__(self) -> None:
        self.refused = 0
        self._by_req: dict[str, Waiting] = {}
        self._by_client: dict[tuple[Mac, int, int], Waiting] = {}

    def __len__(self) -> int:
        return len(self._by_req)

    def add(self, waiting: Waiting) -> bool:
        """Let a client wait; False = no command is due.

        A retransmission takes the place of the one before without asking again soon. When the
        table is full the newcomer is refused and counted: it will repeat itself.
        """
        standing = self._by_client.get(waiting.key)
        if standing and waiting.since_ns - standing.since_ns < REPEAT_NS:
            standing.request = waiting.request
            return False
        if standing:
            del self._by_req[standing.req]
        elif len(self._by_req) >= MAX_WAITING:
            self.refused += 1
            return False
        self._by_req[waiting.req] = waiting
        self._by_client[waiting.key] = waiting
        return True

    def find(self, req: str) -> Waiting | None:
        return self._by_req.get(req)

    def take(self, req: str) -> Waiting | None:
        """Return the client that waits for `req` and forget it."""
        waiting = self._by_req.pop(req, None)
        if waiting:
            del self._by_client[waiting.key]
        return waiting

    def forget(self, mac: Mac, ifindex: int) -> None:
        """The client turned to another server."""
        for client, waiting in list(self._by_client.items()):
            if client[:2] == (mac, ifindex):
                self.take(waiting.req)

    def applied(self, seq: int) -> Iterator[Waiting]:
        """Take those whose answer holds since `seq` is applied."""
        ready = [w for w in self._by_req.values() if w.until_seq is not None and w.until_seq <= seq]
        for waiting in ready:
            self.take(waiting.req)
            yield waiting

    def drop_stale(self, now_ns: int) -> int:
        """Forget those that waited too long; return how many."""
        stale = [w.req for w in self._by_req.values() if now_ns - w.since_ns > TIMEOUT_NS]
        for req in stale:
            self.take(req)
        return len(stale)
