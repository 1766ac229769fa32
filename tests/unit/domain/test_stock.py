"""The stock: what is set aside for the edge is nobody else's until somebody takes it up."""

import random
from itertools import pairwise

import pytest

from lease_core.domain.commands import Heartbeat, Refused, RequestStock, StartRecovery, Stocked
from lease_core.domain.events import LeaseAssigned
from lease_core.domain.reasons import Reason
from lease_core.domain.stock import MAX_RUNS, pick, runs_of
from lease_core.domain.values import Ipv4
from tests.site import FIRST, Site, pool_added


def stocked(site: Site, count: int = 4, link: int = 0) -> list[Ipv4]:
    """What the edge is given; nothing where it is refused."""
    _, answer = site.do(RequestStock(req="s", count=count, link=Ipv4(link)))
    return list(answer.ips) if isinstance(answer, Stocked) else []


def refusal(site: Site, link: int = 0) -> str:
    _, answer = site.do(RequestStock(req="s", count=4, link=Ipv4(link)))
    assert isinstance(answer, Refused)
    return answer.reason


class TestSettingAside:
    def test_stock_is_offered_to_nobody_else(self) -> None:
        """Neither the next free address nor one that is wished for is out of the stock."""
        site = Site(size=64)
        aside = stocked(site)

        assert aside == [FIRST + n for n in range(4)]
        assert site.offer(1) == FIRST + 4
        assert site.offer(2, wanted=FIRST) == FIRST + 5
        assert not set(aside) & set(stocked(site))

    def test_a_stranger_takes_one_up(self) -> None:
        """A REQUEST for an address of the stock is granted like one for an offer."""
        site = Site(size=64)
        ip = stocked(site)[1]
        events, _ = site.request(7, ip)

        assert [type(event) for event in events] == [LeaseAssigned]
        assert site.ledger.bound[ip].mac == 7

    def test_one_address_goes_to_one(self) -> None:
        """Who comes second for an address of the stock is refused (I1)."""
        site = Site(size=64)
        ip = stocked(site)[0]
        site.request(7, ip)
        _, answer = site.request(8, ip)

        assert isinstance(answer, Refused)
        assert answer.reason == Reason.IN_USE

    def test_it_comes_back(self) -> None:
        """What nobody took up is free again, and what somebody holds is not (I10)."""
        site = Site(size=32)
        aside = stocked(site)
        site.request(50, aside[0])
        for mac in range(1, 29):
            site.lease(mac)
        site.wait(site.timing.offer_hold_s - 1)
        assert site.offer(60) is None
        site.wait(2)

        assert [site.offer(mac) for mac in range(60, 64)] == [*aside[1:], None]

    def test_time_brings_it_back_unasked(self) -> None:
        """The allocator wakes when the stock is due, if nothing else is."""
        site = Site(size=64)
        stocked(site)

        assert site.desk.next_due_ns() == site.now_ns + site.timing.offer_hold_s * 10**9

    def test_who_was_offered_one_last_has_his_time(self) -> None:
        """What the edge offers no more is given to others only where nothing else is free."""
        site = Site(size=64)
        aside = stocked(site)
        site.wait(site.timing.offer_hold_s + 1)
        others = {site.offer(mac) for mac in range(1, 59)}

        assert not others & set(aside)
        assert site.request(60, aside[3])[0]
        assert [site.offer(mac) for mac in range(61, 66)] == [FIRST + 62, FIRST + 63, *aside[:3]]

    def test_a_pool_is_not_used_up(self) -> None:
        """The stock takes a share of a pool: others are still offered addresses."""
        site = Site(size=64)

        assert len(stocked(site, count=1000)) == 8
        assert len(stocked(site, count=1000)) == 7
        assert site.offer(1) == FIRST + 15

    def test_only_of_the_network_that_is_meant(self) -> None:
        """A relay's clients are offered what lies on their link (RFC 2131 4.3.1)."""
        site = Site(size=64)
        site.record(pool_added(size=64, name="res-2", number=2))
        link = pool_added(number=2).gateway

        assert min(stocked(site, link=link)) == pool_added(number=2).first
        assert refusal(site, link=1) == Reason.NO_POOL

    def test_refusals(self) -> None:
        """A pool without enough, and a log that lost events, give nothing."""
        site = Site(size=7)
        assert refusal(site) == Reason.POOL_FULL
        site.do(Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0))
        site.do(StartRecovery(req="r", cause="old copy"))

        assert refusal(site) == Reason.RECOVERING

    def test_a_takeover_forgets_it(self) -> None:
        """Like offers: another allocator decides about who took one up as about anybody."""
        site = Site(size=64)
        ip = stocked(site)[0]
        site.take_over()

        assert site.request(7, ip)[0]


@pytest.mark.parametrize("seed", range(20))
def test_runs_hold_what_was_picked(seed: int) -> None:
    """Runs are disjoint, no two touch, and together they are the addresses that were picked."""
    free = random.Random(seed).sample(range(1000, 1000 + 40 * (seed + 1)), 40)
    picked = pick(map(Ipv4, free), 30)
    runs = list(runs_of(picked))

    assert len(picked) == 30
    assert picked == [ip for first, last in runs for ip in range(first, last + 1)]
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(runs))


def test_no_more_runs_than_an_answer_tells() -> None:
    """Addresses that lie apart are fewer than were asked for."""
    free = map(Ipv4, range(1000, 9000, 2))

    assert len(pick(free, 1000)) == MAX_RUNS
    assert next(free) == 1000 + 2 * MAX_RUNS
