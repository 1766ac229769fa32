"""The ledger: the state of one site as its log tells it, and nothing else.

Flow: takes events in log order, gives look-ups. It knows no clock: what depends on elapsed time
(offers, deadlines, horizons) is the desk's. Two processes that evolved the same events hold
equal ledgers with equal digests (I3).
"""

import hashlib
import ipaddress
from dataclasses import dataclass, field

from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    EpochStarted,
    Event,
    HorizonGranted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    PoolAdded,
    RemovalAcked,
)
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text

RETIRED_INCARNATIONS = 16


class LedgerError(Exception):
    """An event contradicts what the log said before; the fault of whoever wrote it. Halt."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An address tied to a subscriber by the event `seq`."""

    mac: Mac
    line: str
    ip: Ipv4
    pool: str
    seq: int


@dataclass(frozen=True, slots=True)
class Removal:
    """A binding that event `seq` ended, whose address nobody else may have yet.

    `declined_s` is how long the address rests because its holder declined it, None if it did not;
    `quarantine_s` is None until the edge acknowledged the removal.
    """

    binding: Binding
    seq: int
    declined_s: int | None = None
    quarantine_s: int | None = None


@dataclass(frozen=True, slots=True)
class EdgeLife:
    """The edge that serves the site; its promise table began with the event `since_seq`."""

    edge: str
    incarnation: str
    since_seq: int


