"""The desk: what an allocator keeps beside the ledger, in memory and by its own clock.

Offers, the order of free addresses, and deadlines. Everything here may be lost: it is rebuilt
from the ledger with every deadline counted afresh, so a takeover extends before it expires.
Times are the allocator's elapsed clock in nanoseconds (MONOTONIC_RAW plus time suspended).
"""

import heapq
from dataclasses import dataclass

from lease_core.domain.events import (
    AddressFreed,
    Event,
    HorizonGranted,
    LeaseAdopted,
    LeaseAssigned,
    PoolAdded,
    RemovalAcked,
)
from lease_core.domain.free_list import FreeList
from lease_core.domain.ledger import Ledger
from lease_core.domain.stock import Stock, pick
from lease_core.domain.values import Ipv4, Mac

SECOND = 1_000_000_000
STOCK_SHARE = 8
"""At most one in so many of a pool's free addresses is set aside at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The site's safety times, seconds (DESIGN: H, Q, W) and how long an offer is kept."""

    horizon_s: int = 14_400
    reuse_guard_s: int = 120
    deposed_writer_s: int = 0
    offer_hold_s: int = 60
    decline_first_s: int = 600
    decline_max_s: int = 86_400


@dataclass(frozen=True, slots=True)
class Offer:
    mac: Mac
    line: str
    ip: Ipv4
    pool: str
    until_ns: int


