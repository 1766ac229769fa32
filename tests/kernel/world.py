"""The tables of the differential test: bindings, pools, ports and site states, some flawed."""

import random
from collections.abc import Sequence
from dataclasses import replace

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.options import ON_REQUEST_MAX, POOL_OPTIONS_MAX, option
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import (
    Assignment,
    KeyMode,
    Line,
    SiteState,
    SubscriberKey,
    key_mode,
    key_of,
    subscriber_key,
)
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import ADDRESS, IFINDEX, POOL_OPTIONS, SECOND
from tests.packets import CLIENT_MAC, PORT_MAC, RELAY, SERVER

CLIENTS = 16
SLOTS = 300
RELAYS = (Ipv4(RELAY), Ipv4(RELAY + 1))
LINES = (
    Line(IFINDEX),
    Line(IFINDEX, 7),
    Line(IFINDEX, 7, 100),
    Line(IFINDEX, giaddr=RELAYS[0], circuit=b"c"),
    Line(IFINDEX, giaddr=RELAYS[0], circuit=b"c\0"),
    Line(IFINDEX, giaddr=RELAYS[1], circuit=b"c"),
    Line(IFINDEX, giaddr=RELAYS[0], circuit=b"access 0/1/7:4"),
    Line(IFINDEX, giaddr=RELAYS[1], circuit=bytes(range(64))),
    Line(IFINDEX, circuit=b"c"),
)

POOLS = {
    1: POOL_OPTIONS,
    2: replace(POOL_OPTIONS, lease_time_s=86_400, options=render_pool_options(
        Ipv4(SERVER), Ipv4(0xFFFF0000), (Ipv4(SERVER),), ()).always),
    3: replace(POOL_OPTIONS, options=POOL_OPTIONS.options + option(43, b"v" * 190)),
    4: replace(POOL_OPTIONS, options=POOL_OPTIONS.options[:26]),
    5: replace(POOL_OPTIONS, server_id=Ipv4(SERVER + 9), lease_time_s=119,
               options=render_pool_options(Ipv4(SERVER + 9), Ipv4(0xFFFF0000), (), ()).always),
}  # fmt: skip

UNREAD = tuple({*range(213, 255)} - {220, 221, 249, 252})
"""Codes that scapy gives no meaning to, so they may be empty."""
ON_REQUEST = {
    121: bytes.fromhex("18c0000264400001 0064400001"), 15: b"example.net", 26: b"\x05\xdc",
    42: b"ntp1ntp2", 119: b"s" * 33, 125: b"e" * 60, 249: b"r" * 14, 252: b"w" * 120,
}  # fmt: skip

Dealt = tuple[SubscriberKey, Assignment]


def binding(number: int) -> Assignment:
    """Every client has another flaw, the first ones have none."""
    assignment = Assignment(
        Ipv4(ADDRESS + number), 1 + number % 3, 100 + number, Line(IFINDEX), seq=1000 + number
    )
    flaws = {
        6: replace(assignment, check_ok=False),
        7: replace(assignment, line=Line(IFINDEX + 1)),
        8: replace(assignment, pool_id=4),
        9: replace(assignment, pool_id=5),
        10: replace(assignment, slot=1 << 30),
        12: replace(assignment, line=Line(IFINDEX, 7)),
        13: replace(assignment, line=Line(IFINDEX, 7, 100)),
        14: replace(assignment, line=Line(IFINDEX, 100)),
    }
    return flaws.get(number, assignment)


def by_line(number: int, line: Line, mode: KeyMode) -> tuple[SubscriberKey, Assignment]:
    """A binding on a port of another mode; a few are somebody else's under the same key."""
    mac = Mac(CLIENT_MAC + number)
    at = LINES.index(line)
    own = Assignment(
        Ipv4(ADDRESS + number), 1 + at % 3, 200 + at * 9 + number, line, seq=9, mac=mac
    )
    near = line._replace(circuit=line.circuit[:-1] + b"!") if line.circuit else Line(IFINDEX, 9)
    flaws = {
        6: replace(own, mac=Mac(mac + 1)),
        7: replace(own, line=near),
        8: replace(own, check_ok=False),
    }
    return key_of(mac, line, mode), flaws.get(number, own)


