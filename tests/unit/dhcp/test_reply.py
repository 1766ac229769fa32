"""Replies, compared octet for octet with frames that scapy builds from the specification."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP as ScapyIp
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from edge_agent.dhcp import codes, options, reply
from edge_agent.dhcp.reply import lease_times, mix64
from edge_agent.dhcp.request import Request
from edge_agent.dhcp.tables import subscriber_key
from lease_core.domain.values import NO_IP, Ipv4, Mac, ip_text, mac_text
from tests.unit.dhcp.clients import (
    BROADCAST,
    DISCOVER,
    EVERYONE,
    INIT_REBOOT,
    IP,
    MAC,
    OTHER_IP,
    POOL,
    PORT_MAC,
    REBINDING,
    RELAY,
    RELAY_MAC,
    RENEWING,
    SELECTING,
    SERVER,
    Sent,
)

GRANT_S = 1801
CLIENT_ID = options.option(61, b"\x01" + MAC.to_bytes(6, "big"))
RELAY_INFO = options.option(82, b"\x01\x04port")
RELAYED: dict[str, Any] = {"giaddr": RELAY, "src_mac": RELAY_MAC, "src_ip": RELAY, "dst_ip": SERVER}
ALL = (EVERYONE, BROADCAST, 68)
CLIENT = (MAC, IP, 68)
RELAY_AGENT = (RELAY_MAC, RELAY, 67)
T1_S, T2_S = lease_times(GRANT_S, subscriber_key(MAC))

Build = Callable[[Request], bytes | None]


def offer(request: Request) -> bytes | None:
    return reply.offer(
        request,
        yiaddr=IP,
        pool=POOL,
        grant_s=GRANT_S,
        mac_key=subscriber_key(MAC),
        port_mac=PORT_MAC,
    )


def ack(request: Request) -> bytes | None:
    return reply.ack(
        request,
        yiaddr=IP,
        pool=POOL,
        grant_s=GRANT_S,
        mac_key=subscriber_key(MAC),
        port_mac=PORT_MAC,
    )


def nak(request: Request) -> bytes | None:
    return reply.nak(request, SERVER, PORT_MAC, "wrong network")


def inform_ack(request: Request) -> bytes | None:
    return reply.inform_ack(request, POOL, PORT_MAC)


def grant_options(kind: int) -> bytes:
    return (
        options.option(53, bytes([kind]))
        + options.option(54, SERVER.to_bytes(4, "big"))
        + options.option(51, GRANT_S.to_bytes(4, "big"))
        + options.option(58, T1_S.to_bytes(4, "big"))
        + options.option(59, T2_S.to_bytes(4, "big"))
        + POOL.options[27:]
    )


NAK_OPTIONS = (
    options.option(53, b"\x06")
    + options.option(54, SERVER.to_bytes(4, "big"))
    + options.option(56, b"wrong network")
)
INFORM_OPTIONS = (
    options.option(53, b"\x05") + options.option(54, SERVER.to_bytes(4, "big")) + POOL.options[27:]
)
INFORM = replace(DISCOVER, kind=codes.MessageType.INFORM, ciaddr=OTHER_IP, src_ip=OTHER_IP)


def expected(
    sent: Sent,
    to: tuple[Mac, Ipv4, int],
    area: bytes,
    *,
    yiaddr: Ipv4 = NO_IP,
    ciaddr: Ipv4 = NO_IP,
    flags: int | None = None,
) -> bytes:
    """The frame of the specification, by another hand: scapy fills lengths and checksums."""
    dst_mac, dst_ip, dst_port = to
    bootp = BOOTP(
        op=2,
        xid=sent.xid,
        flags=sent.flags if flags is None else flags,
        ciaddr=ip_text(ciaddr),
        yiaddr=ip_text(yiaddr),
        giaddr=ip_text(sent.giaddr),
        chaddr=sent.chaddr,
        options=b"",
    )
    area = codes.MAGIC_COOKIE.to_bytes(4, "big") + area + b"\xff"
    length = max(64, len(area) + -len(area) % 4)
    return bytes(
        Ether(dst=mac_text(dst_mac), src=mac_text(PORT_MAC))
        / ScapyIp(id=0, src=ip_text(SERVER), dst=ip_text(dst_ip))
        / UDP(sport=67, dport=dst_port)
        / bootp
        / Raw(area.ljust(length, b"\0"))
    )


TO_FLAG: dict[str, Any] = {"flags": 0x8000}
SECOND_CHADDR: dict[str, Any] = {"chaddr": MAC.to_bytes(6, "big") + b"0123456789"}

OFFERS = {
    "by unicast": (DISCOVER, CLIENT, b""),
    "by broadcast": (replace(DISCOVER, **TO_FLAG), ALL, b""),
    "ciaddr ignored": (replace(DISCOVER, ciaddr=OTHER_IP), CLIENT, b""),
    "whole chaddr back": (replace(DISCOVER, **SECOND_CHADDR), CLIENT, b""),
    "client id echoed": (replace(DISCOVER, area=CLIENT_ID), CLIENT, CLIENT_ID),
    "through a relay": (replace(DISCOVER, **RELAYED, flags=0x8000), RELAY_AGENT, b""),
    "82 behind 61": (
        replace(DISCOVER, **RELAYED, area=RELAY_INFO + CLIENT_ID),
        RELAY_AGENT,
        CLIENT_ID + RELAY_INFO,
    ),
}

ACKS = {
    "selecting": (SELECTING, CLIENT, b""),
    "selecting by broadcast": (replace(SELECTING, **TO_FLAG), ALL, b""),
    "init-reboot": (replace(INIT_REBOOT, area=INIT_REBOOT.area + CLIENT_ID), CLIENT, CLIENT_ID),
    "renewing": (RENEWING, CLIENT, b""),
    "renewing, flag ignored": (replace(RENEWING, **TO_FLAG), CLIENT, b""),
    "rebinding": (replace(REBINDING, area=CLIENT_ID), CLIENT, CLIENT_ID),
    "rebinding through a relay": (replace(REBINDING, **RELAYED), RELAY_AGENT, b""),
}


@pytest.mark.parametrize(("sent", "to", "echoed"), OFFERS.values(), ids=OFFERS)
def test_offer(sent: Sent, to: tuple[Mac, Ipv4, int], echoed: bytes) -> None:
    """An OFFER goes by giaddr, flag and yiaddr alone, with ciaddr 0 and the pool's options."""
    area = grant_options(2) + echoed
    assert offer(sent.request) == expected(sent, to, area, yiaddr=IP)


