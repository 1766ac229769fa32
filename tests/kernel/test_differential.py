"""The program and its Python twin judge the same packets: same counter, octets and promise.

`LEASE_SEED=n` repeats a run; the seed is printed with a failure. `LEASE_FULL=1` judges a million
packets.
"""

import os
import random
import time
from collections import Counter
from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.fastpath import judge
from edge_agent.dhcp.options import option
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import (
    Assignment,
    KeyMode,
    Line,
    SiteState,
    SubscriberKey,
    key_of,
    subscriber_key,
)
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import ADDRESS, IFINDEX, POOL_OPTIONS, SECOND, Lab, now_boot_ns
from tests.packets import (
    BROADCAST_IP,
    CLIENT_MAC,
    PORT_MAC,
    RELAY,
    RELAY_MAC,
    ROUTER_MAC,
    SERVER,
    Client,
    ip,
)

PACKETS = 1_000_000 if os.environ.get("LEASE_FULL") == "1" else 30_000
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
)
CIRCUITS = tuple(line.circuit for line in LINES if line.circuit)
TPIDS = (0x8100, 0x88A8, 0x9100)
SUB_OPTIONS = (1, 1, 2, 2, 4, 5, 6, 9, 10, 11, 12, 19, 33)

POOLS = {
    1: POOL_OPTIONS,
    2: replace(POOL_OPTIONS, lease_time_s=86_400, options=render_pool_options(
        Ipv4(SERVER), Ipv4(0xFFFF0000), (Ipv4(SERVER),), ())),
    3: replace(POOL_OPTIONS, options=POOL_OPTIONS.options + option(43, b"v" * 190)),
    4: replace(POOL_OPTIONS, options=POOL_OPTIONS.options[:26]),
    5: replace(POOL_OPTIONS, server_id=Ipv4(SERVER + 9), lease_time_s=119),
}  # fmt: skip


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
        Ipv4(ADDRESS + number), 1 + at % 3, 200 + at * 8 + number, line, seq=9, mac=mac
    )
    near = replace(line, circuit=line.circuit[:-1] + b"!") if line.circuit else Line(IFINDEX, 9)
    flaws = {
        6: replace(own, mac=Mac(mac + 1)),
        7: replace(own, line=near),
        8: replace(own, check_ok=False),
    }
    return key_of(mac, line, mode), flaws.get(number, own)


def fill(datapath: XdpDatapath | MemoryDatapath) -> None:
    for line in LINES:
        for number in range(9):
            datapath.put(*by_line(number, line, KeyMode.CIRCUIT if line.circuit else KeyMode.LINE))
    for number, pool in POOLS.items():
        datapath.put_pool(number, pool)
    for number in range(CLIENTS - 1):
        datapath.put(subscriber_key(Mac(CLIENT_MAC + number)), binding(number))


def some_options(pick: random.Random, number: int) -> list[tuple[int, bytes]]:
    """Options as clients send them, in any order, some of them broken."""
    address = ip(ADDRESS + (number if pick.random() < 0.9 else pick.randrange(CLIENTS)))
    message_type = (
        pick.choice((1, 1, 1, 3, 3, 3, 3)) if pick.random() < 0.95 else pick.randrange(10)
    )
    pool = (
        (53, bytes((message_type,))),
        (50, address),
        (54, ip(SERVER)),
        (61, pick.randbytes(pick.choice((1, 7, 7, 19, 254, 255)))),
        (12, pick.randbytes(pick.randrange(20))),
        (55, pick.randbytes(13)),
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
    client = Client(
        mac=CLIENT_MAC + number,
        tags=some_tags(pick, binding(number).line),
        options=tuple(some_options(pick, number)),
        bootp_len=pick.choice((0, 0, 300, 300, 300, 548, 752, pick.randrange(240, 760))),
        xid=pick.getrandbits(32),
        secs=pick.getrandbits(8),
        flags=pick.choice((0, 0x8000, pick.getrandbits(16))),
        ciaddr=pick.choice((0, 0, 0, ADDRESS + number)),
        dst_ip=pick.choice((BROADCAST_IP, SERVER)) if pick.random() < 0.95 else SERVER + 1,
        chaddr_rest=pick.choice((bytes(10), pick.randbytes(10))),
        trailer=bytes(pick.choice((0, 0, 0, 1, 6, 300))),
    )
    if (pick.random() < 0.9) == at_relay_port:
        client = through_relay(pick, client)
        if pick.random() < 0.25:
            client = through_router(pick, client.without_option(82).but(giaddr=0), number)
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
        ))  # fmt: skip
        client = client.but(**flaw)
    frame = bytearray(client.frame())
    if pick.random() < 0.1:
        frame[pick.randrange(len(frame))] = pick.getrandbits(8)
    if pick.random() < 0.05:
        del frame[pick.randrange(34, len(frame)) :]
    return bytes(frame)


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
        abi_ok=pick.random() > 0.03,
    )


