"""Frames in: what is DHCP at all and what is doubtful. Frames out: checksums and lengths."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP as ScapyIp
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether

from edge_agent.dhcp import frame, message
from edge_agent.dhcp.counters import Counter
from lease_core.domain.values import Ipv4
from tests.unit.dhcp.clients import DISCOVER, IP, MAC, PORT_MAC, SERVER

NOT_DHCP = {
    "ARP": {"ethertype": 0x0806},
    "a tag without its type": {"ethertype": 0x8100},
    "four tags": {"tags": b"\x81\x00\x00\x64" * 4},
    "three tags, another port": {"tags": b"\x81\x00\x00\x64" * 3, "dst_port": 53},
    "a tag of another kind": {"tags": b"\x92\x00\x00\x64"},
    "ARP behind a tag": {"tags": b"\x81\x00\x00\x64", "ethertype": 0x0806},
    "IPv6": {"ethertype": 0x86DD},
    "IP version 6": {"version_ihl": 0x65},
    "TCP": {"protocol": 6},
    "to the client port": {"dst_port": 68},
    "other port behind IP options": {"version_ihl": 0x46, "dst_port": 53},
}

REFUSED = {
    "IP options": ({"version_ihl": 0x46}, Counter.PASS_IP_HEADER),
    "longest IP options": ({"version_ihl": 0x4F}, Counter.PASS_IP_HEADER),
    "first fragment": ({"fragment": 0x2000}, Counter.PASS_FRAGMENT),
    "later fragment": ({"fragment": 0x0001}, Counter.PASS_FRAGMENT),
    "total length beyond the frame": ({"total_len": 329}, Counter.PASS_LENGTH),
    "total length without options": ({"total_len": 268, "udp_len": 248}, Counter.PASS_LENGTH),
    "total length 0": ({"total_len": 0}, Counter.PASS_LENGTH),
    "UDP shorter": ({"udp_len": 307}, Counter.PASS_LENGTH),
    "UDP longer": ({"udp_len": 309}, Counter.PASS_LENGTH),
    "UDP length 0": ({"udp_len": 0}, Counter.PASS_LENGTH),
    "three tags": ({"tags": b"\x81\x00\x00\x64" * 3}, Counter.PASS_VLAN_TAGS),
    "an id behind id 0": (
        {"tags": b"\x88\xa8\x00\x00\x81\x00\x00\x64"},
        Counter.PASS_VLAN_TAGS,
    ),
    "the reserved id": ({"tags": b"\x81\x00\x0f\xff"}, Counter.PASS_VLAN_TAGS),
    "tags before IP options": (
        {"tags": b"\x81\x00\x00\x64" * 3, "version_ihl": 0x46},
        Counter.PASS_VLAN_TAGS,
    ),
    "IP options behind a tag": (
        {"tags": b"\x81\x00\x00\x64", "version_ihl": 0x46},
        Counter.PASS_IP_HEADER,
    ),
}

ACCEPTED = {
    "plain": {},
    "don't fragment": {"fragment": 0x4000},
    "padding behind the packet": {"trailer": bytes(30)},
    "one tag": {"tags": b"\x88\xa8\x00\x64"},
    "two tags": {"tags": b"\x91\x00\x00\x64\x81\x00\x00\x07"},
    "one octet of options": {"kind": None, "bootp_len": 0},
}

NO_MESSAGE = {
    "a reply": {"op": 2},
    "another hardware": {"htype": 32},
    "a longer address": {"hlen": 16},
    "no address": {"hlen": 0},
    "no cookie": {"cookie": 0},
    "wrong cookie": {"cookie": 0x63825362},
}


@pytest.mark.parametrize("changes", NOT_DHCP.values(), ids=NOT_DHCP)
def test_other_traffic_is_not_counted(changes: dict[str, Any]) -> None:
    """A frame that is not for the DHCP server port has no reason, because it is not ours."""
    assert frame.parse(replace(DISCOVER, **changes).octets) is None


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_doubtful_headers_are_refused(changes: dict[str, Any], reason: Counter) -> None:
    """A DHCP frame whose headers do not fit together is left with its reason."""
    assert frame.parse(replace(DISCOVER, **changes).octets) is reason


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_frame_is_read(changes: dict[str, Any]) -> None:
    """The payload is what the UDP length covers, without padding of the Ethernet frame."""
    sent = replace(DISCOVER, **changes)
    vlans = [int.from_bytes(sent.tags[at : at + 2], "big") & 0xFFF for at in (2, 6)]
    addresses = (sent.dst_mac, sent.src_mac, sent.src_ip, sent.dst_ip)
    expected = frame.Frame(*addresses, 68, sent.payload, sent.tags, *vlans)
    assert frame.parse(sent.octets) == expected


def test_a_short_frame_is_not_dhcp() -> None:
    """Fewer octets than the three headers take hold no UDP port to judge by."""
    octets = DISCOVER.octets
    assert {frame.parse(octets[:length]) for length in range(42)} == {None}
    assert {frame.parse(octets[:length]) for length in range(42, len(octets))} == {
        Counter.PASS_LENGTH
    }


@pytest.mark.parametrize("changes", NO_MESSAGE.values(), ids=NO_MESSAGE)
def test_only_an_ethernet_request_is_a_message(changes: dict[str, Any]) -> None:
    """BOOTP fields of anything but a request over Ethernet are refused."""
    payload = replace(DISCOVER, **changes).payload
    assert message.parse(payload) is Counter.PASS_BOOTP_HEADER


def test_a_cut_message_is_refused() -> None:
    """Every prefix of a message is refused, by header or by options."""
    payload = replace(DISCOVER, bootp_len=0).payload
    verdicts = [message.parse(payload[:length]) for length in range(len(payload))]
    assert verdicts == [Counter.PASS_BOOTP_HEADER] * 240 + [Counter.PASS_OPTIONS] * 4


def test_fields_of_a_message_are_read() -> None:
    """Every field of the fixed header lands where RFC 2131 figure 1 has it."""
    sent = replace(
        DISCOVER, flags=0x8001, ciaddr=IP, giaddr=SERVER, chaddr=MAC.to_bytes(6, "big") + b"x" * 10
    )
    read = sent.request.message
    assert (read.op, read.htype, read.hlen) == (1, 1, 6)
    assert (read.xid, read.secs, read.flags) == (0x12345678, 9, 0x8001)
    assert (read.ciaddr, read.yiaddr, read.siaddr, read.giaddr) == (IP, 0, 0, SERVER)
    assert (read.chaddr, read.mac, read.broadcast) == (sent.chaddr, MAC, True)
    assert read.raw == sent.payload


@given(
    src_ip=st.integers(0, 2**32 - 1).map(Ipv4),
    dst_ip=st.integers(0, 2**32 - 1).map(Ipv4),
    payload=st.binary(max_size=400),
)
def test_checksums_are_right(src_ip: Ipv4, dst_ip: Ipv4, payload: bytes) -> None:
    """A second implementation computes the same header and UDP checksums, odd lengths included."""
    built = _build(src_ip, dst_ip, payload)
    again = Ether(built)
    assert (again[ScapyIp].len, again[UDP].len) == (28 + len(payload), 8 + len(payload))
    del again[ScapyIp].chksum, again[UDP].chksum
    assert bytes(again) == built


def test_a_udp_checksum_of_zero_is_sent_as_65535() -> None:
    """A sum that complements to 0 is not sent as "no checksum" (RFC 768)."""
    checksum = _build(SERVER, IP, bytes(4))[40:42]
    assert _build(SERVER, IP, bytes(2) + checksum)[40:42] == b"\xff\xff"


def test_an_ip_checksum_of_zero_stays_zero() -> None:
    """In the IPv4 header 0 is a checksum like others."""
    checksum = int.from_bytes(_build(SERVER, Ipv4(0), b"")[24:26], "big")
    assert _build(SERVER, Ipv4(checksum), b"")[24:26] == b"\0\0"


def _build(src_ip: Ipv4, dst_ip: Ipv4, payload: bytes) -> bytes:
    return frame.build(
        dst_mac=MAC, src_mac=PORT_MAC, src_ip=src_ip, dst_ip=dst_ip, dst_port=68, payload=payload
    )


@given(st.binary(max_size=120), st.integers(0, 15))
def test_parse_is_total(tail: bytes, ihl: int) -> None:
    """No octets make the parser raise, whatever the header says about its own length."""
    octets = replace(DISCOVER, version_ihl=0x40 | ihl).octets[:34] + tail
    assert frame.parse(octets) in (None, Counter.PASS_IP_HEADER, Counter.PASS_LENGTH)
    assert frame.parse(tail) is None or len(tail) >= 42
