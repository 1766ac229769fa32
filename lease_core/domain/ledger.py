"""The ledger: the state of one site as its log tells it, and nothing else.

Flow: takes events in log order, gives look-ups. It knows no clock: what depends on elapsed time
(offers, deadlines, horizons) is the desk's. Two processes that evolved the same events hold
equal ledgers with equal digests (I3).
"""

import ipaddress
from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    EpochStarted,
    Event,
    HorizonGranted,
    LeaseAdopted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    PoolAdded,
    PoolOptionsSet,
    RecoveryEnded,
    RecoveryStarted,
    RemovalAcked,
    SnapshotTaken,
    SnapshotVerified,
)
from lease_core.domain.rows import digest_of
from lease_core.domain.state import (
    Binding,
    EdgeLife,
    LedgerError,
    Recovery,
    Removal,
    SnapshotMark,
    State,
)
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text

__all__ = ["Binding", "EdgeLife", "Ledger", "LedgerError", "Removal", "SnapshotMark"]

RETIRED_INCARNATIONS = 16
_FIRST = itemgetter(0)


@dataclass(slots=True)
class Ledger(State):
    """The state of one site, and the events that change it."""

    _by_mac: dict[Mac, Binding | list[Binding]] = field(default_factory=dict)
    """The binding of a MAC, or a list, never changed, of its bindings on several lines."""
    _networks: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Network and mask of each pool."""
    _ranges: list[tuple[Ipv4, str]] = field(default_factory=list)
    """Pools by their first address, ascending; no two of them overlap."""

    # --- look-ups ---

    def binding_of(self, mac: Mac, line: str) -> Binding | None:
        found = self._by_mac.get(mac)
        if isinstance(found, list):
            return next((b for b in found if b.line == line), None)
        return found if found and found.line == line else None

    def bindings_of(self, mac: Mac) -> tuple[Binding, ...]:
        """Every binding of a MAC: more than one means that it is seen on more than one line."""
        found = self._by_mac.get(mac, ())
        return (found,) if isinstance(found, Binding) else tuple(found)

    def first_seq(self, binding: Binding) -> int:
        """The event since which the holder may be promised the address, however often it ended.

        Whoever comes back out of a removal is as old as before: what a former life of the edge
        promised him still counts (I7).
        """
        return self.held_since.get(binding.ip, binding.seq)

    def former_ip(self, mac: Mac, line: str) -> Ipv4 | None:
        """The address this subscriber held last, while nobody else was given it."""
        return self.former.get((mac, line))

    def pool_of(self, ip: Ipv4) -> PoolAdded | None:
        """The pool whose assignable range holds `ip`."""
        at = bisect_right(self._ranges, ip, key=_FIRST)
        pool = self.pools[self._ranges[at - 1][1]] if at else None
        return pool if pool and ip <= pool.last else None

    def is_on_link(self, pool: str, link: Ipv4) -> bool:
        """Whether the network of the pool holds `link`; every one is on link 0."""
        network, mask = self._networks[pool]
        return not link or link & mask == network

    def pools_on(self, link: Ipv4) -> Iterator[PoolAdded]:
        """The pools that serve `link`, in the order they were added; 0 = all."""
        return (pool for pool in self.pools.values() if self.is_on_link(pool.pool, link))

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
        """Apply what happens to addresses; the rest is `_note`."""
        match event:
            case LeaseAssigned():
                self._assign(event, seq)
            case LeaseAdopted():
                self._adopt(event, seq)
            case LeaseReleased() | LeaseExpired() | LeaseRevoked():
                self._end(event.ip, event.mac, seq)
            case AddressDeclined():
                self._end(event.ip, event.mac, seq, event.quarantine_s)
                self.declines[event.ip] = self.declines.get(event.ip, 0) + 1
            case RemovalAcked():
                self._ack(event, seq)
            case AddressFreed():
                self._free(event, seq)
            case _:
                self._note(event, seq)

    def _note(self, event: Event, seq: int) -> None:
        match event:
            case PoolAdded():
                self.add_pool(event, seq)
            case PoolOptionsSet():
                self._set_options(event, seq)
            case HorizonGranted():
                self._grant_horizon(event, seq)
            case RecoveryStarted():
                self._start_recovery(event, seq)
            case RecoveryEnded():
                self.recovery = None
            case SnapshotTaken():
                self._note_snapshot(event, seq)
            case SnapshotVerified():
                self._note_verified(event, seq)
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
        if removal:
            self._stop_resting(self.removed.pop(event.ip))
            self.held_since.setdefault(event.ip, removal.binding.seq)
        self._forget_former(event.ip)
        self.former.pop(key, None)
        self.bind(Binding(event.mac, event.line, event.ip, event.pool, seq))

    def _adopt(self, event: LeaseAdopted, seq: int) -> None:
        """Bind an address over whatever removal of it the log still has: the edge knows better.

        How long the holder may have been promised it is not known: as long as there is this log.
        """
        key = (event.mac, event.line)
        if event.ip in self.bound or self.binding_of(*key) or event.pool not in self.pools:
            raise LedgerError(
                f"event {seq} adopts {ip_text(event.ip)} for {mac_text(event.mac)} on "
                f"{event.line} against another binding (I1)"
            )
        removal = self.removed.pop(event.ip, None)
        if removal:
            self._stop_resting(removal)
            self._forget_claim(removal.binding)
        self._forget_former(event.ip)
        self.former.pop(key, None)
        self.held_since[event.ip] = 1
        self.bind(Binding(event.mac, event.line, event.ip, event.pool, seq))

    def _start_recovery(self, event: RecoveryStarted, seq: int) -> None:
        self.recovery = Recovery(seq, event.edge, event.incarnation)
        self.replaces = (*self.replaces, *event.replaces.split())

    def bind(self, binding: Binding) -> None:
        self.bound[binding.ip] = binding
        others = self.bindings_of(binding.mac)
        self._by_mac[binding.mac] = [*others, binding] if others else binding

    def bind_many(self, bindings: Sequence[Binding]) -> None:
        """Bind several at once, no two of which have the same address."""
        by_mac = {b.mac: b for b in bindings}
        if len(by_mac) == len(bindings) and self._by_mac.keys().isdisjoint(by_mac):
            self._by_mac.update(by_mac)
            self.bound.update([(b.ip, b) for b in bindings])
            return
        for binding in bindings:
            self.bind(binding)

    def _end(self, ip: Ipv4, mac: Mac, seq: int, declined_s: int | None = None) -> None:
        binding = self.bound.get(ip)
        if binding is None or binding.mac != mac:
            raise LedgerError(
                f"event {seq} ends a binding of {ip_text(ip)} to "
                f"{mac_text(mac)} that does not exist"
            )
        del self.bound[ip]
        rest = [b for b in self.bindings_of(mac) if b is not binding]
        if rest:
            self._by_mac[mac] = rest if len(rest) > 1 else rest[0]
        else:
            del self._by_mac[mac]
        self.removed[ip] = Removal(binding, seq, declined_s)
        if declined_s is None:
            self.former[binding.mac, binding.line] = ip
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
        self._stop_resting(removal)
        self.held_since.pop(event.ip, None)
        self.freed[event.ip] = removal.binding

    def _stop_resting(self, removal: Removal) -> None:
        if removal.declined_s:
            self.resting[removal.binding.pool] -= 1

    def add_pool(self, event: PoolAdded, seq: int) -> None:
        try:
            network = ipaddress.IPv4Network(event.network)
        except ValueError as error:
            raise LedgerError(f"event {seq} adds pool {event.pool}: {error}") from error
        if event.pool in self.pools or event.number != len(self.pools) + 1:
            raise LedgerError(f"event {seq} adds pool {event.pool} twice")
        self.pools[event.pool] = event
        self._networks[event.pool] = int(network.network_address), int(network.netmask)
        insort(self._ranges, (event.first, event.pool))

    def _set_options(self, event: PoolOptionsSet, seq: int) -> None:
        pool = self.pools.get(event.pool)
        if pool is None or event.plan_seq <= pool.plan_seq:
            raise LedgerError(f"event {seq} sets options of pool {event.pool} out of turn")
        self.pools[event.pool] = replace(
            pool, dns=event.dns, options=event.options, plan_seq=event.plan_seq
        )

    def _grant_horizon(self, event: HorizonGranted, seq: int) -> None:
        if self.edge and self.edge.incarnation == event.incarnation:
            return
        if self.edge:
            self.retired = (*self.retired, self.edge.incarnation)[-RETIRED_INCARNATIONS:]
        self.edge = EdgeLife(event.edge, event.incarnation, seq)

    def _note_snapshot(self, event: SnapshotTaken, seq: int) -> None:
        if event.covers >= seq or (self.taken and event.covers <= self.taken.covers):
            raise LedgerError(f"event {seq} tells of a snapshot of {event.covers} out of turn")
        self.taken = SnapshotMark(event.covers, event.digest, event.taker)

    def _note_verified(self, event: SnapshotVerified, seq: int) -> None:
        mark = self.taken
        if mark is None or (mark.covers, mark.digest) != (event.covers, event.digest):
            raise LedgerError(f"event {seq} verifies a snapshot that is not the last one taken")
        self.taken = self.verified = replace(mark, verifier=event.verifier)

    def _forget_former(self, ip: Ipv4) -> None:
        """`ip` goes to somebody: its former holder has no claim to it any more."""
        last = self.freed.pop(ip, None)
        if last:
            self._forget_claim(last)

    def _forget_claim(self, last: Binding) -> None:
        if self.former.get((last.mac, last.line)) == last.ip:
            del self.former[last.mac, last.line]

    # --- comparison, copies ---

    def digest(self) -> str:
        """A hash over the whole state; equal ledgers have equal digests (I3)."""
        return digest_of(self)

    def copy(self) -> "Ledger":
        """The state as it is now, while this ledger evolves on; some ms for 100,000 leases."""
        return replace(
            self,
            pools=dict(self.pools),
            bound=dict(self.bound),
            removed=dict(self.removed),
            freed=dict(self.freed),
            declines=dict(self.declines),
            resting=dict(self.resting),
            former=dict(self.former),
            held_since=dict(self.held_since),
            _by_mac=dict(self._by_mac),
            _networks=dict(self._networks),
            _ranges=list(self._ranges),
        )
