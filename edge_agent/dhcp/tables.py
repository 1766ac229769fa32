"""What the fast path reads: the Python side of the records of `bpf/maps.h`.

Addresses are numbers in host order here; the wire order lives in the map ABI. Assignments and
states are never changed; they are not frozen because making them would take three times as long,
and a frame makes several.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol

from lease_core.domain.mixing import mix64
from lease_core.domain.values import NO_IP, Ipv4, Mac

NO_MAC: Final = Mac(0)

SubscriberKey = int
"""A key of `subscriber_pools` as a little-endian number of 64 bits; its kinds are `KeyMode`."""

LINE_TAG: Final = 0x40
CIRCUIT_TAG: Final = 0x20


class KeyMode(IntEnum):
    """What a port finds a subscriber by (`dhcp_key_mode` of `bpf/maps.h`).

    The identity is (site, line, MAC) in all of them. By `MAC` the kernel serves one line of a
    MAC, by the others as many as there are.
    """

    MAC = 0
    LINE = 1
    CIRCUIT = 2


class Line(NamedTuple):
    """Where a subscriber is connected: interface and VLAN ids (0 = none).

    On a port in mode `CIRCUIT` it is the interface and what the relay says: giaddr and the
    circuit id of option 82, 1..64 octets; giaddr is 0 where an access node says it.
    """

    ifindex: int
    s_vlan: int = 0
    c_vlan: int = 0
    giaddr: Ipv4 = NO_IP
    circuit: bytes = b""


def subscriber_key(mac: Mac, discriminator: int = 0) -> SubscriberKey:
    """Key of a MAC's binding; discriminator 0 is the one that the kernel serves."""
    return int.from_bytes(mac.to_bytes(6, "big") + discriminator.to_bytes(2, "little"), "little")


def key_of(mac: Mac, line: Line, mode: KeyMode, discriminator: int = 0) -> SubscriberKey:
    """Key of a subscriber's binding on a port in `mode` ("Hash" in `docs/replies.md`).

    Only mode `MAC` has discriminators. In the others a stranger may have the same key (about one
    pair in 2**56): `holder` and the value's line tell.
    """
    if mode is KeyMode.MAC:
        return subscriber_key(mac, discriminator)
    mixed = mix64(subscriber_key(mac))
    if mode is KeyMode.LINE:
        mixed ^= line.ifindex | line.s_vlan << 32 | line.c_vlan << 48
        return mix64(mixed) >> 8 | LINE_TAG << 56
    giaddr_be = int.from_bytes(line.giaddr.to_bytes(4, "big"), "little")
    mixed ^= line.ifindex | giaddr_be << 32
    for at in range(0, len(line.circuit), 8):
        mixed = mix64(mixed) ^ int.from_bytes(line.circuit[at : at + 8], "little")
    return mix64(mix64(mixed) ^ len(line.circuit)) >> 8 | CIRCUIT_TAG << 56


_KEY_MODES: Final = {LINE_TAG: KeyMode.LINE, CIRCUIT_TAG: KeyMode.CIRCUIT}


def key_mode(key: SubscriberKey) -> KeyMode:
    """The kind of a key; a tombstone of the agent is one of `MAC`."""
    return _KEY_MODES.get(key >> 56, KeyMode.MAC)


def key_mac(key: SubscriberKey) -> Mac:
    """The MAC in a key of mode `MAC`."""
    return Mac(int.from_bytes(key.to_bytes(8, "little")[:6], "big"))


class Limit(NamedTuple):
    """A token bucket for what the kernel passes up; a rate of 0 = no limit."""

    rate_per_s: int = 0
    burst: int = 0


NO_LIMIT: Final = Limit()


