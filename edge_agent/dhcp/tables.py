"""What the fast path reads: the Python side of the records of `bpf/maps.h`.

Addresses are numbers in host order here; the wire order lives in the map ABI.
"""

from dataclasses import dataclass
from typing import Protocol

from lease_core.domain.values import Ipv4, Mac

SubscriberKey = int
"""A key of `subscriber_pools` as a little-endian number: MAC octets, then a u16 discriminator."""


def subscriber_key(mac: Mac, discriminator: int = 0) -> SubscriberKey:
    """Key of a MAC's binding; discriminator 0 is the one that the kernel serves."""
    return int.from_bytes(mac.to_bytes(6, "big") + discriminator.to_bytes(2, "little"), "little")


def key_mac(key: SubscriberKey) -> Mac:
    return Mac(int.from_bytes(key.to_bytes(8, "little")[:6], "big"))


@dataclass(frozen=True, slots=True)
class Line:
    """Where a subscriber is connected: interface and VLAN ids (0 = none)."""

    ifindex: int
    s_vlan: int = 0
    c_vlan: int = 0


@dataclass(frozen=True, slots=True)
class Port:
    """An interface that is ours, as the fast path sees it."""

    mac: Mac
    """Hardware address to answer from."""
    relays: tuple[Ipv4, ...] = ()
    """giaddr of each relay that may send here; empty = clients themselves do."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A binding as the fast path sees it; `check_ok` False = another subscriber's value."""

    ip: Ipv4
    pool_id: int
    slot: int
    line: Line
    seq: int
    check_ok: bool = True


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """A pool as the fast path sees it; `options` begins with the fixed part of `bpf/maps.h`."""

    network: Ipv4
    netmask: Ipv4
    server_id: Ipv4
    lease_time_s: int
    options: bytes
    name: str = ""


@dataclass(slots=True)
class SiteState:
    """The record of `site_state`; times in CLOCK_BOOTTIME nanoseconds."""

    gate: bool = False
    horizon_boot_ns: int = 0
    touched_boot_ns: int = 0
    epoch: int = 0
    incarnation: int = 0
    cursor_lo: int = 0
    cursor_hi: int = 0
    cursor_commit_ms: int = 0
    cursor_hash: bytes = bytes(8)
    genesis: bytes = bytes(16)
    lines: int = 0
    """Fingerprint of the interface names and numbers that the tables were made for."""
    abi_ok: bool = True


class Tables(Protocol):
    """The reading side of the datapath, and the one thing that an ACK writes."""

    def lookup(self, key: SubscriberKey) -> Assignment | None: ...

    def pool(self, number: int) -> PoolOptions | None: ...

    def port(self, ifindex: int) -> Port | None:
        """The interface, or None where it is not ours."""
        ...

    def port_mac(self, ifindex: int) -> Mac | None:
        """Hardware address to answer from, or None where the interface is not ours."""
        ...

    def state(self) -> SiteState: ...

    def raise_promise(self, slot: int, end_boot_ns: int) -> bool:
        """Make P at least `end_boot_ns`; False = it could not be recorded, so do not answer."""
        ...
