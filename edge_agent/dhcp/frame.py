"""Frames: Ethernet, VLAN tags, IPv4 and UDP around a DHCP message, read and written."""

import struct
from typing import Final, NamedTuple

from edge_agent.dhcp import codes
from edge_agent.dhcp.counters import Counter
from lease_core.domain.values import Ipv4, Mac, mac_from_bytes

BROADCAST_IP: Final = Ipv4(0xFFFFFFFF)
BROADCAST_MAC: Final = Mac(0xFFFFFFFFFFFF)

ETHERNET_LEN: Final = 14
IPV4_LEN: Final = 20
UDP_LEN: Final = 8
_UDP_AT: Final = ETHERNET_LEN + IPV4_LEN
HEADERS_LEN: Final = ETHERNET_LEN + IPV4_LEN + UDP_LEN
MIN_TOTAL_LEN: Final = IPV4_LEN + UDP_LEN + 240 + 1
"""Smallest IPv4 total length of a DHCP message: one octet of options."""

MAX_TAGS: Final = 2

_ETHERTYPE_IPV4 = 0x0800
_TPIDS: Final = frozenset((b"\x81\x00", b"\x88\xa8", b"\x91\x00"))
_TAGS_AT: Final = 12
_TAG_LEN: Final = 4
_TAGS_SEEN: Final = 3
_VLAN_ID = 0x0FFF
_UDP = 17
_TTL = 64
_MORE_FRAGMENTS_OR_OFFSET = 0x3FFF
_VERSION_4_IHL_5 = 0x45

_RECEIVED = struct.Struct("!6s6sHBxHxxHxBxxIIHHHxx")
_SENT = struct.Struct("!6s6sHBBHHHBBHIIHHHH")
_PORT = struct.Struct("!H")


class Frame(NamedTuple):
    """A frame to the DHCP server port whose IPv4 and UDP headers fit together."""

    dst_mac: Mac
    src_mac: Mac
    src_ip: Ipv4
    dst_ip: Ipv4
    src_port: int
    payload: bytes
    """What the UDP length covers; padding of the Ethernet frame is not part of it."""
    tags: bytes = b""
    """The VLAN tags as they came, outer first: 2 octets of type and 2 of control each."""
    s_vlan: int = 0
    """Id of the outer tag; 0 = none."""
    c_vlan: int = 0
    """Id of the inner tag; 0 = none."""


def _vlan_id(tag: bytes) -> int:
    return int.from_bytes(tag[2:], "big") & _VLAN_ID


def tags_len(octets: bytes) -> int:
    """Octets of a frame's VLAN tags, as far as they are looked at: of one more than is read."""
    end = _TAGS_AT
    while octets[end : end + 2] in _TPIDS and end < _TAGS_AT + _TAGS_SEEN * _TAG_LEN:
        end += _TAG_LEN
    return end - _TAGS_AT


def parse(octets: bytes) -> Frame | Counter | None:
    """Read a frame (rules 1 and 3 to 7 of `docs/replies.md`).

    Returns None where it is not for the DHCP server port, or the reason to leave it; never
    raises. The UDP checksum is not verified: on virtual links it is often not filled in yet.
    """
    end = _TAGS_AT + tags_len(octets)
    if end == _TAGS_AT:
        return _parse_untagged(octets)
    tags = octets[_TAGS_AT:end]
    frame = _parse_untagged(octets[:_TAGS_AT] + octets[end:])
    if frame is None:
        return None
    outer, inner = _vlan_id(tags[:_TAG_LEN]), _vlan_id(tags[_TAG_LEN:])
    if len(tags) > MAX_TAGS * _TAG_LEN or not _is_line(outer, inner):
        return Counter.PASS_VLAN_TAGS
    if isinstance(frame, Frame):
        return frame._replace(tags=tags, s_vlan=outer, c_vlan=inner)
    return frame


def _is_line(outer: int, inner: int) -> bool:
    """No tag stands behind the id 0, which is no VLAN, and none has the reserved id."""
    return (outer != 0 or inner == 0) and _VLAN_ID not in (outer, inner)


