"""Requests of generated clients, relays and routers, with any number of things wrong."""

import random

from edge_agent.dhcp.options import option
from edge_agent.dhcp.tables import Line
from tests.kernel.lab import ADDRESS
from tests.kernel.world import CLIENTS, LINES, RELAYS, STRANGERS, binding
from tests.packets import (
    BROADCAST_IP,
    CLIENT_MAC,
    PORT_MAC,
    RELAY_MAC,
    ROUTER_MAC,
    SERVER,
    Client,
    ip,
)

USUAL = bytes((1, 121, 3, 6, 15, 26, 42, 119, 252))
"""What clients ask for."""
CIRCUITS = tuple(line.circuit for line in LINES if line.circuit)
TPIDS = (0x8100, 0x88A8, 0x9100)
SUB_OPTIONS = (1, 1, 2, 2, 4, 5, 6, 9, 10, 11, 12, 19, 33)


def some_options(pick: random.Random, number: int) -> list[tuple[int, bytes]]:
    """Options as clients send them, in any order, some of them broken."""
    address = ip(ADDRESS + (number if pick.random() < 0.9 else pick.randrange(CLIENTS)))
    message_type = (
        pick.choice((1, 1, 1, 1, 3, 3, 3, 3, 3, 8)) if pick.random() < 0.95 else pick.randrange(10)
    )
    pool = (
        (53, bytes((message_type,))),
        (50, address),
        (54, ip(SERVER)),
        (61, pick.randbytes(pick.choice((1, 7, 7, 19, 254, 255)))),
        (12, pick.randbytes(pick.randrange(20))),
        (55, pick.choice((USUAL, USUAL, pick.randbytes(13), pick.randbytes(255), b""))),
        (57, pick.choice((576, 576, 600, 700, 1500, 65535, 0)).to_bytes(2, "big")),
    )
    chosen = [o for o in pool if pick.random() < 0.55 or o[0] == 53]
    if pick.random() < 0.1:
        chosen.append(
            (pick.choice((50, 52, 53, 54, 55, 57, 61, 82, 77)), pick.randbytes(pick.randrange(6)))
        )
    if pick.random() < 0.03:
        chosen += [(77, b"")] * pick.choice((55, 60, 61, 62, 63, 64, 65))
    if pick.random() < 0.7:
        pick.shuffle(chosen)
    return chosen


def some_tags(pick: random.Random, line: Line) -> tuple[tuple[int, int], ...]:
    """Usually those of the client's line; else up to four, mostly with ids of somebody."""
    ids = [number for number in (line.s_vlan, line.c_vlan) if number]
    if pick.random() < 0.15:
        usual = (0, 7, 7, 100, pick.randrange(4096))
        ids = [pick.choice(usual) for _ in range(pick.choice((0, 1, 1, 2, 2, 3, 4)))]
    return tuple((pick.choice(TPIDS), number | pick.randrange(16) << 12) for number in ids)


def some_relay_info(pick: random.Random) -> bytes:
    """Sub-options as relays write them, sometimes a code too many or a length that is wrong."""
    if pick.random() < 0.05:
        return pick.randbytes(pick.randrange(1, 30))
    if pick.random() < 0.7:
        circuit = option(1, pick.choice((*CIRCUITS, *CIRCUITS, bytes(65), b"")))
        remote = option(2, pick.randbytes(pick.randrange(9)))
        return pick.choice((circuit, circuit + remote, remote + circuit))
    known = pick.random() < 0.8
    codes = pick.sample((1, 2, 6, 9, 12), pick.randrange(1, 5)) if known else pick.choices(
        SUB_OPTIONS, k=pick.randrange(1, 5)
    )  # fmt: skip
    parts = (option(code, pick.randbytes(pick.choice((0, 4, 14, 30, 60)))) for code in codes)
    return b"".join(parts)[:255]


def through_relay(pick: random.Random, client: Client) -> Client:
    """A client's message as a relay hands it on."""
    giaddr = pick.choice((*RELAYS, *RELAYS, *RELAYS, RELAYS[0] + 2))
    client = client.but(giaddr=giaddr, src_mac=RELAY_MAC, src_ip=giaddr, hops=1)
    if pick.random() < 0.1:
        client = client.but(src_mac=pick.choice((0, 1 << 40, client.mac)))
    if pick.random() < 0.8:
        client = client.with_option(82, some_relay_info(pick))
    return client