def deal() -> list[Dealt]:
    """The bindings that a run begins with."""
    by_lines = [
        by_line(number, line, KeyMode.CIRCUIT if line.circuit else KeyMode.LINE)
        for line in LINES
        for number in range(9)
    ]
    by_mac = [(subscriber_key(Mac(CLIENT_MAC + n)), binding(n)) for n in range(CLIENTS - 1)]
    return by_lines + by_mac


def fill(datapath: XdpDatapath | MemoryDatapath) -> None:
    """The tables that a run begins with, whatever was there before."""
    for key, _ in list(datapath.entries()):
        datapath.remove(key)
    for number, pool in POOLS.items():
        if datapath.pool(number) != pool:
            datapath.put_pool(number, pool)
    for entry in deal():
        datapath.put(*entry)


def some_state(pick: random.Random, now: int) -> SiteState:
    """Mostly open; the horizon is far, past, or so near that the grant is read off the reply."""
    left_s = (
        pick.choice((90_000, 90_000, 1800, 300)) if pick.random() < 0.9 else pick.choice((100, -5))
    )
    silent_s = pick.choice((0, 800, -50)) if pick.random() < 0.9 else 950
    return SiteState(
        gate=pick.random() > 0.05,
        horizon_boot_ns=now + left_s * SECOND + SECOND // 2,
        touched_boot_ns=max(0, now - silent_s * SECOND),
        current_until_boot_ns=max(0, now + pick.choice((90_000, 90_000, -5)) * SECOND),
        abi_ok=pick.random() > 0.03,
    )


def set_port(pick: random.Random, *sides: XdpDatapath | MemoryDatapath) -> bool:
    """Make the port one for clients themselves, or for one or two relays; tell which."""
    relays = pick.choice(((), (), (RELAYS[0],), RELAYS, RELAYS))
    key = pick.choice(tuple(KeyMode)) if relays else pick.choice((KeyMode.MAC, KeyMode.LINE))
    if pick.random() < 0.05:
        key = KeyMode.CIRCUIT
    is_marked = not relays and pick.random() < 0.4
    if is_marked and pick.random() < 0.25:
        key = KeyMode.CIRCUIT
    for side in sides:
        side.put_port(IFINDEX, Mac(PORT_MAC), relays=relays, key=key, trusted=is_marked)
    return bool(relays)


def some_pool(pick: random.Random, *sides: XdpDatapath | MemoryDatapath) -> None:
    """Give a pool other options on request: some, as many as there may be, or as long."""
    kind = pick.random()
    if kind < 0.2:
        chosen = [(code, b"") for code in pick.sample(UNREAD, ON_REQUEST_MAX)]
    elif kind < 0.3:
        room = POOL_OPTIONS_MAX - len(POOL_OPTIONS.options)
        chosen = [(60, bytes(255)), (15, bytes(room - 257 - 2))]
    else:
        chosen = pick.sample(sorted(ON_REQUEST.items()), pick.randrange(len(ON_REQUEST)))
    on_request = b"".join(option(*each) for each in chosen)
    for side in sides:
        side.put_pool(2, replace(POOL_OPTIONS, on_request=on_request))


def redeal(
    pick: random.Random, dealt: Sequence[Dealt], *sides: XdpDatapath | MemoryDatapath
) -> None:
    """Take a binding away, give it back, or give its key something else, as years of leases do."""
    key, assignment = pick.choice(dealt)
    how = pick.random()
    if how < 0.2:
        for side in sides:
            side.remove(key)
        return
    if how < 0.6:
        flaw: dict[str, object] = pick.choice((
            {"check_ok": False}, {"pool_id": pick.choice((1, 2, 3, 4, 5, 99))},
            {"slot": pick.choice((5, 200, 1 << 30))}, {"seq": pick.getrandbits(64)},
            {"ip": Ipv4(ADDRESS + pick.randrange(CLIENTS))}, {"mac": Mac(CLIENT_MAC)},
            {"line": pick.choice(LINES[:3])},
        ))  # fmt: skip
        if key_mode(key) is KeyMode.CIRCUIT:
            flaw = {name: value for name, value in flaw.items() if name not in ("slot", "line")}
        if key_mode(key) is KeyMode.MAC:
            flaw.pop("mac", None)
        assignment = replace(assignment, **flaw)  # type: ignore[arg-type]
    for side in sides:
        side.put(key, assignment)
