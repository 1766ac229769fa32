"""A site in the kernel that tests put frames through."""

import time
from dataclasses import replace
from typing import NamedTuple

from edge_agent.datapath import abi, known, stock
from edge_agent.datapath.dry_run import XDP_TX
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import Assignment, Line, PoolOptions, Port, SiteState, subscriber_key
from lease_core.domain.values import Ipv4, Mac
from tests.packets import CLIENT_MAC, PORT_MAC, SERVER, Client

IFINDEX = 1
"""The loopback interface, which every network namespace has."""

ADDRESS = 0x64400017
LEASE_S = 3600
SLOT = 7
POOL = 1
SECOND = 10**9

KEY = subscriber_key(Mac(CLIENT_MAC))
BINDING = Assignment(Ipv4(ADDRESS), POOL, SLOT, Line(IFINDEX), seq=42)
POOL_OPTIONS = PoolOptions(
    network=Ipv4(0x64400000),
    netmask=Ipv4(0xFFFF0000),
    server_id=Ipv4(SERVER),
    lease_time_s=LEASE_S,
    options=render_pool_options(
        Ipv4(SERVER), Ipv4(0xFFFF0000), (Ipv4(SERVER),), (Ipv4(0x08080808), Ipv4(0x09090909))
    ).always,
)


Side = XdpDatapath | MemoryDatapath
"""Tables of the kernel's, or of the twin's."""


def stock_octets(side: Side) -> memoryview:
    """The whole stock, to be read and written."""
    return side._stock.octets if isinstance(side, XdpDatapath) else side.stock._words.cast("B")


def forget_strangers(side: Side) -> None:
    """Nothing is in the stock, and nobody was ever known."""
    side.set_stock_groups(0)
    stock_octets(side)[:] = bytes(stock.SIZE * abi.STOCKED.size)
    side.known._octets[:] = bytes(known.OCTETS)


class Judged(NamedTuple):
    """What the program made of a frame."""

    counter: str | None
    action: int
    frame: bytes

    @property
    def is_answered(self) -> bool:
        return self.action == XDP_TX


class Lab:
    """A datapath with one subscriber; a test changes what it is about."""

    def __init__(self, datapath: XdpDatapath) -> None:
        self.datapath = datapath
        for key, _ in list(datapath.entries()):
            datapath.remove(key)
        forget_strangers(datapath)
        datapath.put(KEY, BINDING)
        if datapath.pool(POOL) != POOL_OPTIONS:
            datapath.put_pool(POOL, POOL_OPTIONS)
        datapath.put_port(IFINDEX, Port(Mac(PORT_MAC)))
        self.set_state()

    def set_state(self, **changes: object) -> None:
        """An open site with hours to go, but for the fields that are named."""
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        state = SiteState(gate=True, horizon_boot_ns=now + 14_400 * SECOND, touched_boot_ns=now)
        self.datapath.set_state(replace(state, **changes))  # type: ignore[arg-type]

    def judge(self, frame: bytes | Client, ifindex: int = IFINDEX) -> Judged:
        """Run the program; checks that one counter moved by one, or none at all."""
        octets = frame.frame() if isinstance(frame, Client) else frame
        before = self.datapath.counters()
        action, answer = self.datapath.test_run(octets, ifindex)
        after = self.datapath.counters()
        moved = {name: after[name] - n for name, n in before.items() if after[name] != n}
        assert sum(moved.values()) == len(moved) <= 1
        return Judged(next(iter(moved), None), action, answer)


def now_boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
