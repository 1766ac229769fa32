"""Replies read by scapy, which knows nothing of this project; slow, so for a sample."""

import socket

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP, in4_chksum
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw, bind_layers
from scapy.utils import checksum

for lower in (Ether, Dot1Q, Dot1AD):  # of outer tags before 802.1ad, which scapy does not know
    bind_layers(lower, Dot1Q, type=0x9100)


def shape_of(reply: bytes) -> tuple[object, ...]:
    """What makes a reply another one for a parser: tags, delivery, length."""
    at = 12
    while reply[at : at + 2] != b"\x08\x00":
        at += 4
    flags_at = at + 2 + 28 + 10
    return reply[12:at:2], reply[at + 24 : at + 26], reply[flags_at] >> 7, len(reply) // 32


def read_by_scapy(reply: bytes) -> None:
    """Headers, lengths, checksums and options are what a receiver takes."""
    packet = Ether(reply)
    ip, udp = packet[IP], packet[UDP]
    start = len(reply) - ip.len
    octets = reply[start:]
    assert checksum(octets[: ip.ihl * 4]) == 0, "wrong checksum of IP"
    assert in4_chksum(socket.IPPROTO_UDP, ip, octets[ip.ihl * 4 :]) == 0, "wrong checksum of UDP"
    assert udp.len == ip.len - 20, "wrong length of UDP"
    assert (packet[BOOTP].op, packet[BOOTP].options) == (2, b"c\x82Sc"), "no BOOTP reply"
    options = packet[DHCP].options
    assert options[0] in (("message-type", 2), ("message-type", 5), ("message-type", 6)), (
        f"options {options}"
    )
    assert "end" in options, "no END"
    assert not set(options[options.index("end") + 1 :]) - {"pad"}, "something behind END"
    assert not packet.haslayer(Raw), "octets that belong to nothing"
