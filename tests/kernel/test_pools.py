"""Each processor keeps copies of pools: none is answered from after the agent wrote another."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.datapath import abi
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import PoolOptions, subscriber_key
from lease_core.domain.values import Mac
from tests.kernel.lab import BINDING, KEY, POOL, POOL_OPTIONS, Lab
from tests.packets import CLIENT_MAC, DISCOVER, dhclient

SAME_PLACE = POOL + 8
"""A pool whose copy takes the place of `POOL`'s."""
OTHER_MAC = Mac(CLIENT_MAC + 1)
MTU = b"\x1a\2\5\xd4"
OTHER_POOL = replace(POOL_OPTIONS, lease_time_s=7200, options=POOL_OPTIONS.options + MTU)


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """A copy that was kept is only seen by the processor that kept it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def _is_told(lab: Lab, pool: PoolOptions, mac: int = CLIENT_MAC) -> bool:
    """Whether an OFFER has a pool's lease time and what stands behind the times."""
    frame = lab.judge(dhclient(DISCOVER, mac=mac)).frame
    time_s, rest = pool.lease_time_s.to_bytes(4, "big"), pool.options[27:]
    return b"\x33\4" + time_s in frame and rest + b"\xff" in frame


def test_a_changed_pool_is_told_from_the_next_packet_on(lab: Lab) -> None:
    """A write to a pool is seen at once, also where the site's state was written in between."""
    assert _is_told(lab, POOL_OPTIONS)
    for pool in (OTHER_POOL, POOL_OPTIONS, OTHER_POOL):
        lab.datapath.put_pool(POOL, pool)
        assert _is_told(lab, pool)
        lab.set_state()
        assert _is_told(lab, pool)


def test_pools_whose_copies_have_one_place_are_told_apart(lab: Lab) -> None:
    """Subscribers of two such pools are answered each from their own, in any order."""
    lab.datapath.put_pool(SAME_PLACE, OTHER_POOL)
    lab.datapath.put(subscriber_key(OTHER_MAC), replace(BINDING, pool_id=SAME_PLACE, slot=8))

    for _ in range(2):
        assert _is_told(lab, POOL_OPTIONS)
        assert _is_told(lab, OTHER_POOL, OTHER_MAC)


def test_an_unknown_pool_is_no_copy_of_another(lab: Lab) -> None:
    """A binding of a pool that is in no table passes, though a copy stands in its place."""
    assert _is_told(lab, POOL_OPTIONS)
    lab.datapath.put(KEY, replace(BINDING, pool_id=POOL + 16))

    assert lab.judge(dhclient(DISCOVER)).counter == "pass_unknown_pool"


def test_what_an_agent_wrote_as_it_died_is_told_when_the_next_one_opens(directory: Path) -> None:
    """It may have died before it let programs look again."""
    with XdpDatapath.open(directory, 64) as first:
        lab = Lab(first)
        assert _is_told(lab, POOL_OPTIONS)
        first._pools.set(POOL, abi.pack_pool(OTHER_POOL))
        assert _is_told(lab, POOL_OPTIONS)

        with XdpDatapath.open(directory, 64):
            assert _is_told(lab, OTHER_POOL)
