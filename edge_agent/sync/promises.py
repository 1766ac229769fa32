"""Promises: until when holders may have been told that an address is theirs.

P of a binding stands in the tables, on CLOCK_BOOTTIME in nanoseconds. Where it is not known, what
counts is the most that anybody can have been promised.
"""

from edge_agent.datapath.port import Datapath
from edge_agent.sync.clock_watch import SLEW_DIVISOR
from edge_agent.sync.pools import Pools
from edge_agent.sync.removals import NO_SLOT, Removal

SECOND_NS = 1_000_000_000


class Promises:
    def __init__(self, datapath: Datapath, pools: Pools) -> None:
        self._datapath = datapath
        self._pools = pools

    @property
    def longest_lease_s(self) -> int:
        """L of the pool that has the longest."""
        return max((pool.lease_time_s for pool in self._pools), default=0)

    def longest(self, lease_time_s: int, now_boot_ns: int) -> int:
        """The end of what any holder can have been promised from these tables; 0 = nothing."""
        horizon_ns = self._datapath.state().horizon_boot_ns
        if horizon_ns <= now_boot_ns:
            return 0
        return min(now_boot_ns + lease_time_s * SECOND_NS, horizon_ns)

    def longest_in(self, pool_name: str, now_boot_ns: int) -> int:
        """See `longest`, for a holder in a pool that the log told of."""
        pool = self._pools.named(pool_name)
        return self.longest(pool.lease_time_s if pool else 0, now_boot_ns)

    def under(self, removal: Removal) -> int:
        """P of a removed binding, 0 where there was no room to remember it."""
        return 0 if removal.slot == NO_SLOT else self._datapath.promise(removal.slot)

    def carry(self, from_slot: int, to_slot: int) -> None:
        """Make P of one slot at least that of another."""
        if from_slot != NO_SLOT:
            self._datapath.raise_promise(to_slot, self._datapath.promise(from_slot))

    def remaining_s(self, removal: Removal, now_boot_ns: int) -> int:
        """What the holder of a removed binding is still promised, seconds rounded up.

        Where there was no room to remember it, as much as anybody can have been promised.
        """
        if removal.slot == NO_SLOT:
            return self.longest_lease_s
        return max(0, -((now_boot_ns - self._datapath.promise(removal.slot)) // SECOND_NS))

    def unslewed_ns(self, now_boot_ns: int, pool_id: int = 0) -> int:
        """What CLOCK_BOOTTIME may show had nobody slewed it ahead since a lease was told (I7).

        A lease of that pool, or of any.
        """
        pool = self._datapath.pool(pool_id)
        lease_s = pool.lease_time_s if pool else self.longest_lease_s
        return now_boot_ns - lease_s * SECOND_NS // SLEW_DIVISOR
