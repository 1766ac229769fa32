"""The stock: who is offered what of it, and who never is."""

from array import array
from collections import Counter

import numpy as np
import pytest

from edge_agent.datapath import abi, stock
from edge_agent.datapath.stock import GROUPS, NOBODY, SIZE, Stocked, StockTable
from edge_agent.dhcp.tables import SubscriberKey
from lease_core.domain.values import NO_IP, Ipv4

NOW, LATER = 1000, 2000
LINK = Ipv4(0x6440_0002)
ME, OTHER = SubscriberKey(0x1234_5678), SubscriberKey(0x8765_4321)
FIRST = Ipv4(0x6440_0100)
POOL = 3


@pytest.fixture
def table() -> StockTable:
    """One group, each of whose places has an address."""
    table = empty()
    for index in range(abi.STOCK_PER_GROUP):
        table.put(index, Ipv4(FIRST + index), POOL, NO_IP, LATER)
    return table


def empty() -> StockTable:
    return StockTable(memoryview(array("Q", bytes(SIZE * abi.STOCKED.size))))


def claim(table: StockTable, key: SubscriberKey, link: Ipv4 = NO_IP, groups: int = 1) -> int | None:
    """The address that a subscriber is given."""
    found = table.claim(key, link, groups, NOW)
    assert found is None or found[1] == POOL
    return found and found[0]


def test_what_is_put_is_read_back() -> None:
    """A place has what was put there and belongs to nobody; cleared it offers nothing."""
    table = empty()
    table.put(SIZE - 1, FIRST, POOL, LINK, LATER)
    assert table.entry(SIZE - 1) == Stocked(NOBODY, LATER, FIRST, POOL, LINK)
    assert table.entry(SIZE - 2).until_boot_ns == 0

    table.clear(SIZE - 1)
    assert table.entry(SIZE - 1)[:2] == (NOBODY, 0)


def test_everybody_has_an_address_of_his_own(table: StockTable) -> None:
    """Nobody is offered what another was, who asks again is offered the same, and then none is
    left."""
    keys = [SubscriberKey(number) for number in range(1, 1 + abi.STOCK_PER_GROUP)]
    given = [claim(table, key) for key in keys]

    assert sorted(each or 0 for each in given) == list(range(FIRST, FIRST + abi.STOCK_PER_GROUP))
    assert [claim(table, key) for key in keys] == given
    assert [table.owner((ip or 0) - FIRST) for ip in given] == keys
    assert claim(table, OTHER) is None


def test_an_address_of_another_link_is_not_offered(table: StockTable) -> None:
    """Neither a free one nor one that the same subscriber was offered elsewhere."""
    claim(table, ME)
    assert claim(table, ME, LINK) is None
    table.put(2, Ipv4(FIRST + 9), POOL, LINK, LATER)
    assert claim(table, ME, LINK) == FIRST + 9
    assert claim(table, OTHER, LINK) is None


def test_what_is_past_is_not_offered(table: StockTable) -> None:
    """An address whose time has come is nobody's, neither anew nor again."""
    mine = table.claim(ME, NO_IP, 1, LATER - 1)

    assert mine == table.claim(ME, NO_IP, 1, LATER - 1) == (FIRST, POOL)
    assert table.claim(ME, NO_IP, 1, LATER) is None
    assert table.claim(OTHER, NO_IP, 1, LATER) is None


def test_a_new_address_is_nobodys(table: StockTable) -> None:
    """Where an address was exchanged, its former owner has no right to the next one."""
    for key in range(1, 1 + abi.STOCK_PER_GROUP):
        claim(table, SubscriberKey(key))
    assert claim(table, OTHER) is None
    table.put(1, Ipv4(FIRST + 9), POOL, NO_IP, LATER)

    assert claim(table, OTHER) == FIRST + 9


@pytest.mark.parametrize("groups", [0, GROUPS + 1, -1])
def test_groups_that_are_none(table: StockTable, groups: int) -> None:
    """Without groups in use, or with more than there are, nothing is offered."""
    assert claim(table, ME, groups=groups) is None


def test_subscribers_are_spread_over_the_groups() -> None:
    """Every group in use has its share, and no other is looked into."""
    groups = 16
    seen = Counter(
        each for key in range(1, 4000) for each in stock._group_of(SubscriberKey(key), groups)
    )

    assert set(seen) == set(range(groups * abi.STOCK_PER_GROUP))
    assert max(seen.values()) < 2 * min(seen.values())


def test_time_is_the_last_that_is_written(
    table: StockTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads in the middle of a change finds a place without time, or a whole one."""
    before, seen = tuple(table._words[:4]), []

    class Watched(np.ndarray):  # type: ignore[type-arg]
        def __setitem__(self, index: object, words: object) -> None:
            super().__setitem__(index, words)
            seen.append(tuple(table._words[:4]))

    plain = np.frombuffer
    monkeypatch.setattr(np, "frombuffer", lambda *each: plain(*each).view(Watched))
    table.put(0, Ipv4(7), 8, Ipv4(9), LATER + 1)

    assert [each[1] for each in seen] == [0] * (len(seen) - 1) + [LATER + 1]
    assert seen[0][0] == before[0]
    assert seen[-1][0] == NOBODY
