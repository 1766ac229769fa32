"""Frames for tests, built with `struct`: requests as real clients send them, and mutations."""

import struct
from dataclasses import dataclass, field, replace
from typing import Self

SERVER = 0x64400001
CLIENT_MAC = 0x020000000017
PORT_MAC = 0x02AA00000001
BROADCAST_IP = 0xFFFFFFFF

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)

Option = tuple[int, bytes]


def ip(number: int) -> bytes:
    return number.to_bytes(4, "big")


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071), computed the slow and obvious way."""
    padded = octets + b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass(frozen=True, kw_only=True)
class Client:
    """A DHCP request, every field of which a test can set; `frame` renders it.

    Lengths are computed unless given. `area` replaces the whole option area.
    """

    options: tuple[Option, ...] = ((53, bytes((DISCOVER,))),)
    area: bytes | None = None
    bootp_len: int = 300
    mac: int = CLIENT_MAC
    src_mac: int | None = None
    dst_mac: int = 0xFFFFFFFFFFFF
    tags: tuple[tuple[int, int], ...] = ()
    """VLAN tags, outer first: type (0x8100) and control (priority, drop bit, 12 bits of id)."""
    ethertype: int = 0x0800
    version_ihl: int = 0x45
    ip_options: bytes = b""
    fragment: int = 0
    protocol: int = 17
    src_ip: int = 0
    dst_ip: int = BROADCAST_IP
    dst_port: int = 67
    ip_check: int = 0
    """What is wrong with the header checksum, by bit."""
    total_len: int | None = None
    udp_len: int | None = None
    op: int = 1
    htype: int = 1
    hlen: int = 6
    hops: int = 0
    xid: int = 0x3903F326
    secs: int = 0
    flags: int = 0
    ciaddr: int = 0
    giaddr: int = 0
    chaddr_rest: bytes = field(default=bytes(10))
    cookie: int = 0x63825363
    trailer: bytes = b""
    """Octets of the frame behind the IP packet."""

    def but(self, **changes: object) -> Self:
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_option(self, code: int, value: bytes) -> Self:
        return self.but(options=(*self.options, (code, value)))

    def without_option(self, code: int) -> Self:
        return self.but(options=tuple(option for option in self.options if option[0] != code))

    def payload(self) -> bytes:
        area = self.area
        if area is None:
            area = b"".join(bytes((code, len(value))) + value for code, value in self.options)
            area += b"\xff"
        bootp = struct.pack(
            "!BBBBIHHIIII6s10s192xI",
            *(self.op, self.htype, self.hlen, self.hops, self.xid, self.secs, self.flags),
            *(self.ciaddr, 0, 0, self.giaddr, self.mac.to_bytes(6, "big"), self.chaddr_rest),
            self.cookie,
        )
        return (bootp + area).ljust(self.bootp_len, b"\0")

    def frame(self) -> bytes:
        payload = self.payload()
        udp_len = len(payload) + 8 if self.udp_len is None else self.udp_len
        total = 20 + len(self.ip_options) + 8 + len(payload)
        header = struct.pack(
            "!BBHHHBBHII",
            *(self.version_ihl, 0, total if self.total_len is None else self.total_len),
            *(0, self.fragment, 64, self.protocol, 0, self.src_ip, self.dst_ip),
        )
        header += self.ip_options
        check = checksum(header) ^ self.ip_check
        header = header[:10] + check.to_bytes(2, "big") + header[12:]
        return (
            self.dst_mac.to_bytes(6, "big")
            + (self.mac if self.src_mac is None else self.src_mac).to_bytes(6, "big")
            + b"".join(struct.pack("!HH", *tag) for tag in self.tags)
            + self.ethertype.to_bytes(2, "big")
            + header
            + struct.pack("!HHHH", 68, self.dst_port, udp_len, 0)
            + payload
            + self.trailer
        )


def dhclient(message_type: int, *more: Option, mac: int = CLIENT_MAC) -> Client:
    """As ISC dhclient 4.4 sends it: 300 octets, the type first, parameter list behind."""
    return Client(
        mac=mac,
        secs=3,
        options=(
            (53, bytes((message_type,))),
            *more,
            (12, b"subscriber"),
            (55, bytes((1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42))),
        ),
    )


def udhcpc(message_type: int, *more: Option, mac: int = CLIENT_MAC) -> Client:
    """As BusyBox udhcpc 1.35 sends it: 300 octets, client id right behind the type."""
    return Client(
        mac=mac,
        options=(
            (53, bytes((message_type,))),
            (61, b"\x01" + mac.to_bytes(6, "big")),
            *more,
            (57, (576).to_bytes(2, "big")),
            (55, bytes((1, 3, 6, 12, 15, 28, 42))),
            (60, b"udhcp 1.35.0"),
        ),
    )


def windows(message_type: int, *more: Option, mac: int = CLIENT_MAC) -> Client:
    """As Windows sends it: broadcast flag, long vendor list, no padding to 300."""
    return Client(
        mac=mac,
        flags=0x8000,
        bootp_len=0,
        options=(
            (53, bytes((message_type,))),
            (61, b"\x01" + mac.to_bytes(6, "big")),
            *more,
            (12, b"DESKTOP-4711"),
            (81, b"\x00\x00\x00DESKTOP-4711"),
            (60, b"MSFT 5.0"),
            (55, bytes((1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252))),
        ),
    )


RELAY = 0x0A090901
RELAY_MAC = 0x02BB00000001
ROUTER_MAC = 0x02BB00000002
CIRCUIT = b"\x01\x0eaccess 0/1/7:4"
REMOTE = b"\x02\x06\x02\xcc\x00\x00\x00\x01"


def routed(client: Client) -> Client:
    """As a router brings what a client behind it sends by unicast."""
    return client.but(src_mac=ROUTER_MAC)


def relayed(client: Client, info: bytes = CIRCUIT + REMOTE) -> Client:
    """As ISC dhcrelay hands a client's message on: giaddr, one hop more, option 82 before END."""
    handed_on = client.but(giaddr=RELAY, hops=1, src_mac=RELAY_MAC, src_ip=RELAY)
    return handed_on.with_option(82, info) if info else handed_on
