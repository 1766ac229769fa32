"""The checkers: what must hold, seen from outside, in real time.

Each `SiteOracle` follows the log at the server itself and every reply at the wire; it believes
neither allocator nor agent. A violation names its invariant.
"""

from dataclasses import dataclass, field

from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.tables import Line, key_mac
from edge_agent.sync.follower import Following
from edge_agent.sync.lines import Lines
from edge_agent.sync.removals import TOMBSTONE, discriminator
from lease_core.domain.desk import Desk
from lease_core.domain.events import HorizonGranted, LeaseAdopted, LeaseAssigned, Record
from lease_core.domain.ledger import Binding, Ledger, LedgerError
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from lease_core.log.port import Batch
from tests.simulation.client import Reply
from tests.simulation.clocks import SECOND, Clock
from tests.simulation.router import MAX_SUBSCRIBERS, Router
from tests.simulation.seams import LEASE_S, RHO, TIMING

Key = tuple[str, Mac]
"""Line and MAC: a subscriber of a site."""

MAX_SLEW = 0.0917
MAX_RATE = 1.024


class Violation(Exception):
    """An invariant does not hold."""


@dataclass(slots=True)
class Promise:
    key: Key
    end_s: float


def folded(records: list[Record]) -> Ledger:
    ledger = Ledger()
    for record in records:
        ledger.evolve(record.seq, record.epoch, record.event)
    return ledger


