"""RFC 2131 4.3.2 and table 4, row by row: what kernel and agent make of every kind of request.

The agent is a real edge with a real allocator behind it, brought into each lease state by what
clients do; the kernel is asked the same with the very tables that this edge had at that moment.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_agent.datapath.abi import STOCK_PER_GROUP
from edge_agent.dhcp.tables import KeyMode, Port
from lease_core.domain.commands import RevokeLease
from lease_core.domain.events import AddressDeclined, LeaseExpired
from lease_core.domain.values import NO_IP, Ipv4, Mac
from tests.kernel.lab import IFINDEX, SECOND, Lab, forget_strangers, now_boot_ns
from tests.packets import (
    CIRCUIT,
    DECLINE,
    DISCOVER,
    PORT_MAC,
    RELEASE,
    REQUEST,
    ROUTER_MAC,
    Client,
    ip,
    relayed,
    routed,
)
from tests.unit.agent.town import FIRST, SERVER, Town, mac_of, read_reply

TABLE = Path(__file__).with_name("states.txt")
ME, OTHER = 1, 2
RELAY = Ipv4(SERVER + 200)
VLAN = ((0x8100, 7),)
ELSEWHERE = b"\x01\x05other"
"""Option 82 of another circuit."""
FOREIGN = ip(SERVER + (7 << 8))
HOURS_5 = 5 * 3600
ANOTHERS = Ipv4(FIRST + 1)
SET_ASIDE = Ipv4(FIRST + 2)


class Way(NamedTuple):
    """Who speaks at the port, and what it tells lines apart by."""

    is_relayed: bool
    key: KeyMode = KeyMode.MAC


WAYS = {
    "direct": Way(False),
    "by line": Way(False, KeyMode.LINE),
    "relayed": Way(True),
    "by circuit": Way(True, KeyMode.CIRCUIT),
}


class Router(Town):
    """A town with one interface, that of the kernel's test runs."""

    def __init__(self, way: Way) -> None:
        super().__init__()
        self.way = way
        self.datapath._ports.clear()
        self.datapath.put_port(
            IFINDEX, Port(Mac(PORT_MAC), relays=self.relays, key=way.key, offers_stock=True)
        )
        self.restart_edge({"access0": IFINDEX})

    @property
    def relays(self) -> tuple[Ipv4, ...]:
        return (RELAY,) if self.way.is_relayed else ()

    def frame(self, client: Client) -> bytes:
        if self.way.is_relayed and client.src_mac != ROUTER_MAC:
            circuit = ELSEWHERE if client.tags else CIRCUIT
            client = relayed(client, circuit).but(giaddr=RELAY, src_ip=RELAY)
        return client.frame()

    async def hear(self, client: Client) -> list[str]:
        """What a client is answered, when all is quiet."""
        self.frames.clear()
        self.edge.receive(self.frame(client), IFINDEX, self.now)
        await self.settle()
        return [read_reply(0, untagged(frame)).kind.name.lower() for _, frame in self.frames]

    async def bind(self, number: int, address: Ipv4, **fields: object) -> None:
        """The whole exchange of a client."""
        me = Client(mac=mac_of(number), **fields)  # type: ignore[arg-type]
        wish = ((50, ip(address)), (54, ip(SERVER)))
        assert await self.hear(me.with_option(50, ip(address))) == ["offer"]
        assert await self.hear(me.but(options=((53, bytes((REQUEST,))), *wish))) == ["ack"]

    def show_to(self, lab: Lab) -> None:
        """Give the kernel the tables of this edge, as if its now were the kernel's."""
        kernel, now = lab.datapath, now_boot_ns()
        for key, _ in list(kernel.entries()):
            kernel.remove(key)
        for key, found in self.datapath.entries():
            slot = min(1000 + found.slot, 4000)  # where no other test looks
            kernel.put(key, replace(found, slot=slot))
        for number, pool in self.datapath.pools():
            if kernel.pool(number) != pool:
                kernel.put_pool(number, pool)
        kernel.put_port(
            IFINDEX, Port(Mac(PORT_MAC), relays=self.relays, key=self.way.key, offers_stock=True)
        )
        state, passed = self.datapath.state(), now - self.ns
        forget_strangers(kernel)
        kernel.known._octets[:] = self.datapath.known._octets
        for index in range(STOCK_PER_GROUP):
            _, until_boot_ns, *stocked = self.datapath.stock.entry(index)
            if until_boot_ns:
                kernel.stock.put(index, *stocked, until_boot_ns + passed)
        kernel.set_stock_groups(1)
        kernel.set_state(
            replace(
                state,
                horizon_boot_ns=max(0, state.horizon_boot_ns + passed),
                touched_boot_ns=max(0, state.touched_boot_ns + passed),
                current_until_boot_ns=max(0, state.current_until_boot_ns + passed),
            )
        )


