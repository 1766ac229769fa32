"""What the two sides take from the stock: the same, and each place for one subscriber."""

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

_WORDS = abi.STOCKED.size // 8


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
        self._places = range(0)
        self._before = b""
        self._owners: dict[int, oracle.Subscriber] = {}

    def begin(self, groups: int, owners: dict[int, Owner]) -> None:
        """Begin a batch with so many groups, where some places were given to others."""
        is_sound = groups <= stock.GROUPS
        self._places = range(groups * abi.STOCK_PER_GROUP if is_sound else 0)
        self._before = self._now()
        for index in self._places:
            if index in owners:
                mac, line, mode = owners[index]
                self._owners[index] = wire(mac), None if mode is KeyMode.MAC else where_of(line)
            elif not self._twin.stock.owner(index):
                self._owners.pop(index, None)

    def told(self) -> dict[int, oracle.Stocked]:
        """The stock in the oracle's words."""
        found = {}
        for index in self._places:
            place = self._twin.stock.entry(index)
            if place.until_boot_ns:
                told = bound_of(place.ip, self._twin.pool(place.pool_id))
                owner = self._owners.get(index)
                assert bool(owner) == bool(place.key)
                found[int(place.ip)] = oracle.Stocked(told, place.link, place.until_boot_ns, owner)
        return found

    def note(self, frame: bytes, facts: oracle.Facts) -> bool:
        """Whether a place was taken by who sent this frame; at most one may be, a free one."""
        octets = self._now()
        if octets == self._before:
            return False
        was, words = memoryview(self._before).cast("Q"), memoryview(octets).cast("Q")
        self._before = octets
        (at,) = (at for at in range(len(words)) if was[at] != words[at])
        assert at % _WORDS == 0 == was[at], f"word {at} of the stock changed"
        index = at // _WORDS
        owner = oracle.who_asks(oracle.Packet(frame), facts)
        self._owners[index] = owner
        ip = int(self._twin.stock.entry(index).ip)
        facts.stock[ip] = facts.stock[ip]._replace(owner=owner)
        return True

    def _now(self) -> bytes:
        """The groups in use, the same on both sides."""
        kernel, twin = (side[: len(self._places) * abi.STOCKED.size] for side in self._sides)
        octets = kernel.tobytes()
        assert octets == twin, "the stocks differ"
        return octets