@dataclass(frozen=True, slots=True)
class Port:
    """An interface that is ours, as the fast path sees it."""

    mac: Mac
    """Hardware address to answer from."""
    relays: tuple[Ipv4, ...] = ()
    """giaddr of each relay that may send here, at most 4, beside renewals that a router brings;
    empty = clients themselves do."""
    key: KeyMode = KeyMode.MAC
    """Under which keys bindings stand, see `key_of`."""
    line_limit: Limit = NO_LIMIT
    """Of what the kernel passes up from one line."""
    mac_limit: Limit = NO_LIMIT
    """And of one MAC."""
    trusted: bool = False
    """Option 82 is an access node's, which marks clients' frames (TR-101); not beside relays."""
    offers_stock: bool = False
    """Strangers are offered addresses out of the stock."""


@dataclass(slots=True, unsafe_hash=True)
class Assignment:
    """A binding as the fast path sees it; `check_ok` False = another subscriber's value."""

    ip: Ipv4
    pool_id: int
    slot: int
    line: Line
    seq: int
    check_ok: bool = True
    mac: Mac = NO_MAC
    """Whose it is, under a key of mode `LINE` or `CIRCUIT`; else the key says it."""


Entry = tuple[SubscriberKey, Assignment]
"""What stands in the table, and under which key."""


def holder(key: SubscriberKey, assignment: Assignment) -> Mac:
    """The MAC that a binding belongs to."""
    return assignment.mac if key_mode(key) is not KeyMode.MAC else key_mac(key)


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """A pool as the fast path sees it."""

    network: Ipv4
    netmask: Ipv4
    server_id: Ipv4
    lease_time_s: int
    options: bytes
    """What every client is sent; begins with the fixed part of `bpf/maps.h`."""
    name: str = ""
    on_request: bytes = b""
    """Whole options that a client is sent if it asks for them (option 55) and they fit."""

    def holds(self, ip: Ipv4) -> bool:
        """Whether an address lies in the pool's network."""
        return ip & self.netmask == self.network


@dataclass(slots=True)
class SiteState:
    """The record of `site_state`; times in nanoseconds of CLOCK_BOOTTIME or the elapsed clock."""

    gate: bool = False
    held_until_elapsed_ns: int = 0
    """A clock was stepped: until then promises may look shorter than they are."""
    horizon_boot_ns: int = 0
    touched_boot_ns: int = 0
    touched_elapsed_ns: int = 0
    """The moment of `touched_boot_ns` on the other clock."""
    epoch: int = 0
    incarnation: int = 0
    cursor_lo: int = 0
    cursor_hi: int = 0
    cursor_commit_ms: int = 0
    cursor_hash: bytes = bytes(8)
    genesis: bytes = bytes(16)
    lines: int = 0
    """Fingerprint of the interface names and numbers that the tables were made for."""
    recovering: bool = False
    """The log has lost events and does not know yet all that was promised."""
    current_until_boot_ns: int = 0
    """Until then the tables are what the log says; a NAK is said only before."""
    abi_ok: bool = True

    @property
    def life(self) -> str:
        """The incarnation as commands and events write it."""
        return f"{self.incarnation:016x}"


class Tables(Protocol):
    """The reading side of the datapath, and what a reply writes."""

    def lookup(self, key: SubscriberKey) -> Assignment | None: ...

    def pool(self, number: int) -> PoolOptions | None: ...

    def port(self, ifindex: int) -> Port | None:
        """The interface, or None where it is not ours."""
        ...

    def port_mac(self, ifindex: int) -> Mac | None:
        """Hardware address to answer from, or None where the interface is not ours."""
        ...

    def state(self) -> SiteState: ...

    def is_known(self, mac: Mac) -> bool:
        """Whether anything was ever written of a MAC; "yes" may be another's."""
        ...

    def offer(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> tuple[Ipv4, int] | None:
        """An address of the stock and the number of its pool, kept for that subscriber.

        `link` is the giaddr that he asks through, 0 = none.
        """
        ...

    def offered(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> tuple[Ipv4, int] | None:
        """What `offer` gave that subscriber and still keeps for him."""
        ...

    def raise_promise(self, slot: int, end_boot_ns: int) -> bool:
        """Make P at least `end_boot_ns`; False = it could not be recorded, so do not answer."""
        ...
