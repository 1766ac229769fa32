"""The octets of kernel replies, read by scapy, which knows nothing of this project."""

from dataclasses import replace

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from edge_agent.dhcp.options import option
from edge_agent.dhcp.reply import lease_times
from lease_core.domain.values import Mac, ip_text, mac_text
from tests.kernel.lab import (
    ADDRESS,
    BINDING,
    KEY,
    LEASE_S,
    POOL_OPTIONS,
    SECOND,
    SLOT,
    Lab,
    now_boot_ns,
)
from tests.packets import (
    BROADCAST_IP,
    CLIENT_MAC,
    DISCOVER,
    PORT_MAC,
    REQUEST,
    SERVER,
    Client,
    checksum,
    dhclient,
    ip,
    udhcpc,
)

OFFERED = udhcpc(DISCOVER)
ACKED = udhcpc(REQUEST, (50, ip(ADDRESS)))
RENEWED = dhclient(REQUEST).but(ciaddr=ADDRESS, dst_ip=SERVER)

BROADCAST = ("ff:ff:ff:ff:ff:ff", "255.255.255.255")
UNICAST = (mac_text(Mac(CLIENT_MAC)), ip_text(ADDRESS))  # type: ignore[arg-type]


def answer(lab: Lab, client: Client) -> Ether:
    judged = lab.judge(client)
    assert judged.is_answered
    return Ether(judged.frame)


def fields(packet: Ether) -> dict[str, int]:
    return dict(option for option in packet[DHCP].options if len(option) == 2)


def test_checksums(lab: Lab) -> None:
    """IP and UDP checksums are those that a receiver computes, for every hash of the MAC."""
    for client in (OFFERED, ACKED, RENEWED, dhclient(DISCOVER, (61, b"odd"))):
        frame = lab.judge(client).frame
        pseudo = frame[26:34] + b"\0\x11" + frame[38:40]

        assert checksum(frame[14:34]) == 0
        assert checksum(pseudo + frame[34:]) == 0
        assert frame[40:42] != b"\0\0"


def test_headers(lab: Lab) -> None:
    """Ethernet, IP, UDP and BOOTP say what the specification has them say."""
    packet = answer(lab, ACKED.but(secs=9, hops=2, chaddr_rest=b"0123456789"))

    assert mac_text(Mac(PORT_MAC)) == packet.src
    ip_header = packet[IP]
    assert (
        ip_header.version, ip_header.ihl, ip_header.tos, ip_header.id, int(ip_header.flags),
        ip_header.frag, ip_header.ttl, ip_header.proto,
    ) == (4, 5, 0, 0, 0, 0, 64, 17)  # fmt: skip
    assert (ip_text(SERVER), 67, 68) == (ip_header.src, packet[UDP].sport, packet[UDP].dport)  # type: ignore[arg-type]
    bootp = packet[BOOTP]
    assert (
        bootp.op, bootp.htype, bootp.hlen, bootp.hops, bootp.xid, bootp.secs,
    ) == (2, 1, 6, 0, 0x3903F326, 0)  # fmt: skip
    assert ("0.0.0.0", ip_text(ADDRESS), "0.0.0.0", "0.0.0.0") == (  # type: ignore[arg-type]
        bootp.ciaddr, bootp.yiaddr, bootp.siaddr, bootp.giaddr,
    )  # fmt: skip
    assert CLIENT_MAC.to_bytes(6, "big") + b"0123456789" == bootp.chaddr
    assert (bytes(64), bytes(128)) == (bootp.sname, bootp.file)


@pytest.mark.parametrize("client", [OFFERED, ACKED, RENEWED, OFFERED.but(bootp_len=0)])
def test_length(lab: Lab, client: Client) -> None:
    """A reply has 300 BOOTP octets, and a client's 300 make a frame of the same length."""
    packet = answer(lab, client)

    assert (len(packet), packet[IP].len, packet[UDP].len) == (342, 328, 308)


def test_request_shrinks_and_grows(lab: Lab) -> None:
    """A long request becomes a short reply, a short request a long one."""
    short = answer(lab, OFFERED.but(bootp_len=700))
    long = answer(lab, dhclient(DISCOVER, (61, b"i" * 161)).but(bootp_len=0))

    assert len(short) == 342
    assert len(long) == 42 + 240 + 27 + 6 + 6 + 10 + 163 + 4


def test_options_in_order(lab: Lab) -> None:
    """The pool's options come in their order, the client id behind them, then END and zeros."""
    frame = lab.judge(ACKED).frame
    codes = [option[0] for option in DHCP(frame[282:]).options if isinstance(option, tuple)]

    assert codes == [
        "message-type",
        "server_id",
        "lease_time",
        "renewal_time",
        "rebinding_time",
        "subnet_mask",
        "router",
        "name_server",
        "client_id",
    ]
    area = frame[282:]
    end = 27 + 6 + 6 + 10
    assert b"\x3d\x07\x01" + CLIENT_MAC.to_bytes(6, "big") + b"\xff" == area[end : end + 10]
    assert not any(area[end + 10 :])


