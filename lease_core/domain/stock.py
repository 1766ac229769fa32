"""The stock: free addresses that the allocator sets aside for the edge to offer to strangers.

An offer promises nothing, so the edge may make it alone; whoever takes it up is decided upon like
anybody else. Like an offer the stock is kept in memory and may be lost.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import groupby

from lease_core.domain.values import Ipv4

MAX_STOCK = 4096
"""Addresses that an edge may ask for at once."""
MAX_RUNS = 64
"""Runs of neighbours that one answer tells."""


class Stock:
    """Addresses by pool and deadline; all are kept equally long, so the first in are due first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Ipv4, tuple[str, int]] = OrderedDict()

    def __contains__(self, ip: Ipv4) -> bool:
        return ip in self._kept

    def add(self, ips: Iterable[Ipv4], pool: str, until_ns: int) -> None:
        self._kept.update((ip, (pool, until_ns)) for ip in ips)

    def discard(self, ip: Ipv4) -> None:
        """Keep this address no longer, if it is kept."""
        self._kept.pop(ip, None)

    def take_stale(self, now_ns: int) -> Iterator[tuple[Ipv4, str]]:
        """Take out what was kept long enough, with its pool."""
        while self._kept:
            ip, (pool, until_ns) = next(iter(self._kept.items()))
            if until_ns > now_ns:
                return
            del self._kept[ip]
            yield ip, pool

    def next_due_ns(self) -> int | None:
        """When the first is kept long enough; None = there is none."""
        return next(iter(self._kept.values()))[1] if self._kept else None


def runs_of(ips: Iterable[Ipv4]) -> Iterator[tuple[Ipv4, Ipv4]]:
    """Runs of neighbours among addresses, in their order: first and last of each."""
    numbered = enumerate(sorted(ips))
    for _, run in groupby(numbered, key=lambda each: each[1] - each[0]):
        neighbours = [ip for _, ip in run]
        yield neighbours[0], neighbours[-1]


def pick(free: Iterable[Ipv4], count: int) -> list[Ipv4]:
    """The first `count` of the free addresses, or so many as make `MAX_RUNS` runs at most."""
    picked: set[Ipv4] = set()
    runs = 0
    for ip in free:
        picked.add(ip)
        runs += 1 - (ip - 1 in picked) - (ip + 1 in picked)
        if len(picked) == count or runs == MAX_RUNS:
            break
    return sorted(picked)