@pytest.mark.parametrize(("sent", "to", "echoed"), ACKS.values(), ids=ACKS)
def test_ack(sent: Sent, to: tuple[Mac, Ipv4, int], echoed: bytes) -> None:
    """An ACK goes to ciaddr where the client has one, and carries it."""
    area = grant_options(5) + echoed
    assert ack(sent.request) == expected(sent, to, area, yiaddr=IP, ciaddr=sent.ciaddr)


def test_nak_is_broadcast() -> None:
    """Without a relay a NAK goes to everyone even if the client asked from an address."""
    sent = replace(RENEWING, area=CLIENT_ID, flags=0x0001)
    assert nak(sent.request) == expected(sent, ALL, NAK_OPTIONS + CLIENT_ID)


def test_nak_through_a_relay_sets_the_broadcast_bit() -> None:
    """The relay must broadcast a NAK, whatever the client's flag was (RFC 2131 4.3.2)."""
    sent = replace(INIT_REBOOT, **RELAYED, flags=0x0001)
    assert nak(sent.request) == expected(sent, RELAY_AGENT, NAK_OPTIONS, flags=0x8001)


def test_inform_ack_tells_no_address_and_no_times() -> None:
    """The answer to an INFORM goes to ciaddr without yiaddr and options 51, 58, 59."""
    sent = replace(INFORM, area=CLIENT_ID)
    to = (MAC, OTHER_IP, 68)
    area = INFORM_OPTIONS + CLIENT_ID
    assert inform_ack(sent.request) == expected(sent, to, area, ciaddr=OTHER_IP)


def test_inform_without_an_address_is_not_answered() -> None:
    """An INFORM from nowhere has no place to be answered to."""
    assert inform_ack(replace(INFORM, ciaddr=NO_IP).request) is None


