"""The stock: addresses that are set aside for this edge, for the fast path to offer to strangers.

It is as large as newcomers are many, and where few come there is none: their DISCOVERs go to the
allocator. An address leaves it when somebody is assigned it, when nobody takes up its offer, or
when it was kept long enough.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import takewhile
from typing import NamedTuple

from edge_agent.agent.answering import Now, SendCommand
from edge_agent.agent.request_ids import NewReq
from edge_agent.datapath.abi import STOCK_PER_GROUP as PER_GROUP
from edge_agent.datapath.port import Datapath
from edge_agent.datapath.stock import NOBODY, SIZE
from edge_agent.dhcp.tables import Line, SubscriberKey
from edge_agent.sync.pools import Pools
from lease_core.domain.commands import Answer, Refused, RequestStock, Stocked
from lease_core.domain.stock import MAX_STOCK
from lease_core.domain.values import Ipv4

SECOND_NS = 1_000_000_000
LEAST = 8
"""Newcomers of a link in a second from which on they are offered addresses of a stock."""
BEGINNING_NS = SECOND_NS // 8
"""So long a part of a second tells of the rest."""
AHEAD = 4
"""So many times as come in a second are set aside: that many claim theirs before more come."""
REFILL = 16
"""What is missing is asked for as soon as it is one in so many."""
SHARE = 4
"""One link has at most one in so many places, or one in as many as there are links."""
PATIENCE_NS = 5 * SECOND_NS
"""How long an offer keeps its place at least. Who takes it up later is granted it all the same, if
by the long way, but the places are not for those who went away."""
ANSWER_NS = 3 * SECOND_NS
REFUSED_NS = 5 * SECOND_NS
"""How long nothing is asked of an allocator that does not answer, or has nothing."""


class _Asked(NamedTuple):
    req: str
    link: Ipv4
    at: Now


class _Place(NamedTuple):
    number: int
    link: Ipv4
    until_boot_ns: int


class Stock:
    """Fills the datapath's stock, and takes out of it; a link is a giaddr, 0 = clients' own."""

    def __init__(
        self,
        datapath: Datapath,
        pools: Pools,
        send_command: SendCommand,
        new_req: NewReq,
        links: int,
    ) -> None:
        """Begin without one: what another process was given is not known here.

        `links` is how many may come to have some.
        """
        self._links = max(1, links)
        self._most = SIZE // max(SHARE, links)
        self._datapath = datapath
        self._pools = pools
        self._send_command = send_command
        self._new_req = new_req
        self._asked: _Asked | None = None
        self._quiet_until_ns = 0
        self._demand = _Demand()
        self._at: dict[Ipv4, _Place] = {}
        self._held: Counter[Ipv4] = Counter()
        self._in_group: defaultdict[Ipv4, Counter[int]] = defaultdict(Counter)
        self._free: list[list[int]] = []
        datapath.set_stock_groups(0)
        datapath.stock.clear_all(range(SIZE))
        self._owners, self._looked_ns = datapath.stock.owners(), 0

    def __len__(self) -> int:
        return len(self._at)

    def owner(self, ip: Ipv4) -> SubscriberKey:
        """Whom an address was offered to; `NOBODY` also where it is not in the stock."""
        place = self._at.get(ip)
        return self._datapath.stock.owner(place.number) if place else NOBODY

    def clear(self) -> None:
        """Offer nothing of it any more: who leads the log now may give it to others."""
        self.take_out(list(self._at))
        self._free.clear()
        self._asked = None
        self._datapath.set_stock_groups(0)

    # --- asking for it ---

    def heard(self, link: Ipv4, line: Line, now: Now) -> None:
        """Somebody takes up an offer: see to it that there are some for those who follow."""
        port = self._datapath.port(line.ifindex)
        if port is None or not port.offers_stock:
            return
        rate = self._demand.heard(link, now.elapsed_ns)
        if not rate or now.elapsed_ns < self._quiet_until_ns:
            return
        held = self._held[link]
        wanted = min(AHEAD * rate, self._most)
        missing = wanted - held
        if REFILL * missing > wanted:
            self._ask(link, min(missing, MAX_STOCK), now)

    def _ask(self, link: Ipv4, count: int, now: Now) -> None:
        req = self._new_req()
        self._quiet_until_ns = now.elapsed_ns + ANSWER_NS
        if self._send_command(RequestStock(req=req, count=count, link=link)):
            self._asked = _Asked(req, link, now)

    def answered(self, answer: Answer, now: Now) -> bool:
        """Take what the allocator gives; False = the answer is somebody else's."""
        asked = self._asked
        if asked is None or answer.req != asked.req:
            return False
        self._asked = None
        self._quiet_until_ns = now.elapsed_ns + REFUSED_NS if isinstance(answer, Refused) else 0
        if isinstance(answer, Stocked):
            self._put(answer, asked)
        return True

    # --- what is in it ---

    def _put(self, answer: Stocked, asked: _Asked) -> None:
        pool_id = self._pools.find(answer.pool)
        if pool_id is None:
            return
        until_boot_ns = asked.at.boot_ns + answer.hold_s * SECOND_NS
        link = asked.link
        ips = [ip for ip in answer.ips if ip not in self._at]
        self._grow(self._held[link] + len(ips))
        numbers = self._take_places(link, len(ips))
        ips = ips[: len(numbers)]
        self._datapath.stock.put_all(numbers, ips, pool_id, link, until_boot_ns)
        self._held[link] += len(ips)
        for ip, number in zip(ips, numbers, strict=True):
            self._at[ip] = _Place(number, link, until_boot_ns)

    def _grow(self, size: int) -> None:
        """Use so many groups that each link could have `size` addresses, some in every group.

        Twice as many each time.
        """
        groups = self._groups or 1
        while PER_GROUP * groups < min(size * self._links, SIZE):
            groups *= 2
        if groups != self._groups:
            new = range(self._groups, groups)
            self._free += [[PER_GROUP * group + at for at in range(PER_GROUP)] for group in new]
            self._datapath.set_stock_groups(groups)

    @property
    def _groups(self) -> int:
        return len(self._free)

    def _take_places(self, link: Ipv4, count: int) -> list[int]:
        """So many free places for a link, or all; first of the groups where it has the fewest."""
        taken: list[int] = []
        in_group = self._in_group[link]
        by_held: list[list[int]] = [[] for _ in range(PER_GROUP)]
        for group, free in enumerate(self._free):
            if free:
                by_held[in_group.get(group, 0)].append(group)
        for held, groups in enumerate(by_held):
            for group in groups:
                if len(taken) == count:
                    return taken
                taken.append(self._free[group].pop())
                in_group[group] = held + 1
                if self._free[group]:
                    by_held[held + 1].append(group)
        return taken

    def take_out(self, ips: Iterable[Ipv4]) -> None:
        """Offer addresses no more: somebody has them now, or they were kept long enough."""
        places = [place for ip in ips if (place := self._at.pop(ip, None))]
        if not places:
            return
        self._datapath.stock.clear_all([place.number for place in places])
        for number, link, _ in places:
            group = number // PER_GROUP
            self._held[link] -= 1
            self._in_group[link][group] -= 1
            self._free[group].append(number)

    def drop_stale(self, now: Now) -> None:
        """Take out what was kept long enough, and what the same one had on offer a look ago.

        Those put first are due first.
        """
        if not self._groups:
            return
        stale = takewhile(lambda ip: self._at[ip].until_boot_ns <= now.boot_ns, self._at)
        self.take_out(list(stale))
        if now.elapsed_ns - self._looked_ns >= PATIENCE_NS:
            table = self._datapath.stock
            self.take_out(table.still_offered(self._owners))
            self._owners, self._looked_ns = table.owners(), now.elapsed_ns
        if not (self._at or self._asked):
            self.clear()


class _Demand:
    """Newcomers of each link in this second and the one before."""

    def __init__(self) -> None:
        self._began_ns = 0
        self._now: Counter[Ipv4] = Counter()
        self._before: Counter[Ipv4] = Counter()

    def heard(self, link: Ipv4, now_ns: int) -> int:
        """Count one more; how many come in a second that goes on as it began, 0 = too few."""
        passed_ns = now_ns - self._began_ns
        if passed_ns >= SECOND_NS:
            self._before = self._now if passed_ns < 2 * SECOND_NS else Counter()
            self._now, self._began_ns = Counter(), now_ns
        self._now[link] += 1
        count, before = self._now[link], self._before[link]
        if max(count, before) < LEAST:
            return 0
        passed_ns = max(now_ns - self._began_ns, BEGINNING_NS)
        return max(before, count * SECOND_NS // passed_ns)
