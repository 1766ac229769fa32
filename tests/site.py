"""A site in memory for domain tests: ledger and desk under a clock that the test moves."""

from lease_core.domain.commands import (
    AckRemoval,
    Answer,
    Command,
    Heartbeat,
    Offered,
    RequestLease,
    RequestOffer,
)
from lease_core.domain.decide import decide, tick
from lease_core.domain.desk import SECOND, Desk, Timing
from lease_core.domain.events import Event, PoolAdded
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac, ip_from_text

FIRST = ip_from_text("100.64.0.2")


def pool_added(size: int = 4, name: str = "res-1", number: int = 1) -> PoolAdded:
    base = ip_from_text(f"100.{63 + number}.0.0")
    return PoolAdded(
        pool=name,
        number=number,
        network=f"100.{63 + number}.0.0/16",
        first=Ipv4(base + 2),
        last=Ipv4(base + 1 + size),
        gateway=Ipv4(base + 1),
        dns="",
        lease_time_s=3600,
        cause="test",
    )


class Site:
    def __init__(self, size: int = 4, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.now_ns = 1000 * SECOND
        self.ledger = Ledger()
        self.desk = Desk(self.ledger, self.timing, self.now_ns)
        self.log: list[Event] = []
        self.record(pool_added(size))
        self.do(Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0))

    def record(self, event: Event) -> None:
        self.ledger.evolve(self.ledger.seq + 1, 1, event)
        self.desk.observe(event, self.now_ns)
        self.log.append(event)

    def do(self, command: Command) -> tuple[tuple[Event, ...], Answer | None]:
        decision = decide(self.ledger, self.desk, command, self.now_ns)
        for event in decision.events:
            self.record(event)
        return decision.events, decision.answer

    def wait(self, seconds: float) -> list[Event]:
        """Let time pass; returns what it brought."""
        self.now_ns += int(seconds * SECOND)
        events = tick(self.ledger, self.desk, self.now_ns)
        for event in events:
            self.record(event)
        return events

    def take_over(self) -> None:
        """Another allocator starts from the log alone."""
        ledger = Ledger()
        for seq, event in enumerate(self.log, 1):
            ledger.evolve(seq, 1, event)
        self.ledger = ledger
        self.desk = Desk(ledger, self.timing, self.now_ns)

    def life(self) -> str:
        """The incarnation of the edge that serves the site now."""
        return self.ledger.edge.incarnation if self.ledger.edge else ""

    # --- short forms ---

    def offer(self, mac: int, line: str = "access0", wanted: int = 0) -> Ipv4 | None:
        _, answer = self.do(
            RequestOffer(req=f"o{mac}", mac=Mac(mac), line=line, wanted=Ipv4(wanted))
        )
        return answer.ip if isinstance(answer, Offered) else None

    def request(
        self, mac: int, ip: int, line: str = "access0", kind: str = "selecting"
    ) -> tuple[tuple[Event, ...], Answer | None]:
        return self.do(RequestLease(req=f"r{mac}", mac=Mac(mac), line=line, ip=Ipv4(ip), kind=kind))

    def lease(self, mac: int, line: str = "access0") -> Ipv4:
        """The whole exchange of a new client."""
        ip = self.offer(mac, line)
        assert ip is not None
        events, _ = self.request(mac, ip, line)
        assert len(events) == 1
        return ip

    def ack(self, ip: int, remaining_s: int = 0) -> tuple[Event, ...]:
        removal = self.ledger.removed[Ipv4(ip)]
        events, _ = self.do(
            AckRemoval(
                req="a",
                ip=Ipv4(ip),
                ref=removal.seq,
                remaining_s=remaining_s,
                incarnation=self.life(),
            )
        )
        return events