@pytest.mark.parametrize("length", range(200, 256))
def test_a_reply_is_at_most_548_octets_of_bootp(length: int) -> None:
    """A reply is padded to four octets and fits 576 octets of IPv4, or there is none."""
    pool = replace(POOL, options=POOL.options.ljust(100, b"\0"))
    sent = replace(DISCOVER, area=options.option(61, bytes(length)))
    built = reply.offer(
        sent.request, yiaddr=IP, pool=pool, grant_s=600, mac_key=0, port_mac=PORT_MAC
    )
    octets = 240 + 100 + 2 + length + 1
    if octets > 548:
        assert built is None
    else:
        assert built is not None
        assert len(built) == 42 + octets + -octets % 4


@pytest.mark.parametrize("build", [offer, ack, nak, inform_ack])
def test_the_shortest_reply_has_300_octets_of_bootp(build: Build) -> None:
    """Clients may discard shorter ones (RFC 1542 2.1)."""
    built = build(replace(RENEWING, bootp_len=0).request)
    assert built is not None
    assert len(built) == 14 + 20 + 8 + 300


def test_the_template_is_kept_but_for_what_is_patched() -> None:
    """Options beyond the template reach the client as the agent rendered them."""
    pool = replace(POOL, options=POOL.options + options.option(43, b"own"))
    built = reply.ack(
        SELECTING.request, yiaddr=IP, pool=pool, grant_s=600, mac_key=0, port_mac=PORT_MAC
    )
    assert built is not None
    assert options.option(43, b"own") + b"\xff" in built


def test_mixer_is_the_specified_one() -> None:
    """The mixer is the 64-bit finalizer of MurmurHash3, whose value for 1 is published."""
    assert mix64(0) == 0
    assert mix64(1) == 0xB456BCFC34C2CB2C


@pytest.mark.parametrize(
    ("given_s", "t1_s", "t2_s"),
    [(120, 64, 105), (127, 67, 111), (1801, 968, 1575), (3600, 1936, 3150)],
)
def test_times_are_the_specified_ones(given_s: int, t1_s: int, t2_s: int) -> None:
    """T1 and T2 of one subscriber, worked out by hand from the formulas and its hash."""
    assert mix64(subscriber_key(MAC)) & 0xFFFFFFFF == 0xE1274345
    assert lease_times(given_s, subscriber_key(MAC)) == (t1_s, t2_s)


@pytest.mark.parametrize("grant_s", [120, 121, 299, 3600, 14_399, 86_400])
def test_times_stay_in_order(grant_s: int) -> None:
    """T1 < T2 < grant for every subscriber, and T1 within 10 % around half the grant."""
    for last in range(500):
        t1_s, t2_s = lease_times(grant_s, subscriber_key(Mac(MAC + last)))
        assert grant_s * 0.45 - 1 <= t1_s <= grant_s * 0.55 + 1
        assert t1_s < t2_s < grant_s


def test_renewals_of_a_site_are_spread() -> None:
    """Neighbouring MACs renew at different seconds of the window, not all at once."""
    times = [lease_times(3600, subscriber_key(Mac(MAC + n)))[0] for n in range(1000)]
    fullest = max(len(list(same)) for _, same in itertools.groupby(sorted(times)))
    assert fullest < 20
    assert max(times) - min(times) > 340


ON_REQUEST = {code: options.option(code, bytes(length)) for code, length in {
    121: 14, 15: 11, 43: 235, 26: 2}.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("parameters", "sent"),
    [
        (None, (121, 15, 26)),
        (b"", ()),
        (bytes((26, 3, 15)), (15, 26)),
        (bytes((43, 121)), (121, 43)),
        (bytes((43, 121, 15)), (121, 15)),
    ],
)
def test_a_client_is_sent_what_it_asks_for(parameters: bytes | None, sent: tuple[int]) -> None:
    """Option 55 chooses of the options on request, in the pool's order, as long as they fit."""
    pool = replace(POOL, on_request=b"".join(ON_REQUEST.values()))
    area = b"" if parameters is None else options.option(55, parameters)
    request = replace(DISCOVER, area=area)
    answer = reply.offer(
        request.request, yiaddr=IP, pool=pool, grant_s=GRANT_S,
        mac_key=subscriber_key(MAC), port_mac=PORT_MAC,
    )  # fmt: skip
    chosen = b"".join(ON_REQUEST[code] for code in sent)
    assert answer == expected(request, CLIENT, grant_options(2) + chosen, yiaddr=IP)