def untagged(frame: bytes) -> bytes:
    return frame if frame[12:14] == b"\x08\x00" else frame[:12] + frame[16:]


async def bound(town: Router) -> None:
    """The client holds its address on this line."""
    await town.bind(ME, FIRST)


async def unknown(town: Router) -> None:
    """Nobody has heard of the client; its address is free."""


async def stocked(town: Router) -> None:
    """Nobody has heard of the client, and an address is set aside for such."""
    link = RELAY if town.way.is_relayed else NO_IP
    (number, _), *_ = town.datapath.pools()
    town.datapath.stock.put(0, SET_ASIDE, number, link, town.ns + 900 * SECOND)
    town.datapath.set_stock_groups(1)


async def other_line(town: Router) -> None:
    """The client holds the address on a VLAN, or another circuit, and asks from another line."""
    await town.bind(ME, FIRST, tags=VLAN)


async def released(town: Router) -> None:
    """The client gave its address back; it is held back for those who may not know."""
    await bound(town)
    release = Client(
        mac=mac_of(ME), options=((53, bytes((RELEASE,))),), ciaddr=FIRST, src_ip=FIRST,
        dst_ip=SERVER,
    )  # fmt: skip
    assert await town.hear(release) == []
    await town.tick()


async def offered(town: Router) -> None:
    """The client was offered the address, and nobody else gets it for a minute."""
    wish = Client(mac=mac_of(ME)).with_option(50, ip(FIRST))
    assert await town.hear(wish) == ["offer"]


async def expired(town: Router) -> None:
    """The client did not renew; the log says so, and the address rests."""
    await bound(town)
    await town.wait(2200)
    other = Client(
        mac=mac_of(OTHER), options=((53, bytes((REQUEST,))),), ciaddr=ANOTHERS, src_ip=ANOTHERS
    )
    assert await town.hear(other) == ["ack"]
    await town.wait(1800)
    assert await town.events(LeaseExpired)


async def declined(town: Router) -> None:
    """The client found its address in use; it rests for ten minutes."""
    await bound(town)
    wish = ((53, bytes((DECLINE,))), (50, ip(FIRST)), (54, ip(SERVER)))
    assert await town.hear(Client(mac=mac_of(ME), options=wish)) == []
    await town.tick()
    assert await town.events(AddressDeclined)


async def revoked(town: Router) -> None:
    """An operator took the address away; the edge has not acknowledged yet."""
    await bound(town)
    await town.log.send(RevokeLease(req="x", ip=FIRST, cause="operator"), "operator:test")
    await town.settle()


async def horizon_over(town: Router) -> None:
    """The client holds its address, but the edge has been cut off for too long."""
    await bound(town)
    town.is_cut = True
    town.ns += HOURS_5 * SECOND
    town.edge.touch(town.now)


async def catching_up(town: Router) -> None:
    """The client holds its address, but the edge has just started."""
    await bound(town)
    town.is_cut = True
    town.edge.record.state = replace(town.edge.record.state, gate=False)
    town.edge.touch(town.now)


