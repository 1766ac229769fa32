"""What the kernel program tells beside its counters: the ring `notices`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from edge_agent.datapath import abi
from edge_agent.datapath.ring import Ring
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Ipv4, Mac, mac_from_bytes


class NoticeKind(IntEnum):
    """Numbers of `enum dhcp_notice_kind`."""

    FIRST_ACK = 1
    SHORT_GRANT = 2
    SUSPECT = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that the kernel program did, `at_boot_ns` on CLOCK_BOOTTIME."""

    at_boot_ns: int
    kind: NoticeKind
    verdict: str
    """The name of its counter."""
    line: Line
    """Interface and VLANs; a circuit is not told."""
    mac: Mac
    """The client's (chaddr); 0 = the message could not be read."""
    sender: Mac
    """Of a suspect, the Ethernet source."""
    ip: Ipv4
    seq: int
    """Address and event of the binding that was answered from; 0 = none."""


class Notices:
    """The ring of one site; for who may take and who may look, see `Ring`."""

    def __init__(self, ring: Ring, counters: Sequence[str]) -> None:
        """`counters` are the program's, by which it numbers verdicts."""
        self._ring = ring
        self._counters = counters
        self.counts = ring.counts
        self.close = ring.close

    @property
    def produced(self) -> int:
        return self._ring.produced

    def take(self, limit: int) -> list[Notice]:
        return [self._notice(octets) for octets in self._ring.take(limit)]

    def look(self, at: int) -> tuple[list[Notice], int]:
        found, at = self._ring.look(at)
        return [self._notice(octets) for octets in found], at

    def _notice(self, octets: bytes) -> Notice:
        at_boot_ns, seq, kind, verdict, ifindex, mac, s_vlan, sender, c_vlan, ip_be = (
            abi.NOTICE.layout.unpack(octets)
        )
        return Notice(
            at_boot_ns,
            NoticeKind(kind),
            self._counters[verdict],
            Line(ifindex, s_vlan, c_vlan),
            mac_from_bytes(mac),
            mac_from_bytes(sender),
            Ipv4(int.from_bytes(ip_be)),
            seq,
        )
