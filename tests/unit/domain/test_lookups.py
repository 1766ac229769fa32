"""What the ledger finds at once is what looking at everything finds."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lease_core.domain.events import PoolAdded
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4
from tests.site import pool_added


def ledger_of(pools: list[PoolAdded]) -> Ledger:
    ledger = Ledger()
    for seq, pool in enumerate(pools, 1):
        ledger.evolve(seq, 1, pool)
    return ledger


@given(st.permutations(range(1, 8)), st.lists(st.integers(1, 2000), min_size=7, max_size=7))
def test_pool_of_an_address(order: list[int], sizes: list[int]) -> None:
    """An address belongs to the pool whose range holds it, in whatever order pools came (I10)."""
    ranges = [pool_added(sizes[at - 1], f"res-{at}", at) for at in order]
    pools = [replace(pool, number=number) for number, pool in enumerate(ranges, 1)]
    ledger = ledger_of(pools)
    edges = [edge for pool in pools for edge in (pool.first, pool.last)]

    for ip in (Ipv4(edge + step) for edge in edges for step in (-1, 0, 1)):
        holding = [pool for pool in pools if pool.first <= ip <= pool.last]
        assert [ledger.pool_of(ip)] == (holding or [None])


def test_link_of_a_pool() -> None:
    """A pool is on the links of its network, and on the unknown one."""
    ledger = ledger_of([pool_added(), pool_added(name="res-2", number=2)])

    links = (Ipv4(0), pool_added().gateway, pool_added(number=2).gateway, Ipv4(1))
    assert [ledger.is_on_link("res-1", link) for link in links] == [True, True, False, False]
