"""Which free address comes next: never used ones first, then the one freed longest ago.

A freed address rests as long as the pool allows, so a stranger rarely meets the traffic of the
last holder. Every operation is O(1) apart from passing over addresses that are held or were taken
by name.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from itertools import filterfalse

from lease_core.domain.events import PoolAdded
from lease_core.domain.values import Ipv4


class FreeList:
    def __init__(
        self, pool: PoolAdded, held: Iterable[Mapping[Ipv4, object]], freed: Iterable[Ipv4]
    ) -> None:
        """Build from a ledger: `held` are its tables of addresses that somebody may have.

        They are looked at as they are when their turn comes. `freed` stand in their order.
        """
        self._next = pool.first
        self._last = pool.last
        never_used: Iterator[int] = iter(range(pool.first, pool.last + 1))
        for table in held:  # a million may be passed over at once, so without a step of Python
            never_used = filterfalse(table.__contains__, never_used)
        self._never_used = never_used
        self._named: set[Ipv4] = set()
        self._freed: OrderedDict[Ipv4, None] = OrderedDict.fromkeys(freed)

    def pop(self) -> Ipv4 | None:
        """Take the next free address; None when the pool has none."""
        for number in self._never_used:
            ip = Ipv4(number)
            self._next = Ipv4(ip + 1)
            if ip in self._named:
                self._named.discard(ip)
            elif ip not in self._freed:
                return ip
        self._next = Ipv4(self._last + 1)
        return self._freed.popitem(last=False)[0] if self._freed else None

    def at_most(self) -> int:
        """How many are free at most: those that are passed over count until then."""
        return self._last - self._next + 1 + len(self._freed)

    def take(self, ip: Ipv4) -> None:
        """Take this free address out of its turn."""
        self._freed.pop(ip, None)
        if ip >= self._next:
            self._named.add(ip)

    def give(self, ip: Ipv4) -> None:
        """Put back at the tail."""
        self._named.discard(ip)
        self._freed[ip] = None
