"""What the two sides take from the stock: the same, and each place for one subscriber."""

import numpy as np
from numpy.typing import NDArray

from edge_agent.datapath import abi, stock
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.fastpath import MIN_GRANT_S
from edge_agent.dhcp.options import FIXED_LEN
from edge_agent.dhcp.tables import KeyMode, Line, PoolOptions
from lease_core.domain.values import Ipv4, Mac
from tests.kernel import oracle
from tests.kernel.lab import stock_octets
from tests.kernel.world import Owner


def wire(mac: Mac) -> bytes:
    return mac.to_bytes(6, "big")


def where_of(line: Line) -> oracle.Where:
    """A line in the oracle's words."""
    return line.ifindex, line.s_vlan, line.c_vlan, int(line.giaddr), line.circuit


def bound_of(ip: Ipv4, pool: PoolOptions | None, *, is_servable: bool = True) -> oracle.Bound:
    """An address of a pool in the oracle's words."""
    if pool is None:
        return oracle.Bound(ip, 0, 0, 0, 0, is_servable=False)
    is_sound = pool.lease_time_s >= MIN_GRANT_S and len(pool.options) >= FIXED_LEN
    return oracle.Bound(
        *(ip, pool.server_id, pool.lease_time_s, pool.network, pool.netmask),
        is_servable=is_servable and is_sound,
    )


class StockWatch:
    """The groups in use of both stocks; who owns a place is learnt from who took it."""

    def __init__(self, kernel: XdpDatapath, twin: MemoryDatapath) -> None:
        self._twin = twin
        self._sides = stock_octets(kernel), stock_octets(twin)
        self._places: NDArray[np.int64] = np.zeros(0, np.int64)
        """Where an address stands: what is looked at behind each frame."""
        self._before: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._owners: dict[int, oracle.Subscriber] = {}

    def begin(self, groups: int, owners: dict[int, Owner]) -> None:
        """Begin a batch with so many groups, where some places were given to others."""
        kernel, twin = map(_rows, self._sides)
        assert np.array_equal(kernel, twin), "the stocks differ"
        in_use = groups * abi.STOCK_PER_GROUP if groups <= stock.GROUPS else 0
        self._places = np.flatnonzero(twin[:in_use, stock._UNTIL])
        self._before = twin[self._places]
        for index in [place for place in self._owners if not self._twin.stock.owner(place)]:
            del self._owners[index]
        for index, (mac, line, mode) in owners.items():
            self._owners[index] = wire(mac), None if mode is KeyMode.MAC else where_of(line)

    def told(self) -> dict[int, oracle.Stocked]:
        """The stock in the oracle's words."""
        found = {}
        for index in self._places.tolist():
            place = self._twin.stock.entry(index)
            told = bound_of(place.ip, self._twin.pool(place.pool_id))
            owner = self._owners.get(index)
            assert bool(owner) == bool(place.key)
            found[int(place.ip)] = oracle.Stocked(told, place.link, place.until_boot_ns, owner)
        return found

    def note(self, frame: bytes, facts: oracle.Facts) -> bool:
        """Whether a place was taken by who sent this frame; at most one may be, a free one."""
        kernel, twin = (_rows(side)[self._places] for side in self._sides)
        assert np.array_equal(kernel, twin), "the stocks differ"
        if np.array_equal(kernel, self._before):
            return False
        ((at, word),) = np.argwhere(kernel != self._before).tolist()
        assert (word, self._before[at, word]) == (stock._KEY, stock.NOBODY), (
            f"word {word} was changed"
        )
        self._before = kernel
        index = int(self._places[at])
        owner = oracle.who_asks(oracle.Packet(frame), facts)
        self._owners[index] = owner
        ip = int(self._twin.stock.entry(index).ip)
        facts.stock[ip] = facts.stock[ip]._replace(owner=owner)
        return True


def _rows(octets: memoryview) -> NDArray[np.uint64]:
    """The words of each place. Not to be kept: the octets are the tables'."""
    return np.frombuffer(octets, np.uint64).reshape(-1, stock._WORDS)[: stock.SIZE]
