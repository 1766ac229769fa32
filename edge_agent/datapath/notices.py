"""What the kernel program tells beside its counters: the ring `notices`, read from mapped memory.

A ring has one consumer, and that is the agent: it `take`s notices, which makes room for others.
Whoever else wants to see them may `look`, which moves nothing and may miss some.

The ring's memory: a page with the octets consumed so far, a page with those produced so far, then
the data, mapped twice in a row so that a record never ends at its end. Before each record stands
its length with two flags. All records are of one size, so the two numbers count notices as well.
"""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from edge_agent.datapath import abi
from edge_agent.datapath.mapped import Words
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Ipv4, Mac, mac_from_bytes

_HEADER: Final = 8
_STEP: Final = _HEADER + abi.NOTICE.size
_BUSY: Final = 1 << 31
"""The record is being written."""


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


class Ring:
    """The ring of one site, mapped; `read_only` maps nothing for writing."""

    def __init__(self, fd: int, counters: Sequence[str], *, read_only: bool = False) -> None:
        """`fd` stays the caller's; `counters` are the program's, by which it numbers verdicts."""
        self._counters = counters
        page = mmap.PAGESIZE
        self._consumed = Words(fd, page, read_only=read_only)
        produced_and_data = page + 2 * abi.NOTICES_SIZE
        self._map = mmap.mmap(fd, produced_and_data, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._octets = memoryview(self._map)
        self._produced = self._octets[:8].cast("Q")
        self._headers = self._octets[page:].cast("I")
        self._data = self._octets[page:]

    @property
    def consumed(self) -> int:
        """Octets that the agent has taken since the ring was made."""
        return self._consumed[0]

    @property
    def produced(self) -> int:
        """Octets that the program has written since the ring was made."""
        return self._produced[0]

    def counts(self) -> tuple[int, int]:
        """Notices since the ring was made, and those that nobody has taken yet."""
        consumed, produced = self.consumed, self.produced
        return produced // _STEP, (produced - consumed) // _STEP

    def take(self, limit: int) -> list[Notice]:
        """The next notices, oldest first; they are gone then. Only the agent may."""
        at = self.consumed
        taken = self._read(at, limit)
        self._consumed[0] = at + _STEP * len(taken)
        return [self._notice(octets) for octets in taken]

    def look(self, at: int) -> tuple[list[Notice], int]:
        """What was written from `at` on, and where to go on, for whoever takes nothing.

        Nothing where the program may have written over what stood there.
        """
        found = self._read(at, abi.NOTICES_SIZE // _STEP)
        if self.produced - at > abi.NOTICES_SIZE:
            return [], self.produced
        return [self._notice(octets) for octets in found], at + _STEP * len(found)

    def _read(self, at: int, limit: int) -> list[bytes]:
        """Records from `at` on, up to one that is still being written."""
        end = min(self.produced, at + _STEP * limit)
        found: list[bytes] = []
        while at < end and not self._headers[(start := at % abi.NOTICES_SIZE) // 4] & _BUSY:
            found.append(bytes(self._data[start + _HEADER : start + _STEP]))
            at += _STEP
        return found

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

    def close(self) -> None:
        for view in (self._produced, self._headers, self._data, self._octets):
            view.release()
        self._map.close()
        self._consumed.close()
