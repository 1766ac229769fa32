"""Addresses that strangers are offered, and to whom each was: the map `stock`.

The agent puts addresses in; whoever judges packets writes only the key, from 0 to the one of the
subscriber that the address is offered to. An offer promises nothing (RFC 2131 3.1), so whatever
goes wrong here costs a client a second try.
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from edge_agent.datapath import abi
from edge_agent.dhcp.tables import SubscriberKey
from lease_core.domain.mixing import Words, mix64
from lease_core.domain.values import Ipv4

SIZE: Final = abi.STOCK_SIZE
GROUPS: Final = abi.STOCK_SIZE // abi.STOCK_PER_GROUP
NOBODY: Final = SubscriberKey(0)
_WORDS: Final = abi.STOCKED.size // 8
_AS_WORDS: Final = struct.Struct(f"<{_WORDS}Q")
_KEY, _UNTIL, _ADDRESS, _LINK = range(_WORDS)


class Stocked(NamedTuple):
    """A place of the stock."""

    key: SubscriberKey
    """Of `subscriber_pools`: whom the address is offered to; 0 = nobody yet."""
    until_boot_ns: int
    """It is offered no more then, CLOCK_BOOTTIME; 0 = there is no address here."""
    ip: Ipv4
    pool_id: int
    link: Ipv4
    """giaddr of those it is for; 0 = clients themselves."""


class StockTable:
    """The places by number, in groups of `abi.STOCK_PER_GROUP`: a subscriber looks into one."""

    def __init__(self, words: memoryview) -> None:
        """Read and write the 64-bit words of `SIZE` records, which stay the caller's."""
        self._words = words

    def entry(self, index: int) -> Stocked:
        """What stands at a place; not all of one moment while somebody writes it."""
        at = index * _WORDS
        octets = _AS_WORDS.pack(*(self._words[at + word] for word in range(_WORDS)))
        key, until_boot_ns, ip_be, pool_id, link_be, _ = abi.STOCKED.layout.unpack(octets)
        ip, link = (Ipv4(int.from_bytes(each)) for each in (ip_be, link_be))
        return Stocked(key, until_boot_ns, ip, pool_id, link)

    def owner(self, index: int) -> SubscriberKey:
        """Whom the address is offered to, 0 = nobody yet."""
        return self._words[index * _WORDS + _KEY]

    def owners(self) -> Words:
        """The same of each place by number, as it is now."""
        return self._all()[_KEY::_WORDS].copy()

    def still_offered(self, owners: Words) -> list[Ipv4]:
        """The addresses of places that are offered to whom they were according to `owners`."""
        words = self._all()
        same = np.flatnonzero((words[_KEY::_WORDS] == owners) & (owners != NOBODY))
        ips_be = words[same * _WORDS + _ADDRESS].astype(np.uint32).view(">u4")
        return [Ipv4(ip) for ip in ips_be.tolist()]

    def put(self, index: int, ip: Ipv4, pool_id: int, link: Ipv4, until_boot_ns: int) -> None:
        """Offer an address, to nobody yet; what stood at the place is offered no more."""
        self.put_all([index], [ip], pool_id, link, until_boot_ns)

    def put_all(
        self, indices: Sequence[int], ips: Sequence[Ipv4], pool_id: int, link: Ipv4,
        until_boot_ns: int,
    ) -> None:  # fmt: skip
        """The same for each of the addresses, at the place of its own; the time goes last."""
        self.clear_all(indices)
        words, at = self._writable(), np.array(indices, np.int64) * _WORDS
        ips_be = np.array(ips, ">u4").view(np.uint32).astype(np.uint64)
        words[at + _ADDRESS] = ips_be | np.uint64(pool_id << 32)
        words[at + _LINK] = int.from_bytes(link.to_bytes(4), "little")
        words[at + _UNTIL] = until_boot_ns

    def clear(self, index: int) -> None:
        """Offer what stands at a place no more."""
        self.clear_all([index])

    def clear_all(self, indices: Sequence[int]) -> None:
        """The same for each of the places: first the time, by which others go."""
        words, at = self._writable(), np.array(indices, np.int64) * _WORDS
        words[at + _UNTIL] = 0
        words[at + _KEY] = NOBODY

    def _writable(self) -> Words:
        """All words together. Raises TypeError as a single one does that is mapped for reading."""
        if self._words.readonly:
            raise TypeError("the stock is open for reading")
        return self._all()

    def _all(self) -> Words:
        return np.frombuffer(self._words, np.uint64)

    def claim(
        self, key: SubscriberKey, link: Ipv4, groups: int, now_boot_ns: int
    ) -> tuple[Ipv4, int] | None:
        """The address and the pool for a subscriber, its former one if there is one.

        The kernel program does the same ("Stock" in `docs/replies.md`); only for tables that no
        such program answers from, since this claims without compare-and-swap.
        """
        fresh = self._fresh(key, link, groups, now_boot_ns)
        for owner in (key, NOBODY):
            for index, found in fresh:
                if found.key == owner:
                    self._words[index * _WORDS + _KEY] = key
                    return found.ip, found.pool_id
        return None

    def offered(
        self, key: SubscriberKey, link: Ipv4, groups: int, now_boot_ns: int
    ) -> tuple[Ipv4, int] | None:
        """The address and the pool that a subscriber was offered and may still take."""
        fresh = self._fresh(key, link, groups, now_boot_ns)
        return next(((found.ip, found.pool_id) for _, found in fresh if found.key == key), None)

    def _fresh(
        self, key: SubscriberKey, link: Ipv4, groups: int, now_boot_ns: int
    ) -> list[tuple[int, Stocked]]:
        """What may be offered to a subscriber, or was to somebody, by place."""
        entries = ((index, self.entry(index)) for index in _group_of(key, groups))
        return [
            (index, found)
            for index, found in entries
            if found.until_boot_ns > now_boot_ns and found.link == link
        ]


def _group_of(key: SubscriberKey, groups: int) -> range:
    """The places where a subscriber's address is looked for, of so many groups in use."""
    if not 0 < groups <= GROUPS:
        return range(0)
    first = ((mix64(key) >> 32) * groups >> 32) * abi.STOCK_PER_GROUP
    return range(first, first + abi.STOCK_PER_GROUP)
