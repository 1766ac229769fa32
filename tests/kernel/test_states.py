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

from lease_core.domain.commands import RevokeLease
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import IFINDEX, SECOND, Lab, now_boot_ns
from tests.packets import (
    DISCOVER,
    PORT_MAC,
    RELEASE,
    REQUEST,
    Client,
    ip,
    relayed,
)
from tests.unit.agent.town import FIRST, SERVER, Town, mac_of, read_reply

TABLE = Path(__file__).with_name("states.txt")
ME, OTHER = 1, 2
RELAY = Ipv4(SERVER + 200)
VLAN = ((0x8100, 7),)
FOREIGN = ip(SERVER + (7 << 8))
HOURS_5 = 5 * 3600
ANOTHERS = Ipv4(FIRST + 1)


class Router(Town):
    """A town with one interface, that of the kernel's test runs."""

    def __init__(self, *, is_relayed: bool) -> None:
        super().__init__()
        self.is_relayed = is_relayed
        self.datapath._ports.clear()
        relays = (RELAY,) if is_relayed else ()
        self.datapath.put_port(IFINDEX, Mac(PORT_MAC), relays=relays)
        self.restart_edge({"access0": IFINDEX})

    def frame(self, client: Client) -> bytes:
        if self.is_relayed:
            client = relayed(client).but(giaddr=RELAY, src_ip=RELAY)
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
            kernel.put(key, replace(found, slot=min(found.slot, 4000)))
        for number, pool in self.datapath.pools():
            if kernel.pool(number) != pool:
                kernel.put_pool(number, pool)
        kernel.put_port(IFINDEX, Mac(PORT_MAC), relays=(RELAY,) if self.is_relayed else ())
        state, passed = self.datapath.state(), now - self.ns
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


async def other_line(town: Router) -> None:
    """The client holds the address on a VLAN, and asks from another line."""
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
    town.edge._state = replace(town.edge._state, gate=False)
    town.edge.touch(town.now)


STATES: dict[str, Callable[[Router], Awaitable[None]]] = {
    each.__name__: each
    for each in (bound, unknown, other_line, released, revoked, horizon_over, catching_up)
}
SERVERS = {"no server": None, "own server": ip(SERVER), "foreign server": FOREIGN}
ADDRESSES = {"own address": FIRST, "another's": ANOTHERS, "no address": None}
MESSAGES = ("discover", "option 50", "ciaddr, unicast", "ciaddr, broadcast")


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


async def outcome(lab: Lab, state: str, row: Row, *, is_relayed: bool) -> str:
    """What the kernel says, and what the client is answered in the end where it has no kernel."""
    town = Router(is_relayed=is_relayed)
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


@pytest.mark.parametrize("is_relayed", [False, True], ids=["direct", "relayed"])
@pytest.mark.parametrize("row", rows(), ids=lambda row: ", ".join(row[:3]))
def test_row(lab: Lab, row: Row, is_relayed: bool) -> None:
    """Kernel and agent do what the table says, in every lease state."""
    found = [asyncio.run(outcome(lab, each, row, is_relayed=is_relayed)) for each in STATES]

    assert dict(zip(STATES, found, strict=True)) == dict(zip(STATES, row.cells, strict=True))


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
