"""The tables of the differential test: bindings, pools, ports, site states and what strangers may
be offered, some flawed."""

import random
from collections.abc import Sequence
from dataclasses import replace

from edge_agent.datapath import abi, known, stock
from edge_agent.dhcp.options import ON_REQUEST_MAX, POOL_OPTIONS_MAX, option
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import (
    Assignment,
    KeyMode,
    Line,
    Port,
    SiteState,
    SubscriberKey,
    key_mode,
    key_of,
    subscriber_key,
)
from lease_core.domain.values import NO_IP, Ipv4, Mac
from tests.kernel.lab import ADDRESS, IFINDEX, POOL_OPTIONS, SECOND, Side, forget_strangers
from tests.packets import CLIENT_MAC, PORT_MAC, RELAY, SERVER

CLIENTS = 16
STRANGERS = range(CLIENTS, CLIENTS + 4)
"""Clients of whom nothing ever stands in the tables."""
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

STOCK_GROUPS = (0, 1, 1, 1, 2, 5, 16, stock.GROUPS, stock.GROUPS + 1, 1 << 40)
STOCKED_FROM = ADDRESS + 256
"""The address of the first place of the stock; each has its own."""

Dealt = tuple[SubscriberKey, Assignment]
Owner = tuple[Mac, Line, KeyMode]


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


def fill(datapath: Side) -> None:
    """The tables that a run begins with, whatever was there before."""
    forget_strangers(datapath)
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


def set_port(pick: random.Random, *sides: Side) -> bool:
    """Make the port one for clients themselves, or for one or two relays; tell which."""
    relays = pick.choice(((), (), (RELAYS[0],), RELAYS, RELAYS))
    key = pick.choice(tuple(KeyMode)) if relays else pick.choice((KeyMode.MAC, KeyMode.LINE))
    if pick.random() < 0.05:
        key = KeyMode.CIRCUIT
    is_marked = not relays and pick.random() < 0.4
    if is_marked and pick.random() < 0.25:
        key = KeyMode.CIRCUIT
    offers = pick.random() < 0.8
    for side in sides:
        side.put_port(
            IFINDEX,
            Port(Mac(PORT_MAC), relays=relays, key=key, trusted=is_marked, offers_stock=offers),
        )
    return bool(relays)


def some_known(pick: random.Random, *sides: Side) -> set[Mac]:
    """Make some of the clients known and the others not; return whom."""
    clients = [Mac(CLIENT_MAC + number) for number in range(STRANGERS.stop)]
    chosen = {mac for mac in clients if pick.random() < 0.3}
    for side in sides:
        for mac in clients:
            side.known._octets[known._place(mac) >> 3] = 0
        for mac in chosen:
            side.known.add(mac)
    return chosen


def some_stock(
    pick: random.Random, now: int, links: Sequence[Ipv4], *sides: Side
) -> tuple[int, dict[int, Owner]]:
    """Use so many groups of the stock and put some of their places anew; return how many groups,
    and whom a place was given to at once."""
    groups = pick.choice(STOCK_GROUPS)
    for side in sides:
        side.set_stock_groups(groups)
    if not 0 < groups <= stock.GROUPS:
        return groups, {}
    owners = {}
    for _ in range(12):
        owner = some_owner(pick)
        index = pick.choice(stock._group_of(key_of(*owner), groups))
        owners.pop(index, None)
        if pick.random() < 0.1:
            for side in sides:
                side.stock.clear(index)
            continue
        place = (
            Ipv4(STOCKED_FROM + index),
            pick.choice((1, 2, 3)) if pick.random() < 0.9 else pick.choice((4, 5, 99)),
            pick.choice(links) if pick.random() < 0.9 else pick.choice((NO_IP, *RELAYS)),
            now + pick.choice((9000, 9000, 9000, -5)) * SECOND,
        )
        for side in sides:
            side.stock.put(index, *place)
        if pick.random() < 0.2:
            owners[index] = owner
            for side in sides:
                side.stock._words[index * abi.STOCKED.size // 8] = key_of(*owner)
    return groups, owners


def some_owner(pick: random.Random) -> Owner:
    """A client on a line of his, as some port knows him."""
    mode = pick.choice(tuple(KeyMode))
    lines = [line for line in LINES if bool(line.circuit) == (mode is KeyMode.CIRCUIT)]
    return Mac(CLIENT_MAC + pick.randrange(STRANGERS.stop)), pick.choice(lines), mode


def some_pool(pick: random.Random, *sides: Side) -> None:
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


def redeal(pick: random.Random, dealt: Sequence[Dealt], *sides: Side) -> None:
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