@dataclass(slots=True)
class Ledger:
    seq: int = 0
    epoch: int = 0
    pools: dict[str, PoolAdded] = field(default_factory=dict)
    bound: dict[Ipv4, Binding] = field(default_factory=dict)
    removed: dict[Ipv4, Removal] = field(default_factory=dict)
    freed: dict[Ipv4, Binding] = field(default_factory=dict)
    declines: dict[Ipv4, int] = field(default_factory=dict)
    resting: dict[str, int] = field(default_factory=dict)
    edge: EdgeLife | None = None
    retired: tuple[str, ...] = ()
    _by_mac: dict[Mac, tuple[Binding, ...]] = field(default_factory=dict)
    _former: dict[tuple[Mac, str], Ipv4] = field(default_factory=dict)
    _networks: list[tuple[int, int, PoolAdded]] = field(default_factory=list)

    # --- look-ups ---

    def binding_of(self, mac: Mac, line: str) -> Binding | None:
        return next((b for b in self._by_mac.get(mac, ()) if b.line == line), None)

    def bindings_of(self, mac: Mac) -> tuple[Binding, ...]:
        """Every binding of a MAC: more than one means that it is seen on more than one line."""
        return self._by_mac.get(mac, ())

    def former_ip(self, mac: Mac, line: str) -> Ipv4 | None:
        """The address this subscriber held last, while nobody else was given it."""
        return self._former.get((mac, line))

    def pool_of(self, ip: Ipv4) -> PoolAdded | None:
        """The pool whose assignable range holds `ip`."""
        return next((p for p in self.pools.values() if p.first <= ip <= p.last), None)

    def pools_on_link(self, link: Ipv4) -> list[PoolAdded]:
        """Pools whose network holds `link`, in the order they were added; all for link 0."""
        if not link:
            return list(self.pools.values())
        return [pool for network, mask, pool in self._networks if link & mask == network]

    # --- evolution ---

    def evolve(self, seq: int, epoch: int, event: Event) -> None:
        """Apply the event that the log holds at `seq`.

        Raises:
            LedgerError: it does not follow the ones before it.
        """
        if seq != self.seq + 1:
            raise LedgerError(f"event {seq} comes after event {self.seq}: a gap (I4)")
        if epoch < self.epoch:
            raise LedgerError(f"event {seq} is of epoch {epoch}, older than {self.epoch} (I5)")
        self._apply(event, seq)
        self.seq, self.epoch = seq, epoch

    def _apply(self, event: Event, seq: int) -> None:
        match event:
            case LeaseAssigned():
                self._assign(event, seq)
            case LeaseReleased() | LeaseExpired() | LeaseRevoked():
                self._end(event.ip, event.mac, seq)
            case AddressDeclined():
                self._end(event.ip, event.mac, seq, event.quarantine_s)
                self.declines[event.ip] = self.declines.get(event.ip, 0) + 1
            case RemovalAcked():
                self._ack(event, seq)
            case AddressFreed():
                self._free(event, seq)
            case PoolAdded():
                self._add_pool(event, seq)
            case HorizonGranted():
                self._grant_horizon(event, seq)
            case EpochStarted():
                pass
            case _:
                raise LedgerError(f"event {seq}: {type(event).__name__} is no event of a site")

    def _assign(self, event: LeaseAssigned, seq: int) -> None:
        key = (event.mac, event.line)
        removal = self.removed.get(event.ip)
        held_by_other = removal is not None and ((removal.binding.mac, removal.binding.line) != key)
        if event.ip in self.bound or held_by_other:
            raise LedgerError(
                f"event {seq} assigns {ip_text(event.ip)} to "
                f"{mac_text(event.mac)} while another may hold it (I1, I7)"
            )
        if self.binding_of(*key):
            raise LedgerError(
                f"event {seq} gives {mac_text(event.mac)} on {event.line} a second address"
            )
        self.removed.pop(event.ip, None)
        self._forget_former(event.ip)
        self._former.pop(key, None)
        binding = Binding(event.mac, event.line, event.ip, event.pool, seq)
        self.bound[event.ip] = binding
        self._by_mac[event.mac] = (*self._by_mac.get(event.mac, ()), binding)

    def _end(self, ip: Ipv4, mac: Mac, seq: int, declined_s: int | None = None) -> None:
        binding = self.bound.get(ip)
        if binding is None or binding.mac != mac:
            raise LedgerError(
                f"event {seq} ends a binding of {ip_text(ip)} to "
                f"{mac_text(mac)} that does not exist"
            )
        del self.bound[ip]
        rest = tuple(b for b in self._by_mac[mac] if b is not binding)
        if rest:
            self._by_mac[mac] = rest
        else:
            del self._by_mac[mac]
        self.removed[ip] = Removal(binding, seq, declined_s)
        if declined_s is None:
            self._former[binding.mac, binding.line] = ip
        elif declined_s:
            self.resting[binding.pool] = self.resting.get(binding.pool, 0) + 1

    def _ack(self, event: RemovalAcked, seq: int) -> None:
        removal = self.removed.get(event.ip)
        if removal is None or removal.seq != event.ref:
            raise LedgerError(
                f"event {seq} acknowledges event {event.ref}, which "
                f"did not end a binding of {ip_text(event.ip)}"
            )
        self.removed[event.ip] = Removal(
            removal.binding, removal.seq, removal.declined_s, event.quarantine_s
        )

    def _free(self, event: AddressFreed, seq: int) -> None:
        removal = self.removed.pop(event.ip, None)
        if removal is None:
            raise LedgerError(
                f"event {seq} frees {ip_text(event.ip)}, which was not in quarantine (I7)"
            )
        if removal.declined_s:
            self.resting[removal.binding.pool] -= 1
        self.freed[event.ip] = removal.binding

    def _add_pool(self, event: PoolAdded, seq: int) -> None:
        network = ipaddress.IPv4Network(event.network)
        if event.pool in self.pools or event.number != len(self.pools) + 1:
            raise LedgerError(f"event {seq} adds pool {event.pool} twice")
        self.pools[event.pool] = event
        self._networks.append((int(network.network_address), int(network.netmask), event))

    def _grant_horizon(self, event: HorizonGranted, seq: int) -> None:
        if self.edge and self.edge.incarnation == event.incarnation:
            return
        if self.edge:
            self.retired = (*self.retired, self.edge.incarnation)[-RETIRED_INCARNATIONS:]
        self.edge = EdgeLife(event.edge, event.incarnation, seq)

    def _forget_former(self, ip: Ipv4) -> None:
        """`ip` goes to somebody: its former holder has no claim to it any more."""
        last = self.freed.pop(ip, None)
        if last and self._former.get((last.mac, last.line)) == ip:
            del self._former[last.mac, last.line]

    # --- comparison ---

    def digest(self) -> str:
        """A hash over the whole state; equal ledgers have equal digests (I3)."""
        parts = hashlib.blake2b(digest_size=16)
        for row in (
            (self.seq, self.epoch, self.edge, self.retired),
            *self.pools.values(),
            *(self.bound[ip] for ip in sorted(self.bound)),
            *(self.removed[ip] for ip in sorted(self.removed)),
            *self.freed.items(),
            *sorted(self.declines.items()),
        ):
            parts.update(repr(row).encode())
        return parts.hexdigest()