STATES: dict[str, Callable[[Router], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        bound,
        unknown,
        stocked,
        offered,
        other_line,
        released,
        revoked,
        expired,
        declined,
        horizon_over,
        catching_up,
    )
}
SERVERS = {"no server": None, "own server": ip(SERVER), "foreign server": FOREIGN}
ADDRESSES = {"own address": FIRST, "another's": ANOTHERS, "no address": None}
THROUGH_ROUTER = "ciaddr, router"
MESSAGES = ("discover", "option 50", "ciaddr, unicast", "ciaddr, broadcast", THROUGH_ROUTER)


def client(message: str, server: str, address: str) -> Client:
    """A message with option 54, and an address where the kind of message has it."""
    named, server_id = ADDRESSES[address], SERVERS[server]
    me = Client(
        mac=mac_of(ME), options=((53, bytes((DISCOVER if message == "discover" else REQUEST,))),)
    )
    if named is not None and message.startswith("ciaddr"):
        me = me.but(ciaddr=named, src_ip=named)
    elif named is not None:
        me = me.with_option(50, ip(named))
    if message == "ciaddr, unicast":
        me = me.but(dst_ip=SERVER)
    if message == THROUGH_ROUTER:
        me = routed(me.but(dst_ip=SERVER))
    return me.with_option(54, server_id) if server_id else me


class Row(NamedTuple):
    """A line of the table: who asks what, and per lease state `kernel verdict > agent's reply`."""

    message: str
    server: str
    address: str
    cells: tuple[str, ...]


def rows() -> list[Row]:
    """The table without its head, which names the lease states."""
    lines = TABLE.read_text().splitlines()
    head, *found = [[cell.strip() for cell in line.split("|")] for line in lines if "|" in line]
    assert head[3:] == list(STATES), "the columns of the table are the lease states"
    return [
        Row(message, server, address, tuple(cells)) for message, server, address, *cells in found
    ]


async def outcome(lab: Lab, state: str, row: Row, way: Way) -> str:
    """What the kernel says, and what the client is answered in the end where it has no kernel."""
    town = Router(way)
    await town.begin()
    await town.bind(OTHER, ANOTHERS)
    await STATES[state](town)
    town.show_to(lab)
    asked = client(row.message, row.server, row.address)
    frame = town.frame(asked)
    judged = lab.judge(frame)
    assert judged.is_answered or judged.frame == frame
    replies = await town.hear(asked)
    return f"{str(judged.counter).removeprefix('pass_')} > {' '.join(replies) or '-'}"


def expected(row: Row, way: Way) -> list[str]:
    """The row on a port: where a key names the line, nothing is found under that of another.

    A port of clients has no routers, and on one of circuits nobody names the line for them.
    """
    if row.message == THROUGH_ROUTER and way != WAYS["relayed"]:
        reason = "circuit" if way.is_relayed else "source_mac"
        is_lost = way.is_relayed and (row.server != "no server" or row.address == "no address")
        return [f"{'relay_unknown' if is_lost else reason} > -"] * len(STATES)
    return [
        cell if way.key is KeyMode.MAC else cell.replace("other_line", "unknown_client")
        for cell in row.cells
    ]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("row", rows(), ids=lambda row: ", ".join(row[:3]))
def test_row(lab: Lab, row: Row, way: Way) -> None:
    """Kernel and agent do what the table says, in every lease state and key mode (I8, I9)."""
    found = [asyncio.run(outcome(lab, each, row, way)) for each in STATES]

    assert dict(zip(STATES, found, strict=True)) == dict(
        zip(STATES, expected(row, way), strict=True)
    )


def test_table_is_whole() -> None:
    """Every message with every server and address has a row."""
    everything = set(product(MESSAGES, SERVERS, ADDRESSES))

    assert {row[:3] for row in rows()} == everything


def test_no_refusal_out_of_ignorance() -> None:
    """No cell has a NAK while the log is not to be had (I9), nor for another server's client."""
    late = {"horizon_over", "catching_up"}
    for row in rows():
        for state, cell in zip(STATES, row.cells, strict=True):
            assert not (cell.endswith("nak") and (state in late or row.server == "foreign server"))
