"""The projection: events become entries of the datapath's tables, and nothing else does (I4).

A binding that an event ended leaves a tombstone under a key that no packet is judged by. It keeps
slot and reference until the allocator recorded the acknowledgement, so an agent that dies between
the removal and its acknowledgement finds out on restart what it still owes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Network

import structlog

from edge_agent.datapath.port import Datapath, TableFullError
from edge_agent.dhcp.options import render_pool_options
from edge_agent.dhcp.tables import (
    Assignment,
    Line,
    PoolOptions,
    SubscriberKey,
    key_mac,
    subscriber_key,
)
from edge_agent.sync.lines import Lines
from edge_agent.sync.slots import Slots
from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    PoolAdded,
    Record,
    RemovalAcked,
)
from lease_core.domain.ledger import Binding
from lease_core.domain.values import Ipv4, Mac, ip_from_text, mac_text

audit = structlog.get_logger("edge")

MAX_LINES_PER_MAC = 8
TOMBSTONE = 0x8000
NO_SLOT = 0xFFFFFFFF
FIRST_PROMISE_NS = 60 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Removal:
    """A binding that event `ref` ended and whose acknowledgement is not in the log yet."""

    key: SubscriberKey
    ip: Ipv4
    ref: int
    slot: int
    """`NO_SLOT` where no promise was ever made from these tables."""


def discriminator(key: SubscriberKey) -> int:
    return key >> 48


class Projection:
    """The one writer of bindings and pools in a datapath."""

    def __init__(self, datapath: Datapath, lines: Lines, max_subscribers: int) -> None:
        """Take the tables as they are found: empty, or left by a former process."""
        self.datapath = datapath
        self.lines = lines
        self.removals: dict[Ipv4, Removal] = {}
        self.unserved = 0
        self._pool_numbers = {pool.name: number for number, pool in datapath.pools()}
        used = []
        for key, found in datapath.entries():
            if found.slot != NO_SLOT:
                used.append(found.slot)
            if discriminator(key) >= TOMBSTONE:
                self.removals[found.ip] = Removal(key, found.ip, found.seq, found.slot)
        self._slots = Slots(max_subscribers, used)

    # --- look-ups ---

    def find(self, mac: Mac, line: Line) -> tuple[SubscriberKey, Assignment] | None:
        """The binding of a subscriber, under whichever discriminator it stands."""
        return next(
            ((key, found) for key, found in self._bindings(mac) if found.line == line), None
        )

    def discriminator_of(self, mac: Mac, line: Line) -> int:
        """Where the subscriber's binding stands; 0, what the kernel looks at, if it has none."""
        found = self.find(mac, line)
        return discriminator(found[0]) if found else 0

    def pools(self) -> Iterator[PoolOptions]:
        for number in self._pool_numbers.values():
            pool = self.datapath.pool(number)
            if pool:
                yield pool

    def pool_named(self, name: str) -> PoolOptions | None:
        number = self._pool_numbers.get(name)
        return None if number is None else self.datapath.pool(number)

    def _bindings(self, mac: Mac) -> Iterator[tuple[SubscriberKey, Assignment]]:
        for number in range(MAX_LINES_PER_MAC):
            key = subscriber_key(mac, number)
            found = self.datapath.lookup(key)
            if found is None:
                return
            yield key, found

    # --- events ---

    def apply(self, record: Record, now_boot_ns: int) -> None:
        """Bring the tables to the state after `record`; applying it again changes nothing."""
        match record.event:
            case LeaseAssigned() as assigned:
                self._assign(assigned, record.seq, now_boot_ns)
            case LeaseReleased() | LeaseExpired() | LeaseRevoked() | AddressDeclined() as ended:
                self._end(ended.mac, ended.line, ended.ip, record.seq)
            case RemovalAcked() as acked:
                self.bury(acked.ip, acked.ref)
            case AddressFreed() as freed:
                self.bury(freed.ip, record.seq)
            case PoolAdded() as added:
                self.put_pool(added)
            case _:
                pass

    def _assign(self, event: LeaseAssigned, seq: int, now_boot_ns: int) -> None:
        self.bury(event.ip, seq)
        line = self.lines.parse(event.line)
        if line is None:
            self.unserved += 1
            audit.warning("line.unknown", line=event.line, mac=mac_text(event.mac))
            return
        found = self.find(event.mac, line)
        if found is None or found[1].seq < seq:
            binding = Binding(event.mac, event.line, event.ip, event.pool, seq)
            self.put(binding, line, found[1].slot if found else None)
            self._promise_briefly(event.mac, line, now_boot_ns)

    def put(self, binding: Binding, line: Line, slot: int | None = None) -> None:
        """Write a binding under the first free discriminator, or over the one of its line."""
        bindings = list(self._bindings(binding.mac))
        standing = next((key for key, found in bindings if found.line == line), None)
        key = subscriber_key(binding.mac, len(bindings)) if standing is None else standing
        slot = self._slots.take() if slot is None else slot
        if slot is None or discriminator(key) >= MAX_LINES_PER_MAC:
            self.unserved += 1
            mac = mac_text(binding.mac)
            audit.error("table.full", mac=mac, reason="no slot or no line number is left")
            return
        number = self._pool_numbers[binding.pool]
        if not self._write(key, Assignment(binding.ip, number, slot, line, binding.seq)):
            self._slots.give(slot)

    def _promise_briefly(self, mac: Mac, line: Line, now_boot_ns: int) -> None:
        """Do not report a new binding expired while its client has not had time to hear of it."""
        found = self.find(mac, line)
        horizon_ns = self.datapath.state().horizon_boot_ns
        if found and horizon_ns > now_boot_ns:
            end_ns = min(now_boot_ns + FIRST_PROMISE_NS, horizon_ns)
            self.datapath.raise_promise(found[1].slot, end_ns)

    def _end(self, mac: Mac, line_text: str, ip: Ipv4, seq: int) -> None:
        line = self.lines.parse(line_text)
        found = self.find(mac, line) if line else None
        if found and found[1].ip == ip and found[1].seq < seq:
            self.remove(*found, ref=seq)
        else:
            self.owe(mac, ip, seq)

    def remove(self, key: SubscriberKey, assignment: Assignment, ref: int) -> None:
        """Take a binding from the kernel and leave a tombstone; the last of the MAC fills in."""
        mac = key_mac(key)
        self._owe(mac, replace(assignment, seq=ref))
        last_key, last = list(self._bindings(mac))[-1]
        if last_key != key:
            self.datapath.put(key, last)
        self.datapath.remove(last_key)

    def owe(self, mac: Mac, ip: Ipv4, ref: int) -> None:
        """Owe the acknowledgement of a removal whose binding was never answered from here."""
        if ip not in self.removals or self.removals[ip].ref < ref:
            self._owe(mac, Assignment(ip, 0, NO_SLOT, Line(0), ref))

    def _owe(self, mac: Mac, tombstone: Assignment) -> None:
        """Remember, beyond this process, that the removal has to be acknowledged."""
        number = TOMBSTONE
        while self.datapath.lookup(subscriber_key(mac, number)):
            number += 1
        key = subscriber_key(mac, number)
        self._write(key, tombstone)
        self.removals[tombstone.ip] = Removal(key, tombstone.ip, tombstone.seq, tombstone.slot)

    def bury(self, ip: Ipv4, up_to: int) -> None:
        """Forget a removal that event `up_to` or an earlier one ended."""
        removal = self.removals.get(ip)
        if removal is None or removal.ref > up_to:
            return
        del self.removals[ip]
        self.datapath.remove(removal.key)
        if removal.slot != NO_SLOT:
            self._slots.give(removal.slot)

    def _write(self, key: SubscriberKey, assignment: Assignment) -> bool:
        try:
            self.datapath.put(key, assignment)
        except TableFullError as error:
            self.unserved += 1
            audit.error("table.full", mac=mac_text(key_mac(key)), reason=str(error))
            return False
        return True

    def remaining_s(self, removal: Removal, now_boot_ns: int) -> int:
        """What the holder of a removed binding is still promised, seconds rounded up."""
        if removal.slot == NO_SLOT:
            return 0
        return max(0, -((now_boot_ns - self.datapath.promise(removal.slot)) // 1_000_000_000))

    def put_pool(self, event: PoolAdded) -> None:
        network = IPv4Network(event.network)
        netmask = Ipv4(int(network.netmask))
        dns = [ip_from_text(server) for server in event.dns.split(",") if server]
        options = render_pool_options(event.gateway, netmask, [event.gateway], dns)
        pool = PoolOptions(
            Ipv4(int(network.network_address)),
            netmask,
            event.gateway,
            event.lease_time_s,
            options,
            event.pool,
        )
        self.datapath.put_pool(event.number, pool)
        self._pool_numbers[event.pool] = event.number
