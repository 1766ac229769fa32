"""Weeks of coming and going: what a site remembers does not grow with time (I12)."""

import gc
import os
import random
from types import FunctionType, ModuleType

import pytest

from edge_agent.agent import guard
from lease_core.domain.commands import RevokeLease
from lease_core.domain.values import Ipv4
from tests.unit.agent.town import (
    FIRST,
    Town,
    decline,
    discover,
    inform,
    release,
    renewing,
    selecting,
)

DAYS = 20 if os.environ.get("LEASE_FULL") else 3
SIZE = 30
VISITS = 200
"""Newcomers a day."""
STATIC = (type, ModuleType, FunctionType)


def held_by(*roots: object, but: object) -> int:
    """How many objects are reached from `roots`, not through `but` nor the program itself."""
    seen: dict[int, object] = {id(but): but}
    waiting = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and not isinstance(each, STATIC):
            seen[id(each)] = each
            waiting += gc.get_referents(each)
    return len(seen)


class Cast:
    """Clients that nobody has seen before and nobody will see again."""

    def __init__(self, town: Town, chance: random.Random) -> None:
        self.town, self.chance = town, chance
        self.came = self.served = 0
        self.bound: dict[int, Ipv4] = {}

    async def live_a_day(self) -> None:
        for _ in range(VISITS):
            await self._come()
            for _ in range(3):
                await self._act()
            await self.town.wait(86400 // VISITS)
        events = self.town.server.site("ams01").events
        events.drop(len(events.ids) - 1)

    async def _come(self) -> None:
        self.came += 1
        line = self.chance.choice((7, 8))
        for offer in await self.town.send(discover(self.came), line):
            for ack in await self.town.send(selecting(self.came, offer.yiaddr), line):
                self.served += 1
                self.bound[self.came] = ack.yiaddr

    async def _act(self) -> None:
        """Somebody renews, leaves in one of many ways, or sends what no client would."""
        number = self.chance.choice([*self.bound, self.came])
        ip = self.bound.get(number, FIRST)
        makes = (renewing, renewing, renewing, release, decline, inform)
        make = self.chance.choice(makes)
        if make in (release, decline):
            self.bound.pop(number, None)
        octets = bytearray(make(number, ip).octets)
        if self.chance.random() < 0.2:
            octets[self.chance.randrange(len(octets))] = self.chance.randrange(256)
        self.town.edge.receive(bytes(octets), self.chance.choice((7, 8)), self.town.now)
        if self.chance.random() < 0.05:
            await self.town.log.send(RevokeLease(req="x", ip=ip, cause="operator"), "operator:test")
        await self.town.settle()


@pytest.mark.timeout(60 * DAYS)
async def test_what_a_site_remembers_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """After days of strangers, agent and allocator hold no more objects than after the first."""
    monkeypatch.setattr(guard, "MAX_TRACKED", VISITS // 2)  # or it takes weeks to be full
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    town = await Town(size=SIZE).begin()
    cast = Cast(town, random.Random(seed))
    held = []
    for _ in range(DAYS):
        await cast.live_a_day()
        held.append(held_by(town.edge, town.allocator, but=town))
    print(f"{cast.came} came, {cast.served} were served; objects held {held}")

    assert cast.served > 10 * SIZE
    assert max(held[1:]) < held[0] * 1.1
