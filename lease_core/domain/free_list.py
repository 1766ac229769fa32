"""Which free address comes next: never used ones first, then the one freed longest ago.

A freed address rests as long as the pool allows, so a stranger rarely meets the traffic of the
last holder. Every operation is O(1) apart from skipping addresses that were taken by name.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from lease_core.domain.events import PoolAdded
from lease_core.domain.values import Ipv4


class FreeList:
    def __init__(
        self, pool: PoolAdded, is_held: Callable[[Ipv4], bool], freed: Iterable[Ipv4]
    ) -> None:
        """Build from a ledger: `is_held` knows bound and removed addresses, `freed` their order."""
        self._next = pool.first
        self._last = pool.last
        self._is_held = is_held
        self._named: set[Ipv4] = set()
        self._freed: OrderedDict[Ipv4, None] = OrderedDict.fromkeys(freed)

    def pop(self) -> Ipv4 | None:
        """Take the next free address; None when the pool has none."""
        while self._next <= self._last:
            ip = self._next
            self._next = Ipv4(ip + 1)
            if ip in self._named:
                self._named.discard(ip)
            elif not self._is_held(ip) and ip not in self._freed:
                return ip
        return self._freed.popitem(last=False)[0] if self._freed else None

    def take(self, ip: Ipv4) -> None:
        """Take this free address out of its turn."""
        self._freed.pop(ip, None)
        if ip >= self._next:
            self._named.add(ip)

    def give(self, ip: Ipv4) -> None:
        """Put back at the tail."""
        self._named.discard(ip)
        self._freed[ip] = None