def through_router(pick: random.Random, client: Client, number: int) -> Client:
    """A renewal by unicast as a router brings it, now and then with a field of another state."""
    for code in (50, 54):
        if pick.random() < 0.9:
            client = client.without_option(code)
    if pick.random() < 0.8:
        client = client.without_option(53).with_option(53, b"\x03")
    address = ADDRESS + (number if pick.random() < 0.9 else pick.randrange(CLIENTS))
    usual = {"ciaddr": address, "src_ip": address, "dst_ip": SERVER, "src_mac": ROUTER_MAC}
    if pick.random() < 0.2:
        flaw: dict[str, int] = pick.choice((
            {"ciaddr": 0}, {"ciaddr": 0, "src_ip": 0}, {"src_ip": address + 1},
            {"dst_ip": BROADCAST_IP}, {"dst_ip": SERVER + 9}, {"giaddr": RELAYS[0]},
            {"src_mac": pick.choice((0, 1 << 40, client.mac))},
        ))  # fmt: skip
        usual |= flaw
    if pick.random() < 0.05:
        client = client.with_option(82, some_relay_info(pick))
    return client.but(**usual)


def some_frame(pick: random.Random, *, at_relay_port: bool) -> bytes:
    """A request with no, one or several things wrong, or with its octets cut or changed."""
    usual = (*range(6), 12, 13, 14)
    number = pick.choice(usual) if pick.random() < 0.9 else pick.randrange(CLIENTS)
    if pick.random() < 0.18:
        number = pick.choice(STRANGERS)
    client = Client(
        mac=CLIENT_MAC + number,
        tags=some_tags(pick, binding(number).line),
        options=tuple(some_options(pick, number)),
        bootp_len=pick.choice((0, 0, 300, 300, 300, 548, 752, pick.randrange(240, 760))),
        xid=pick.getrandbits(32),
        secs=pick.getrandbits(8),
        flags=pick.choice((0, 0x8000, pick.getrandbits(16))),
        ciaddr=pick.choice((*[0] * 6, *[ADDRESS + number] * 2, ADDRESS + pick.randrange(CLIENTS))),
        dst_ip=pick.choice((BROADCAST_IP, SERVER)) if pick.random() < 0.95 else SERVER + 1,
        chaddr_rest=pick.choice((bytes(10), pick.randbytes(10))),
        trailer=bytes(pick.choice((0, 0, 0, 1, 6, 300))),
    )
    if number in STRANGERS and pick.random() < 0.9:
        client = client.without_option(50).without_option(53).with_option(53, b"\x01")
        if pick.random() < 0.9:
            client = client.without_option(54)
    if (pick.random() < 0.9) == at_relay_port:
        client = through_relay(pick, client)
        if pick.random() < 0.25:
            client = through_router(pick, client.without_option(82).but(giaddr=0), number)
    elif pick.random() < 0.2:
        client = client.with_option(82, some_relay_info(pick))
    if pick.random() < 0.2:
        flaw: dict[str, object] = pick.choice((
            {"area": pick.randbytes(pick.randrange(1, 100))},
            {"area": bytes(pick.randrange(510)) + b"\x35\x01\x01\xff", "bootp_len": 0},
            {"src_mac": CLIENT_MAC + pick.randrange(CLIENTS)},
            {"mac": pick.choice((0, CLIENT_MAC | 1 << 40))},
            {"giaddr": pick.getrandbits(1)},
            {"op": pick.randrange(3)}, {"htype": pick.randrange(3)}, {"hlen": pick.randrange(8)},
            {"cookie": pick.getrandbits(32)},
            {"version_ihl": pick.choice((0x40, 0x42, 0x44, 0x46, 0x4F, 0x65, 0x45))},
            {"version_ihl": 0x46, "ip_options": b"\x94\x04\0\0"},
            {"fragment": pick.getrandbits(16)}, {"protocol": pick.choice((6, 17))},
            {"dst_port": pick.choice((67, 68))}, {"ethertype": pick.choice((0x800, 0x8100))},
            {"total_len": pick.randrange(400)}, {"udp_len": pick.randrange(400)},
            {"ip_check": pick.getrandbits(16)}, {"dst_mac": PORT_MAC},
            {"dst_mac": pick.choice((0, PORT_MAC + 1, 1 << 40, client.mac))},
        ))  # fmt: skip
        client = client.but(**flaw)
    frame = bytearray(client.frame())
    if pick.random() < 0.1:
        frame[pick.randrange(len(frame))] = pick.getrandbits(8)
    if pick.random() < 0.05:
        del frame[pick.randrange(34, len(frame)) :]
    return bytes(frame)