@dataclass(slots=True)
class SiteOracle:
    site: str
    ledger: Ledger = field(default_factory=Ledger)
    records: list[Record] = field(default_factory=list)
    promises: dict[Ipv4, Promise] = field(default_factory=dict)
    horizon_end_s: float = 0.0
    acks: int = 0
    naks: int = 0
    lost: list[list[Record]] = field(default_factory=list)
    """Records of logs that went back or were flushed; an edge may be on one of them still."""
    _seen: Ledger = field(default_factory=Ledger)
    _seen_of: tuple[int, int, int] = (0, 0, 0)

    # --- the log ---

    def went_back(self, seq: int, h: str, *, is_told: bool) -> None:
        """The log ends after event `seq` now; 0 = another log begins in its place.

        Where nobody was told of what is lost, no edge may be on it.
        """
        if is_told:
            self.lost.append(self.records)
        self.records = self._branch(seq, h)[:seq]
        self.ledger = folded(self.records)

    def branch_of(self, router: Router) -> list[Record]:
        """The log that the tables are of: this one, or the last lost one that has their event."""
        state = router.maps.state()
        seq, h = state.cursor_lo, state.cursor_hash.hex()
        return self._branch(seq, h)

    def _branch(self, seq: int, h: str) -> list[Record]:
        for branch in (self.records, *reversed(self.lost)):
            if not seq or (seq <= len(branch) and branch[seq - 1].h == h):
                return branch
        raise Violation(f"I2, I4: {self.site}: the cursor {seq} is of no event that stands")

    def standing(self, now_s: float) -> set[Ipv4]:
        """Addresses that a stranger must not get yet."""
        ends = {ip: promise.end_s + TIMING.reuse_guard_s for ip, promise in self.promises.items()}
        return {ip for ip, end_s in ends.items() if end_s > now_s}

    def appended_in_vain(self, batch: Batch, router: Router) -> None:
        """What a deposed master took; an edge that is led there acts on it."""
        before = batch.before
        if not batch.records:
            return
        [branch] = [
            lost
            for lost in self.lost
            if len(lost) == before.seq and (not lost or lost[-1].h == before.h)
        ]
        branch += batch.records
        for record in batch.records:
            if isinstance(record.event, HorizonGranted):
                self._note_grant(record.event, router)

    def appended(self, batch: Batch, router: Router, now_s: float, *, is_known: bool) -> None:
        """Every batch that the server took, at the moment it did.

        Where the allocators do not know of a loss, an assignment may be one that comes to nothing
        because the edge does not agree: it is judged when it is told to a client.
        """
        for record in batch.records:
            try:
                self.ledger.evolve(record.seq, record.epoch, record.event)
            except LedgerError as error:
                raise Violation(f"I5, I11: {error}") from error
            self.records.append(record)
            match record.event:
                case LeaseAssigned() | LeaseAdopted() as assigned if is_known:
                    self._check_reuse((assigned.line, assigned.mac), assigned.ip, now_s)
                case HorizonGranted() as granted:
                    self._note_grant(granted, router)

    def _check_reuse(self, key: Key, ip: Ipv4, now_s: float) -> None:
        """I7: a stranger gets an address no earlier than Q after the last promise of it ended."""
        last = self.promises.get(ip)
        if last is None or last.key == key:
            return
        if (last.key[1], key[0][:2]) == (key[1], "if"):
            return  # the holder's own, adopted on a line that has no name any more
        guard_s = TIMING.reuse_guard_s / MAX_RATE - RHO * LEASE_S
        if now_s < last.end_s + guard_s:
            raise Violation(
                f"I7: {ip_text(ip)} goes to {mac_text(key[1])} on {key[0]} at "
                f"{now_s:.2f} s, {mac_text(last.key[1])} on {last.key[0]} was promised it until "
                f"{last.end_s:.2f} s (Q is {TIMING.reuse_guard_s} s)"
            )

    def _note_grant(self, event: HorizonGranted, router: Router) -> None:
        sent_s = router.beats.get(event.nonce)
        if sent_s is not None:
            usable_s = event.horizon_s * (1 - RHO) / router.clock.rate
            self.horizon_end_s = max(self.horizon_end_s, sent_s + usable_s)

    # --- the wire ---

    def replied(self, router: Router, ifindex: int, reply: Reply, who: str, now_s: float) -> None:
        line = next(name for name, number in router.interfaces.items() if number == ifindex)
        if reply.kind == MessageType.ACK:
            self.acks += 1
            self._acked(router, (line, reply.mac), reply, who, now_s)
        elif reply.kind == MessageType.NAK:
            self.naks += 1
            self._check_refusal(router, (line, reply.mac), now_s)

    def _check_refusal(self, router: Router, key: Key, now_s: float) -> None:
        """I9: only an agent that follows the log up to now, and may serve, says NAK."""
        edge = router.agent.edge if router.agent else None
        state = router.maps.state()
        may_serve = state.gate and state.horizon_boot_ns > router.clock.boot_ns()
        if edge is None or edge.following is not Following.LIVE or not may_serve:
            following = edge.following if edge else "dead"
            raise Violation(
                f"I9: {self.site} says NAK to {key} at {now_s:.2f} s: it is {following}"
            )

    def _acked(self, router: Router, key: Key, reply: Reply, who: str, now_s: float) -> None:
        said = f"{who} ACKs {ip_text(reply.ip)} to {mac_text(key[1])} on {key[0]} at {now_s:.2f} s"
        self._check_covered(router, key, reply.ip, said)
        self._check_nested(router, reply, said, now_s)
        end_s = now_s + reply.lease_s
        last = self.promises.get(reply.ip)
        if last and last.key != key and last.end_s > now_s:
            raise Violation(f"I1: {said}, but {last.key} was promised it until {last.end_s:.2f} s")
        self._check_reuse(key, reply.ip, now_s)
        if last and last.key == key:
            end_s = max(end_s, last.end_s)
        self.promises[reply.ip] = Promise(key, end_s)

    def _check_covered(self, router: Router, key: Key, ip: Ipv4, said: str) -> None:
        """I2, I8: a durable assignment to this subscriber on this line stands behind an ACK."""
        branch = self.branch_of(router)
        ledger = self.ledger if branch is self.records else folded(branch)
        removal = ledger.removed.get(ip)
        waiting = removal.binding if removal and removal.quarantine_s is None else None
        binding = ledger.bound.get(ip) or waiting
        if binding is None:
            raise Violation(f"I2: {said}, but no assignment of it stands in the log")
        if binding.mac != key[1] or binding.line != key[0]:
            raise Violation(f"I2, I8: {said}, but the log says {binding}")

    def _check_nested(self, router: Router, reply: Reply, said: str, now_s: float) -> None:
        """I2, I6: P <= E on the kernel's clock, and a durable grant covers it in real time."""
        state, boot_ns = router.maps.state(), router.clock.boot_ns()
        if boot_ns + reply.lease_s * SECOND > state.horizon_boot_ns:
            raise Violation(f"I6: {said} for {reply.lease_s} s, beyond E")
        end_s = now_s + reply.lease_s / router.clock.rate
        if end_s > self.horizon_end_s + self._slack_s(router):
            raise Violation(
                f"I2, I6: {said} for {reply.lease_s} s, but the grants in the log end at "
                f"{self.horizon_end_s:.2f} s"
            )

    def check_held(self, router: Router, held_seq: float) -> None:
        """I2: the tables have nothing that may get lost with the master."""
        seq = router.maps.state().cursor_lo
        if seq > held_seq and self.branch_of(router) is self.records:
            raise Violation(
                f"I2: {self.site} acts on event {seq}, replicas hold {held_seq:.0f} of them"
            )

    # --- at intervals ---

    def check_nesting(self, router: Router, now_s: float) -> None:
        """I6: E is no later than the grants in the log allow, in real time."""
        end_s = self._edge_end_s(router, now_s)
        if end_s > max(now_s, self.horizon_end_s) + self._slack_s(router):
            raise Violation(
                f"I6: {self.site} at {now_s:.2f} s: E ends at {end_s:.3f} s, the grants in the log "
                f"at {self.horizon_end_s:.3f} s"
            )

    def check_desk(self, router: Router, desk: Desk, clock: Clock, now_s: float) -> None:
        """I6: E <= A, both carried over to real time."""
        edge_end_s = self._edge_end_s(router, now_s)
        allocator_end_s = now_s + (desk.horizon_ns - clock.elapsed_ns()) / SECOND / clock.rate
        if edge_end_s > max(now_s, allocator_end_s) + self._slack_s(router):
            raise Violation(
                f"I6: {self.site} at {now_s:.2f} s: E ends at {edge_end_s:.3f} s, A already at "
                f"{allocator_end_s:.3f} s"
            )

    def _edge_end_s(self, router: Router, now_s: float) -> float:
        left_ns = router.maps.state().horizon_boot_ns - router.clock.boot_ns()
        return now_s + left_ns / SECOND / router.clock.rate

    def _slack_s(self, router: Router) -> float:
        """Nothing, unless a time daemon slews the kernel's clock while no agent touches E.

        Or all clocks of the machine stood still, which shows as soon as it is answered.
        """
        if not router.clock.was_slewed:
            return router.unseen_s + 1e-6
        untouched_ns = router.clock.boot_ns() - router.maps.state().touched_boot_ns
        return router.unseen_s + MAX_SLEW * untouched_ns / SECOND + 0.2

    def check_states(self) -> None:
        """I10: every address is in one state, within its pool, and rests are counted right."""
        ledger = self.ledger
        states = [set(ledger.bound), set(ledger.removed), set(ledger.freed)]
        if sum(map(len, states)) != len(set().union(*states)):
            raise Violation(f"I10: {self.site}: an address is in two states")
        for ip in set().union(*states):
            if ledger.pool_of(ip) is None:
                raise Violation(f"I10: {ip_text(ip)} is in no pool of {self.site}")
        if any(resting < 0 for resting in ledger.resting.values()):
            raise Violation(f"I10: fewer than no address rests in {self.site}")

    def check_equal(self, ledger: Ledger) -> None:
        """I3: the state of whoever appended last, unless it decided more already."""
        own = self.ledger
        if ledger.seq != own.seq:
            return
        pairs = (
            (ledger.bound, own.bound),
            (ledger.removed, own.removed),
            (ledger.freed, own.freed),
        )
        if any(one != other for one, other in pairs):
            raise Violation(f"I3: {self.site} at seq {own.seq}: its writer holds another state")

    def check_tables(self, router: Router) -> None:
        """I4: the tables are the fold of the log up to their cursor."""
        maps = router.maps
        state = maps.state()
        is_whole = state.cursor_lo == state.cursor_hi and any(state.genesis)
        if not is_whole or state.lines != Lines(router.interfaces).fingerprint():
            return
        seq = state.cursor_lo
        bound = self._fold(seq, id(maps), router).bound.values()
        expected = {(b.mac, b.line, b.ip, b.seq) for b in bound if b.line in router.interfaces}
        names = {Line(number): name for name, number in router.interfaces.items()}
        found = [
            (key_mac(key), names.get(entry.line, "?"), entry.ip, entry.seq)
            for key, entry in maps.entries()
            if discriminator(key) < TOMBSTONE
        ]
        if set(found) != expected or len(found) != len(expected):
            raise Violation(
                f"I4: {self.site} at seq {seq}: only in tables {sorted(set(found) - expected)}, "
                f"only in the log {sorted(expected - set(found))}"
            )

    def _fold(self, seq: int, life: int, router: Router) -> Ledger:
        branch = self.branch_of(router)
        if self._seen_of[:2] != (life, id(branch)) or self._seen.seq > seq:
            if self._seen_of[:2] == (life, id(branch)):
                raise Violation(f"I4: {self.site}: the cursor went back to {seq}")
            self._seen = Ledger()
        self._seen_of = (life, id(branch), seq)
        for record in branch[self._seen.seq : seq]:
            self._seen.evolve(record.seq, record.epoch, record.event)
        return self._seen

    def check_bounds(self, router: Router) -> None:
        """I12: tables, queues and memories have bounds."""
        maps, agent = router.maps, router.agent
        sizes = {"subscribers": (len(maps._subscribers), MAX_SUBSCRIBERS),
                 "promises": (len(maps._promises), MAX_SUBSCRIBERS)}  # fmt: skip
        if agent:
            edge = agent.edge
            sizes["waiting clients"] = (len(edge.slow_path.waiting), 200)
            sizes["heartbeats"] = (len(edge.horizon._sent), 16)
            sizes["queue upstream"] = (len(agent._upstream), 4096)
            sizes["repeats"] = (len(edge.duties._repeat_ns), MAX_SUBSCRIBERS)
        sizes["retired lives"] = (len(self.ledger.retired), 16)
        for what, (size, limit) in sizes.items():
            if size > limit:
                raise Violation(f"I12: {self.site}: {size} {what}, {limit} are allowed")

    def binding_at(self, ip: Ipv4) -> Binding | None:
        return self.ledger.bound.get(ip)