def set_port(pick: random.Random, *sides: XdpDatapath | MemoryDatapath) -> bool:
    """Make the port one for clients themselves, or for one or two relays; tell which."""
    relays = pick.choice(((), (), (RELAYS[0],), RELAYS, RELAYS))
    key = pick.choice(tuple(KeyMode)) if relays else pick.choice((KeyMode.MAC, KeyMode.LINE))
    if pick.random() < 0.05:
        key = KeyMode.CIRCUIT
    for side in sides:
        side.put_port(IFINDEX, Mac(PORT_MAC), relays=relays, key=key)
    return bool(relays)


def promises_in(lab: Lab) -> list[int]:
    """The words of the kernel's promises, by which an ACK tells when it was given."""
    return lab.datapath._promises._words[: 2 * SLOTS].tolist()


def grant_in(reply: bytes) -> int:
    """Option 51, which stands at the same place of every reply behind its tags."""
    at = reply.index(b"\x63\x82\x53\x63", 200) + 4 + 11
    return int.from_bytes(reply[at : at + 4], "big")


@pytest.mark.timeout(3600)
def test_twins(lab: Lab) -> None:
    """Both sides come to the same verdict, octets and promise for every generated packet."""
    seed = int(os.environ.get("LEASE_SEED", random.SystemRandom().getrandbits(32)))
    print(f"LEASE_SEED={seed}")
    pick = random.Random(seed)
    twin = MemoryDatapath(lab.datapath.max_subscribers)
    fill(lab.datapath)
    fill(twin)
    for slot in range(SLOTS):
        twin.raise_promise(slot, lab.datapath.promise(slot))
    seen: Counter[str | None] = Counter()
    at_relay_port, started = False, time.monotonic()
    for number in range(PACKETS):
        if number % 50 == 0:
            state = some_state(pick, now_boot_ns())
            at_relay_port = set_port(pick, lab.datapath, twin)
            lab.datapath.set_state(state)
            twin.set_state(state)
        frame = some_frame(pick, at_relay_port=at_relay_port)
        place = f"packet {number} of LEASE_SEED={seed}: {frame.hex()}"

        promises = promises_in(lab)
        before = now_boot_ns()
        judged = lab.judge(frame)
        after = now_boot_ns()
        raised = sorted(set(promises_in(lab)) - set(promises)) if judged.counter == "ack" else []
        now = raised[0] - grant_in(judged.frame) * SECOND if raised else before

        verdict = judge(frame, IFINDEX, twin, now)

        assert before <= now <= after, place
        assert judged.counter == verdict.counter, place
        assert judged.frame == (verdict.frame or frame), place
        assert judged.is_answered == (verdict.frame is not None), place
        if judged.counter == "ack":
            promised = [lab.datapath.promise(slot) for slot in range(SLOTS)]
            assert promised == [twin.promise(slot) for slot in range(SLOTS)], place
        else:
            assert promises_in(lab) == promises, place
        seen[judged.counter] += 1
    print(f"{PACKETS} packets, {PACKETS / (time.monotonic() - started):.0f}/s: {dict(seen)}")
    assert seen["offer"] > PACKETS // 30 < seen["ack"]
    assert len(seen) > 25
