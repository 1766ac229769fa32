"""What the tests of the codec share: one subscriber, its tables, and the frames that it sends."""

import struct
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp import codes, options
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import (
    Assignment,
    KeyMode,
    Line,
    PoolOptions,
    Port,
    SiteState,
    subscriber_key,
)
from lease_core.domain.values import NO_IP, Ipv4, Mac, ip_from_text
from tests.packets import checksum

SECOND = 10**9
NOW = 5_000 * SECOND
IFINDEX = 7
SLOT = 3
POOL_NUMBER = 1

MAC = Mac(0x02_00_00_00_00_17)
PORT_MAC = Mac(0x02_AA_00_00_00_01)
RELAY_MAC = Mac(0x02_BB_00_00_00_01)
ROUTER_MAC = Mac(0x02_BB_00_00_00_02)
IP = ip_from_text("100.64.0.23")
OTHER_IP = ip_from_text("100.64.0.99")
SERVER = ip_from_text("100.64.0.1")
OTHER_SERVER = ip_from_text("100.64.7.1")
RELAY = ip_from_text("10.9.9.1")
NETMASK = ip_from_text("255.255.0.0")
DNS = [ip_from_text("9.9.9.9"), ip_from_text("1.1.1.1")]
BROADCAST = Ipv4(0xFFFFFFFF)
EVERYONE = Mac(0xFFFFFFFFFFFF)

POOL = PoolOptions(
    network=ip_from_text("100.64.0.0"),
    netmask=NETMASK,
    server_id=SERVER,
    lease_time_s=3600,
    options=render_pool_options(SERVER, NETMASK, [SERVER], DNS).always,
)
ASSIGNMENT = Assignment(ip=IP, pool_id=POOL_NUMBER, slot=SLOT, line=Line(IFINDEX), seq=41)
STATE = SiteState(
    gate=True,
    horizon_boot_ns=NOW + 14_400 * SECOND,
    touched_boot_ns=NOW,
    cursor_lo=41,
    cursor_hi=41,
)


def tables(
    assignment: Assignment | None = ASSIGNMENT,
    pool: PoolOptions | None = POOL,
    relays: tuple[Ipv4, ...] = (),
    key: KeyMode = KeyMode.MAC,
    trusted: bool = False,
    **state: Any,
) -> MemoryDatapath:
    """A site with one port, one pool and one binding; `state` changes fields of `STATE`."""
    made = MemoryDatapath(max_entries=8)
    made.put_port(IFINDEX, Port(PORT_MAC, relays=relays, key=key, trusted=trusted))
    made.set_state(replace(STATE, **state))
    if pool is not None:
        made.put_pool(POOL_NUMBER, pool)
    if assignment is not None:
        made.put(subscriber_key(MAC), assignment)
    return made


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A client's frame, field by field; the defaults are the DISCOVER of a plain client."""

    kind: int | None = codes.MessageType.DISCOVER
    dst_mac: Mac = EVERYONE
    src_mac: Mac = MAC
    tags: bytes = b""
    ethertype: int = 0x0800
    version_ihl: int = 0x45
    fragment: int = 0
    protocol: int = 17
    src_ip: Ipv4 = NO_IP
    dst_ip: Ipv4 = BROADCAST
    dst_port: int = 67
    ip_check: int = 0
    """What is wrong with the header checksum, by bit."""
    total_len: int | None = None
    udp_len: int | None = None
    op: int = 1
    htype: int = 1
    hlen: int = 6
    xid: int = 0x12345678
    secs: int = 9
    flags: int = 0
    ciaddr: Ipv4 = NO_IP
    giaddr: Ipv4 = NO_IP
    chaddr: bytes = MAC.to_bytes(6, "big") + bytes(10)
    cookie: int = codes.MAGIC_COOKIE
    area: bytes = b""
    """Options behind option 53."""
    end: bytes = b"\xff"
    bootp_len: int = 300
    trailer: bytes = b""

    @property
    def payload(self) -> bytes:
        kind = b"" if self.kind is None else options.option(codes.MESSAGE_TYPE, bytes([self.kind]))
        header = struct.pack(
            "!BBBBIHHIIII16s192xI",
            *(self.op, self.htype, self.hlen, 0, self.xid, self.secs, self.flags, self.ciaddr),
            *(0, 0, self.giaddr, self.chaddr, self.cookie),
        )
        return (header + kind + self.area + self.end).ljust(self.bootp_len, b"\0")

    @property
    def octets(self) -> bytes:
        payload = self.payload
        ip_options = bytes(max(0, (self.version_ihl & 15) - 5) * 4)
        udp_len = 8 + len(payload) if self.udp_len is None else self.udp_len
        total = 20 + len(ip_options) + 8 + len(payload)
        ethernet = self.dst_mac.to_bytes(6, "big") + self.src_mac.to_bytes(6, "big")
        header = struct.pack(
            "!BBHHHBBHII",
            *(self.version_ihl, 0, total if self.total_len is None else self.total_len),
            *(0, self.fragment, 64, self.protocol, 0, self.src_ip, self.dst_ip),
        )
        check = checksum(header + ip_options) ^ self.ip_check
        return (
            ethernet
            + self.tags
            + struct.pack("!H", self.ethertype)
            + header[:10]
            + check.to_bytes(2, "big")
            + header[12:]
            + ip_options
            + struct.pack("!HHHH", 68, self.dst_port, udp_len, 0)
            + payload
            + self.trailer
        )

    @property
    def request(self) -> Request:
        parsed = parse_request(self.octets)
        assert isinstance(parsed, Request)
        return parsed


def requested(ip: Ipv4) -> bytes:
    return options.option(codes.REQUESTED_IP, ip.to_bytes(4, "big"))


def server(ip: Ipv4) -> bytes:
    return options.option(codes.SERVER_ID, ip.to_bytes(4, "big"))


DISCOVER = Sent()
SELECTING = Sent(kind=codes.MessageType.REQUEST, area=requested(IP) + server(SERVER))
INIT_REBOOT = Sent(kind=codes.MessageType.REQUEST, area=requested(IP))
RENEWING = Sent(
    kind=codes.MessageType.REQUEST, ciaddr=IP, src_ip=IP, dst_ip=SERVER, dst_mac=PORT_MAC
)
REBINDING = Sent(kind=codes.MessageType.REQUEST, ciaddr=IP, src_ip=IP)