def _parse_untagged(octets: bytes) -> Frame | Counter | None:
    """Read what is left of a frame when its tags are taken out."""
    if len(octets) < HEADERS_LEN:
        return None
    fields = _RECEIVED.unpack_from(octets)
    dst_mac, src_mac, ethertype, version_ihl, total_len, fragment, protocol = fields[:7]
    src_ip, dst_ip, src_port, dst_port, udp_len = fields[7:]
    if ethertype != _ETHERTYPE_IPV4 or version_ihl >> 4 != 4 or protocol != _UDP:
        return None
    if version_ihl != _VERSION_4_IHL_5:
        return _refuse_header(octets, version_ihl & 15)
    if dst_port != codes.SERVER_PORT:
        return None
    if fragment & _MORE_FRAGMENTS_OR_OFFSET:
        return Counter.PASS_FRAGMENT
    if (
        total_len < MIN_TOTAL_LEN
        or total_len > len(octets) - ETHERNET_LEN
        or udp_len != total_len - IPV4_LEN
    ):
        return Counter.PASS_LENGTH
    if _sum(octets[ETHERNET_LEN:_UDP_AT]):
        return Counter.PASS_CHECKSUM
    return Frame(
        mac_from_bytes(dst_mac),
        mac_from_bytes(src_mac),
        src_ip,
        dst_ip,
        src_port,
        octets[HEADERS_LEN : ETHERNET_LEN + total_len],
    )


def _refuse_header(octets: bytes, ihl: int) -> Counter | None:
    """Tell a DHCP frame with IPv4 options, which is refused, from one for another port."""
    port_at = ETHERNET_LEN + ihl * 4 + 2
    if len(octets) < port_at - 2 + UDP_LEN:
        return None
    (port,) = _PORT.unpack_from(octets, port_at)
    return Counter.PASS_IP_HEADER if port == codes.SERVER_PORT else None


def build(
    *,
    dst_mac: Mac,
    src_mac: Mac,
    src_ip: Ipv4,
    dst_ip: Ipv4,
    dst_port: int,
    payload: bytes,
    tags: bytes = b"",
) -> bytes:
    """A whole frame from the DHCP server port, with IPv4 and UDP checksums.

    `tags` stand between the addresses and the EtherType of IPv4.
    """
    udp_len = UDP_LEN + len(payload)
    total_len = IPV4_LEN + udp_len
    addresses = (src_ip >> 16) + (src_ip & 0xFFFF) + (dst_ip >> 16) + (dst_ip & 0xFFFF)
    header_sum = (_VERSION_4_IHL_5 << 8) + total_len + (_TTL << 8 | _UDP) + addresses
    udp_sum = addresses + _UDP + udp_len + codes.SERVER_PORT + dst_port + udp_len + _sum(payload)
    untagged = (
        _SENT.pack(
            *(dst_mac.to_bytes(6, "big"), src_mac.to_bytes(6, "big"), _ETHERTYPE_IPV4),
            *(_VERSION_4_IHL_5, 0, total_len, 0, 0, _TTL, _UDP),
            *(_ip_checksum(header_sum), src_ip, dst_ip),
            *(codes.SERVER_PORT, dst_port, udp_len, _udp_checksum(udp_sum)),
        )
        + payload
    )
    return untagged[:_TAGS_AT] + tags + untagged[_TAGS_AT:] if tags else untagged


def _sum(octets: bytes) -> int:
    """Sum of the 16-bit words modulo 65535, an odd last octet padded with zero (RFC 1071).

    Because 65536 = 1 modulo 65535, the whole field read as one number has that remainder.
    """
    number = int.from_bytes(octets, "big")
    return (number << 8 if len(octets) & 1 else number) % 0xFFFF


def _ip_checksum(words: int) -> int:
    """Complement of the folded sum; `words` is never 0, so remainder 0 is the sum 65535."""
    return (0xFFFF - words % 0xFFFF) % 0xFFFF


def _udp_checksum(words: int) -> int:
    """As `_ip_checksum`, but 0 means "none" in UDP and is sent as 65535 (RFC 768)."""
    return 0xFFFF - words % 0xFFFF
