"""Strangers at a port that offers them a stock: the program and its twin on the same tables."""

from collections.abc import Callable
from dataclasses import replace

from edge_agent.datapath.abi import STOCK_PER_GROUP
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.fastpath import judge
from edge_agent.dhcp.tables import KeyMode, Line, Port, key_of, subscriber_key
from lease_core.domain.values import NO_IP, Ipv4, Mac
from tests.kernel.lab import (
    ADDRESS,
    BINDING,
    IFINDEX,
    POOL,
    POOL_OPTIONS,
    SECOND,
    Judged,
    Lab,
    Side,
    now_boot_ns,
    stock_octets,
)
from tests.packets import (
    CIRCUIT,
    CLIENT_MAC,
    DISCOVER,
    PORT_MAC,
    RELAY,
    SERVER,
    Client,
    dhclient,
    relayed,
)

STRANGER = Mac(CLIENT_MAC + 1)
OTHER = Mac(CLIENT_MAC + 2)
FIRST = Ipv4(ADDRESS + 100)
ASKING = dhclient(DISCOVER, mac=STRANGER)
KEY = subscriber_key(STRANGER)
HOURS_4 = 14_400 * SECOND
ALONE = ((0x8100, 77),)
"""A line whose tokens no other test takes."""
EVERY_PLACE = range(STOCK_PER_GROUP)


class Site:
    """The program and its twin on the same tables, which a test changes as it changes one."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.twin = MemoryDatapath()
        self.sides: tuple[Side, Side] = (lab.datapath, self.twin)
        self.now = now_boot_ns()
        self.twin.put_pool(POOL, POOL_OPTIONS)
        self.set_port()
        self.set_state()
        self.put(0)
        self.use(1)

    def set_port(self, **changes: object) -> None:
        fields = {"offers_stock": True} | changes
        for side in self.sides:
            side.put_port(IFINDEX, Port(Mac(PORT_MAC), **fields))  # type: ignore[arg-type]

    def set_state(self, current_s: float = 900) -> None:
        self.lab.set_state(current_until_boot_ns=self.now + int(current_s * SECOND))
        self.twin.set_state(self.lab.datapath.state())

    def put(self, index: int, link: int = NO_IP, until_s: float = 900, pool: int = POOL) -> None:
        until_boot_ns = self.now + int(until_s * SECOND)
        for side in self.sides:
            side.stock.put(index, Ipv4(FIRST + index), pool, Ipv4(link), until_boot_ns)

    def use(self, groups: int) -> None:
        for side in self.sides:
            side.set_stock_groups(groups)

    def know(self, mac: Mac) -> None:
        for side in self.sides:
            side.known.add(mac)

    def hear(self, client: Client) -> Judged:
        """What the program makes of a message, and so does its twin; the stocks stay alike."""
        frame = client.frame()
        judged = self.lab.judge(frame)
        verdict = judge(frame, IFINDEX, self.twin, now_boot_ns())
        assert (verdict.counter, verdict.frame or frame) == (judged.counter, judged.frame)
        assert judged.is_answered or judged.frame == frame
        assert stock_octets(self.lab.datapath) == stock_octets(self.twin)
        return judged

    def offered(self, client: Client) -> int | None:
        """The address that a client is offered."""
        judged = self.hear(client)
        assert judged.counter == ("offer" if judged.is_answered else "pass_unknown_client")
        at = 42 + 4 * len(client.tags) + 16
        return int.from_bytes(judged.frame[at : at + 4]) if judged.is_answered else None


def behind_relay(site: Site, link: int = RELAY, key: KeyMode = KeyMode.MAC) -> None:
    site.set_port(relays=(Ipv4(RELAY), Ipv4(RELAY + 1)), key=key)
    site.put(0, link)


OFFERED: dict[str, tuple[Client, Callable[[Site], object]]] = {
    "a stranger": (ASKING, lambda _: None),
    "to our hardware address": (ASKING.but(dst_mac=PORT_MAC, dst_ip=SERVER), lambda _: None),
    "at the third place": (ASKING, lambda s: (s.put(0, until_s=-1), s.put(2))),
    "on a line": (
        ASKING.but(tags=((0x8100, 7), (0x8100, 9))),
        lambda s: s.set_port(key=KeyMode.LINE),
    ),
    "through a relay": (relayed(ASKING), behind_relay),
    "on a circuit": (relayed(ASKING), lambda s: behind_relay(s, key=KeyMode.CIRCUIT)),
    "marked by an access node": (
        ASKING.with_option(82, CIRCUIT),
        lambda s: s.set_port(trusted=True, key=KeyMode.CIRCUIT),
    ),
    "bound on another line that has a key of its own": (
        ASKING,
        lambda s: (s.set_port(key=KeyMode.LINE), bind(s, Line(IFINDEX, 9), KeyMode.LINE)),
    ),
}


def bind(site: Site, line: Line, mode: KeyMode) -> None:
    for side in site.sides:
        side.put(key_of(STRANGER, line, mode), replace(BINDING, line=line, mac=STRANGER))