class Desk:
    """Volatile state of one site; `ledger` is read, never written."""

    def __init__(self, ledger: Ledger, timing: Timing, now_ns: int) -> None:
        """Take over: whatever was promised may last for a whole horizon from now."""
        self.ledger = ledger
        self.timing = timing
        self.horizon_ns = now_ns + (timing.horizon_s + timing.deposed_writer_s) * SECOND
        self.former_life_ns = self.horizon_ns if ledger.retired else now_ns
        self._offers: dict[tuple[Mac, str], Offer] = {}
        self._offered: dict[Ipv4, Offer] = {}
        self.stock = Stock()
        self._free = {pool.pool: self._free_list(pool) for pool in ledger.pools.values()}
        self._quarantine: list[tuple[int, Ipv4, int]] = []
        for removal in ledger.removed.values():
            if removal.quarantine_s is not None:
                self._keep_apart(removal.binding.ip, removal.quarantine_s, now_ns)

    def _free_list(self, pool: PoolAdded) -> FreeList:
        ledger = self.ledger
        return FreeList(
            pool,
            (ledger.bound, ledger.removed),
            (ip for ip, last in ledger.freed.items() if last.pool == pool.pool),
        )

    def _keep_apart(self, ip: Ipv4, quarantine_s: int, now_ns: int) -> None:
        removal = self.ledger.removed[ip]
        heapq.heappush(self._quarantine, (now_ns + quarantine_s * SECOND, ip, removal.seq))

    # --- following the ledger ---

    def observe(self, event: Event, now_ns: int) -> None:
        """Follow one event right after the ledger evolved it."""
        match event:
            case LeaseAssigned():
                self._drop_offer(self._offers.get((event.mac, event.line)), but=event.ip)
                self._take(event.pool, event.ip)
            case LeaseAdopted():
                self._drop_offer(self._offered.get(event.ip), but=event.ip)
                self._drop_offer(self._offers.get((event.mac, event.line)), but=event.ip)
                self._take(event.pool, event.ip)
            case RemovalAcked():
                self._keep_apart(event.ip, event.quarantine_s, now_ns)
            case AddressFreed():
                if event.ip not in self._offered:
                    self._free[event.pool].give(event.ip)
            case PoolAdded():
                self._free[event.pool] = self._free_list(event)
            case HorizonGranted():
                self.raise_horizon(now_ns)
            case _:
                pass

    def _take(self, pool: str, ip: Ipv4) -> None:
        self.stock.discard(ip)
        self._free[pool].take(ip)

    def raise_horizon(self, now_ns: int) -> None:
        """A := max(A, now + H). Done before the commit and kept if its outcome is unknown (I6)."""
        self.horizon_ns = max(self.horizon_ns, now_ns + self.timing.horizon_s * SECOND)

    def retire_life(self) -> None:
        """The promises of the edge's former life may last until the horizon it had (I7)."""
        self.former_life_ns = max(self.former_life_ns, self.horizon_ns)

    # --- offers ---

    def offer_to(self, mac: Mac, line: str) -> Offer | None:
        return self._offers.get((mac, line))

    def is_offered_to_other(self, ip: Ipv4, mac: Mac, line: str) -> bool:
        offer = self._offered.get(ip)
        return offer is not None and (offer.mac, offer.line) != (mac, line)

    def offer(
        self, mac: Mac, line: str, pool: PoolAdded, ip: Ipv4 | None, now_ns: int
    ) -> Offer | None:
        """Keep `ip`, or the pool's next free address, for the asker; None when there is none."""
        free = self._free[pool.pool]
        if ip is None:
            ip = free.pop()
            if ip is None:
                return None
        else:
            free.take(ip)
        until_ns = now_ns + self.timing.offer_hold_s * SECOND
        made = Offer(mac, line, ip, pool.pool, until_ns)
        self._drop_offer(self._offers.get((mac, line)), but=ip)
        self._offers[mac, line] = self._offered[ip] = made
        return made

    def _drop_offer(self, offer: Offer | None, but: Ipv4) -> None:
        """Forget an offer; its address is free again unless it is `but`, which stays taken."""
        if offer is None:
            return
        del self._offers[offer.mac, offer.line]
        del self._offered[offer.ip]
        if offer.ip != but and offer.ip not in self.ledger.removed:
            self._free[offer.pool].give(offer.ip)

    def set_aside(self, pool: PoolAdded, count: int, now_ns: int) -> list[Ipv4]:
        """Keep up to `count` free addresses of a pool for the edge, as long as an offer.

        Then they are free behind all others, so who was offered one last still has his time.
        """
        free = self._free[pool.pool]
        share = min(count, free.at_most() // STOCK_SHARE)
        ips = pick(iter(free.pop, None), share) if share else []
        self.stock.add(ips, pool.pool, now_ns + self.timing.offer_hold_s * SECOND)
        return ips

    def drop_stale_offers(self, now_ns: int) -> None:
        """Offers and stock stand in the order they were made, so what is stale is at the front."""
        for ip, pool in self.stock.take_stale(now_ns):
            self._free[pool].give(ip)
        while self._offers:
            oldest = next(iter(self._offers.values()))
            if oldest.until_ns > now_ns:
                return
            self._drop_offer(oldest, but=Ipv4(0))

    # --- deadlines ---

    def quarantine_over(self, now_ns: int) -> list[Ipv4]:
        """Addresses whose quarantine ended by `now_ns` (I7 i), in the order of their deadlines."""
        over = []
        while self._quarantine and self._quarantine[0][0] <= now_ns:
            _, ip, ref = heapq.heappop(self._quarantine)
            removal = self.ledger.removed.get(ip)
            if removal and removal.seq == ref:
                over.append(ip)
        return over

    def next_due_ns(self) -> int:
        """When time alone brings something, unless the horizon is raised before."""
        due_ns = self.horizon_ns + self.timing.reuse_guard_s * SECOND
        if self._quarantine:
            due_ns = min(due_ns, self._quarantine[0][0])
        if self._offers:
            due_ns = min(due_ns, next(iter(self._offers.values())).until_ns)
        return min(due_ns, self.stock.next_due_ns() or due_ns)

    def is_site_silent(self, now_ns: int) -> bool:
        """Whether A + Q passed: no promise of the site can stand any more (I7 ii)."""
        return now_ns > self.horizon_ns + self.timing.reuse_guard_s * SECOND