def test_times(lab: Lab) -> None:
    """g is L while the horizon is far; T1 is spread around half of it, T2 is seven eighths."""
    options = fields(answer(lab, ACKED))

    t1, t2 = lease_times(LEASE_S, KEY)
    assert (LEASE_S, t1, t2) == (
        options["lease_time"], options["renewal_time"], options["rebinding_time"],
    )  # fmt: skip
    assert 0.45 * LEASE_S <= t1 <= 0.55 * LEASE_S


def test_grant_ends_before_the_horizon(lab: Lab) -> None:
    """Near the horizon g is what is left of it, rounded down, and P does not pass E (I6)."""
    horizon = now_boot_ns() + 500 * SECOND
    lab.set_state(horizon_boot_ns=horizon)
    lab.datapath.put(KEY, replace(BINDING, slot=SLOT + 50))

    granted = fields(answer(lab, ACKED))["lease_time"]

    assert 490 < granted < 500
    assert 0 < lab.datapath.promise(SLOT + 50) <= horizon


@pytest.mark.parametrize(
    ("client", "to"),
    [
        (OFFERED, UNICAST),
        (OFFERED.but(flags=0x8000), BROADCAST),
        (OFFERED.but(flags=0x7FFF), UNICAST),
        (OFFERED.but(ciaddr=ADDRESS + 9, flags=0x8000), BROADCAST),
        (ACKED, UNICAST),
        (ACKED.but(flags=0x8000), BROADCAST),
        (RENEWED, UNICAST),
        (RENEWED.but(flags=0x8000, dst_ip=BROADCAST_IP), UNICAST),
    ],
)
def test_delivery(lab: Lab, client: Client, to: tuple[str, str]) -> None:
    """A reply goes to ciaddr, to everyone or to yiaddr, as RFC 2131 4.1 has it."""
    packet = answer(lab, client)

    assert to == (packet.dst, packet[IP].dst)


def test_ciaddr_is_copied_in_an_ack_only(lab: Lab) -> None:
    """A renewing client reads its address back, an offered one gets none."""
    assert ip_text(ADDRESS) == answer(lab, RENEWED)[BOOTP].ciaddr  # type: ignore[arg-type]
    assert answer(lab, OFFERED.but(ciaddr=ADDRESS))[BOOTP].ciaddr == "0.0.0.0"


def test_longest_reply(lab: Lab) -> None:
    """A reply of 548 BOOTP octets is sent, one octet more is left to the agent."""
    vendor = 308 - len(POOL_OPTIONS.options) - 2 - 2 - 100 - 1
    longer = POOL_OPTIONS.options + option(43, b"v" * vendor)
    lab.datapath.put_pool(2, replace(POOL_OPTIONS, options=longer))
    lab.datapath.put(KEY, replace(BINDING, pool_id=2))

    longest = lab.judge(dhclient(DISCOVER, (61, b"c" * 100)))
    too_long = lab.judge(dhclient(DISCOVER, (61, b"c" * 101)))

    assert len(longest.frame) == 42 + 548
    assert longest.frame[-1] == 255
    assert too_long.counter == "pass_reply_space"


def test_parameter_request_list(lab: Lab) -> None:
    """Of a pool's options on request a client is sent those that it names; without 55, all."""
    domain, mtu = option(15, b"example.net"), option(26, b"\x05\xdc")
    lab.datapath.put_pool(2, replace(POOL_OPTIONS, on_request=domain + mtu))
    lab.datapath.put(KEY, replace(BINDING, pool_id=2))
    always = 282 + len(POOL_OPTIONS.options)

    for parameters, sent in (
        (((55, b"\x1a\x03"),), mtu),
        (((55, b"\x0f\x1a"),), domain + mtu),
        (((55, b"\x03"),), b""),
        (((55, b""),), b""),
        ((), domain + mtu),
    ):
        frame = lab.judge(Client(options=((53, bytes((DISCOVER,))), *parameters))).frame
        assert frame[always:].rstrip(b"\0") == sent + b"\xff"


def test_what_does_not_fit_is_left_out(lab: Lab) -> None:
    """An option on request that is too long for the client gives way to a shorter one."""
    routes, long, short = option(121, bytes(14)), option(43, bytes(250)), option(15, b"example.net")
    lab.datapath.put_pool(2, replace(POOL_OPTIONS, on_request=routes + long + short))
    lab.datapath.put(KEY, replace(BINDING, pool_id=2))
    always = 282 + len(POOL_OPTIONS.options)

    usual = lab.judge(Client()).frame
    ample = lab.judge(Client().with_option(57, b"\x05\xdc")).frame

    assert usual[always:].rstrip(b"\0") == routes + short + b"\xff"
    assert ample[always:].rstrip(b"\0") == routes + long + short + b"\xff"


def test_the_longest_options(lab: Lab) -> None:
    """All octets that a pool may have are sent to a client that takes them."""
    room = 512 - len(POOL_OPTIONS.options)
    on_request = option(43, bytes(255)) + option(60, b"x" * (room - 257 - 2))
    lab.datapath.put_pool(2, replace(POOL_OPTIONS, on_request=on_request))
    lab.datapath.put(KEY, replace(BINDING, pool_id=2))

    frame = lab.judge(Client().with_option(57, b"\x05\xdc")).frame

    assert frame[282 + len(POOL_OPTIONS.options) :].rstrip(b"\0") == on_request + b"\xff"
