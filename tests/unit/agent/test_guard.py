"""The guard: no line gets more than its share of addresses, commands and answers (I12)."""

import random

import pytest

from edge_agent.agent.guard import BURST, INTERVAL_NS, MAX_TRACKED, NEWCOMER_NS, Guard
from edge_agent.dhcp.tables import Line
from lease_core.domain.commands import DeclineAddress, ReleaseLease
from lease_core.domain.events import LeaseAssigned
from lease_core.domain.values import Ipv4, Mac
from tests.unit.agent.town import (
    ELSEWHERE,
    SECOND,
    Town,
    decline,
    discover,
    inform,
    release,
    renewing,
    selecting,
)

LINE = Line(7, 100, 7)


def guard(limits: dict[int, int]) -> Guard:
    return Guard(limits, lambda _: 0, lambda *_: False)


@pytest.fixture
async def town() -> Town:
    town = Town(size=40)
    town.per_line = {7: 2}
    town.restart_edge()
    return await town.begin()


class TestRoom:
    async def test_random_macs_of_one_line_take_no_more_than_its_share(self, town: Town) -> None:
        """A line that makes up clients gets its number of addresses; other lines are served."""
        for number in range(1, 400):
            town.ns += SECOND
            offers = await town.send(discover(number))
            for offer in offers:
                await town.send(selecting(number, offer.yiaddr))
        bound = await town.events(LeaseAssigned)
        [other] = await town.send(discover(1000), ifindex=8)

        assert len(bound) == 2
        assert other.yiaddr
        assert town.edge.slow_path.tally["drop_line_full"] == 397

    async def test_nothing_is_sent_for_what_is_refused(self, town: Town) -> None:
        """The allocator does not hear of it."""
        await town.lease(1)
        await town.lease(2)
        town.is_cut = True
        for number in range(3, 20):
            await town.send(discover(number))

        assert town.commands == []

    async def test_who_is_bound_is_served_on_a_full_line(self, town: Town) -> None:
        """The limit is for newcomers; also the next process knows who is bound."""
        ip = await town.lease(1)
        await town.lease(2)
        town.restart_edge()
        town.ns += SECOND
        assert await town.send(discover(3)) == []
        assert len(await town.send(renewing(1, ip))) == 1

    async def test_a_place_comes_free_again(self, town: Town) -> None:
        """Who gave its address back leaves room for another."""
        ip = await town.lease(1)
        await town.lease(2)
        await town.send(release(1, ip))
        await town.beat()
        assert await town.lease(3)

    def test_who_asked_in_vain_counts_for_a_while(self) -> None:
        """A newcomer takes a place until its offer is over."""
        made = guard({7: 2})

        assert [made.has_room(Mac(n), LINE, n) for n in (1, 2, 3, 1)] == [True, True, False, True]
        assert made.has_room(Mac(3), LINE, NEWCOMER_NS + 2)
        assert all(made.has_room(Mac(n), Line(8), 0) for n in range(100)), "no limit there"


class TestRate:
    def test_a_line_with_a_limit_is_judged_as_a_whole(self) -> None:
        """Its clients share one allowance, which comes back with time."""
        made = guard({7: 2})
        asked = [made.allows_another(Mac(n), LINE, 0) for n in range(BURST + 5)]

        assert asked == [True] * BURST + [False] * 5
        assert made.allows_another(Mac(1), Line(7, 100, 8), 0), "another line"
        assert made.allows_another(Mac(1), LINE, INTERVAL_NS)
        assert not made.allows_another(Mac(1), LINE, INTERVAL_NS)

    def test_on_a_shared_line_each_client_is_judged_alone(self) -> None:
        """One that asks without end does not stop its neighbours."""
        made = guard({})
        assert sum(made.allows_another(Mac(1), LINE, 0) for _ in range(100)) == BURST
        assert made.allows_another(Mac(2), LINE, 0)

    def test_what_is_remembered_is_bounded(self) -> None:
        """However many lines are made up, memory stays."""
        made = guard({})
        for number in range(MAX_TRACKED + 100):
            made.allows_another(Mac(number), LINE, 0)
        assert len(made._due) == MAX_TRACKED

    @pytest.mark.parametrize("make", [release, decline, inform])
    async def test_other_messages_cannot_be_repeated_without_end(self, make: object) -> None:
        """Releases, declines and informs of one client are taken at its rate, whoever holds it."""
        town = await Town().begin()
        ip = Ipv4(await town.lease(1) + (make is inform))  # its own is answered from the tables
        town.is_cut = True
        town.ns += 60 * SECOND
        for _ in range(500):
            await town.send(make(1, ip))  # type: ignore[operator]
        commands = [c for c in town.commands if isinstance(c, ReleaseLease | DeclineAddress)]

        assert len(commands) <= BURST
        assert town.edge.slow_path.tally["drop_line_too_often"] == 500 - BURST

    async def test_naks_are_rationed(self) -> None:
        """A client that asks for ever for what is no address here is told so at its rate."""
        town = await Town().begin()
        await town.lease(1)
        town.ns += 60 * SECOND
        town.edge.touch(town.now)
        told = [len(await town.send(renewing(1, ELSEWHERE))) for _ in range(100)]

        assert sum(told) == BURST

    async def test_renewals_are_not_rationed(self) -> None:
        """What the tables answer costs nobody else anything."""
        town = await Town().begin()
        ip = await town.lease(1)
        told = [len(await town.send(renewing(1, ip))) for _ in range(100)]

        assert sum(told) == 100


def test_no_rate_is_exceeded_whatever_the_times() -> None:
    """In any stretch of time a line gets its burst and what the interval gives, no more."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, made, now, taken = random.Random(seed), guard({}), 0, []
    for _ in range(3000):
        now += chance.choice((0, 1, INTERVAL_NS // 3, INTERVAL_NS * 5))
        if made.allows_another(Mac(1), LINE, now):
            taken.append(now)
    for first in range(0, len(taken), 7):
        for last in range(first, min(first + 60, len(taken))):
            allowed = BURST + (taken[last] - taken[first]) // INTERVAL_NS + 1
            assert last - first + 1 <= allowed, f"seed {seed}"
