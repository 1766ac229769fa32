"""A crowd of clients against pools with one address more: each address has one holder, none leaks.

The plan gives prefixes to sites. So each of three sites has a prefix of its own with as many
addresses as it has clients, a third of them all, and the first has the one that is left over.
"""

import os
import random
import secrets
import time
from collections.abc import Iterator

import pytest

from lease_core.domain.commands import (
    Command,
    DeclineAddress,
    ReleaseLease,
    RevokeLease,
)
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Mac
from lease_core.log.memory_store import MemoryServer
from lease_core.log.reader import Position
from lease_core.log.replay import fold
from tests.property.crowd import GENESIS, LEASE_S, MAX_TRIES, TIMING, Clock, Key, Place

CLIENTS = 100_000 if os.environ.get("LEASE_FULL") else 5_000
SITES = 3
ROUNDS = 10
FIRST_MAC = 0x02_00_00_00_00_00
FAR_APART = 10**8


class Crowd:
    """The clients of one place; some go for good, and others come in their stead."""

    def __init__(self, place: Place, count: int, first: int) -> None:
        self.place = place
        self.chance = place.chance
        self.next = first
        self.clients = set(self.newcomers(count))

    def newcomers(self, count: int) -> Iterator[Key]:
        for _ in range(count):
            self.next += 1
            yield Mac(FIRST_MAC + self.next), f"access0:{self.next % 4000 + 1}"

    async def churn(self) -> None:
        """One in four leaves, one way or another; late copies of old commands come between."""
        place = self.place
        leaving = self.chance.sample(sorted(self.clients), len(self.clients) // 4)
        await place.tell([*self._ends(leaving), *place.late()])
        gone = leaving[::2]
        self.clients.difference_update(gone)
        self.clients.update(self.newcomers(len(gone)))

    def _ends(self, leaving: list[Key]) -> Iterator[Command]:
        """Most release; some decline, are revoked, or say nothing and expire."""
        for mac, line in leaving:
            ip = self.place.address[mac, line]
            what = self.chance.random()
            if what < 0.6:
                yield ReleaseLease(req="r", mac=mac, line=line, ip=ip)
            elif what < 0.65:
                yield DeclineAddress(req="d", mac=mac, line=line, ip=ip)
            elif what < 0.75:
                yield RevokeLease(req="v", ip=ip, cause="operator")

    async def ask_while_addresses_rest(self) -> None:
        """Served are exactly: whoever gets his own back, and as many others as there are free."""
        place = self.place
        acks = list(place.acks())
        await place.tell(acks[::2])
        await place.wait(TIMING.offer_hold_s + 1, self.clients)
        wanting = self.clients - place.address.keys()
        own = sum(place.own.get(key) in place.resting for key in wanting)
        expected = len(place.bound) + own + min(len(wanting) - own, place.free)
        await place.ask(sorted(wanting))
        assert len(place.bound) == expected

    async def settle(self) -> None:
        """Everything that ended comes back, and then every client is served (I10)."""
        place = self.place
        for _ in range(MAX_TRIES):
            await place.wait(LEASE_S + 1, self.clients)
            await place.tell(place.over())
            await place.tell(place.acks())
            if place.address.keys() <= self.clients and not place.resting:
                break
        await place.ask(sorted(self.clients))
        assert place.address.keys() == self.clients
        assert not place.resting
        assert place.ledger.bound.keys() == place.bound.keys()

    async def probe(self) -> None:
        """One client more is offered an address where there is one more; it is not taken."""
        place = self.place
        place.offers.clear()
        await place.tell(map(place.discover, self.newcomers(1)))
        assert len(place.offers) == place.free == place.size - len(self.clients)
        await place.wait(TIMING.offer_hold_s + 1, self.clients)


@pytest.mark.timeout(7200)
async def test_a_crowd_is_served_and_nothing_leaks() -> None:
    """I1, I10: through ten rounds of release, expiry, decline, revocation and takeover, with
    commands lost, doubled, late and out of order, each address has one holder at any time and every
    client is served in the end; I3: the log alone gives the state that the allocators came to."""
    seed = int(os.environ.get("LEASE_SEED") or secrets.randbits(32))
    print(f"LEASE_SEED={seed}")
    chance, started = random.Random(seed), time.perf_counter()
    clock, crowds = Clock(), []
    server = MemoryServer(clock.now_ms)
    for number in range(SITES):
        count = (CLIENTS - number + SITES - 1) // SITES
        place = Place(number, count + (not number), server, clock, chance)
        await place.open()
        crowds.append(Crowd(place, count, number * FAR_APART))
    for crowd in crowds:
        await crowd.place.ask(sorted(crowd.clients))
    for _ in range(ROUNDS):
        for crowd in crowds:
            await crowd.settle()
            await crowd.probe()
            await crowd.churn()
            await crowd.ask_while_addresses_rest()
    for crowd in crowds:
        await crowd.settle()
        await same_after_replay(crowd.place)

    assert sum(len(crowd.place.bound) for crowd in crowds) == CLIENTS
    assert sum(crowd.place.free for crowd in crowds) == 1
    for what in ("told", "epochs"):
        print(what, sum(getattr(crowd.place, what) for crowd in crowds), end=", ")
    print(f"{time.perf_counter() - started:.0f} s")


async def same_after_replay(place: Place) -> None:
    ledger = Ledger()
    await fold(place.log, ledger, Position(GENESIS))
    assert ledger.digest() == place.site.ledger.digest()
