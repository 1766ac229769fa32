"""Replies: whole frames, octet for octet as "Reply" of `docs/replies.md` has them.

Every builder returns None where the reply would be longer than the client accepts
(576 octets of IPv4, or its option 57); what it is given was checked by `fastpath`.
"""

import struct
from typing import Final, NamedTuple

from edge_agent.dhcp import codes, frame, options
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.frame import BROADCAST_IP, BROADCAST_MAC, IPV4_LEN, UDP_LEN, tags_len
from edge_agent.dhcp.message import HEADER_LEN
from edge_agent.dhcp.options import Options
from edge_agent.dhcp.request import Request
from edge_agent.dhcp.tables import PoolOptions, SubscriberKey
from lease_core.domain.mixing import mix64
from lease_core.domain.values import NO_IP, Ipv4, Mac

MIN_BOOTP: Final = 300
"""Clients may discard shorter replies (RFC 1542 2.1)."""
MAX_IP: Final = 576
"""Octets of IPv4 that every client takes (RFC 2131 2); option 57 may offer more."""

_TYPE_AT: Final = frame.HEADERS_LEN + HEADER_LEN + options.AT_TYPE
_HEADER = struct.Struct("!BBBxIHHIIII16s192xI")
_SECONDS = struct.Struct("!I")


class _Destination(NamedTuple):
    mac: Mac
    ip: Ipv4
    port: int = codes.CLIENT_PORT


_EVERYONE = _Destination(BROADCAST_MAC, BROADCAST_IP)


def message_type_of(octets: bytes) -> int:
    """What a reply is, ours or the kernel program's: a `MessageType`."""
    return octets[_TYPE_AT + tags_len(octets)]


def lease_times(grant_s: int, mac_key: SubscriberKey) -> tuple[int, int]:
    """T1 and T2 in seconds for a grant; T1 is spread by +-10 % so that a site renews evenly."""
    spread = mix64(mac_key) & 0xFFFFFFFF
    t1 = grant_s // 2 - grant_s // 20 + (spread * (grant_s // 10) >> 32)
    return t1, grant_s * 7 // 8


def offer(
    request: Request,
    *,
    yiaddr: Ipv4,
    pool: PoolOptions,
    grant_s: int,
    mac_key: SubscriberKey,
    port_mac: Mac,
) -> bytes | None:
    """An OFFER (RFC 2131 4.3.1); promises nothing, so the address may be only reserved."""
    return _frame(
        request,
        to=_to_newcomer(request, yiaddr),
        yiaddr=yiaddr,
        fields=_pool_options(MessageType.OFFER, pool, grant_s, mac_key),
        on_request=pool.on_request,
        server_id=pool.server_id,
        port_mac=port_mac,
    )


def ack(
    request: Request,
    *,
    yiaddr: Ipv4,
    pool: PoolOptions,
    grant_s: int,
    mac_key: SubscriberKey,
    port_mac: Mac,
) -> bytes | None:
    """An ACK of a REQUEST (RFC 2131 4.3.2); P must be raised before it leaves (I2)."""
    message = request.message
    to = _to_newcomer(request, yiaddr)
    if message.ciaddr and not message.giaddr:
        to = _Destination(request.frame.src_mac, message.ciaddr)
    return _frame(
        request,
        to=to,
        ciaddr=message.ciaddr,
        yiaddr=yiaddr,
        fields=_pool_options(MessageType.ACK, pool, grant_s, mac_key),
        on_request=pool.on_request,
        server_id=pool.server_id,
        port_mac=port_mac,
    )


def nak(request: Request, server_id: Ipv4, port_mac: Mac, text: str = "") -> bytes | None:
    """A NAK, the agent's own with a text for people (RFC 2131 4.3.2, table 3).

    Broadcast; behind a relay it goes there with the broadcast bit, whatever the client set.
    """
    message = request.message
    relayed = message.giaddr != NO_IP
    return _frame(
        request,
        to=_to_relay(request) if relayed else _EVERYONE,
        flags=message.flags | codes.FLAG_BROADCAST if relayed else message.flags,
        fields=_type_and_server(MessageType.NAK, server_id)
        + (options.option(codes.MESSAGE, text.encode("ascii", "replace")) if text else b""),
        server_id=server_id,
        port_mac=port_mac,
    )


def inform_ack(request: Request, pool: PoolOptions, port_mac: Mac) -> bytes | None:
    """The ACK of an INFORM: the pool's options without address and times (RFC 2131 4.3.5).

    Unicast to ciaddr; None also where ciaddr is 0, because there is nowhere to send it.
    """
    message = request.message
    if not message.ciaddr:
        return None
    return _frame(
        request,
        to=_Destination(request.frame.src_mac, message.ciaddr),
        ciaddr=message.ciaddr,
        fields=_type_and_server(MessageType.ACK, pool.server_id)
        + pool.options[options.FIXED_LEN :],
        on_request=pool.on_request,
        server_id=pool.server_id,
        port_mac=port_mac,
    )


def _to_newcomer(request: Request, yiaddr: Ipv4) -> _Destination:
    """Where a client without an address listens: giaddr, flag, yiaddr (RFC 2131 4.1)."""
    message = request.message
    if message.giaddr:
        return _to_relay(request)
    if message.broadcast:
        return _EVERYONE
    return _Destination(message.mac, yiaddr)


def _to_relay(request: Request) -> _Destination:
    return _Destination(request.frame.src_mac, request.message.giaddr, codes.SERVER_PORT)


def _pool_options(
    message_type: MessageType, pool: PoolOptions, grant_s: int, mac_key: SubscriberKey
) -> bytes:
    """The pool's options with 53, 51, 58 and 59 filled in."""
    patched = bytearray(pool.options)
    patched[options.AT_TYPE] = message_type
    t1_s, t2_s = lease_times(grant_s, mac_key)
    _SECONDS.pack_into(patched, options.AT_LEASE, grant_s)
    _SECONDS.pack_into(patched, options.AT_T1, t1_s)
    _SECONDS.pack_into(patched, options.AT_T2, t2_s)
    return bytes(patched)


def _type_and_server(message_type: MessageType, server_id: Ipv4) -> bytes:
    return options.option(codes.MESSAGE_TYPE, bytes((message_type,))) + options.option(
        codes.SERVER_ID, server_id.to_bytes(4, "big")
    )


def _asked_for(on_request: bytes, parameters: bytes | None, room: int) -> bytes:
    """Those of a pool's options on request that the client names and that fit (RFC 2131 3.5).

    A client without option 55 asks for all.
    """
    taken = b""
    at = 0
    while at < len(on_request):
        end = at + 2 + on_request[at + 1]
        is_named = parameters is None or on_request[at] in parameters
        if is_named and len(taken) + end - at <= room:
            taken += on_request[at:end]
        at = end
    return taken


def _area_room(received: Options) -> int:
    """Octets of options, a multiple of 4, that the client takes behind all headers."""
    return max(MAX_IP, received.max_size) - IPV4_LEN - UDP_LEN - HEADER_LEN & ~3


def _echoed(received: Options) -> bytes:
    """What goes back unchanged: 61 (RFC 6842 3), and 82 as the last option (RFC 3046 2.2)."""
    echoed = b""
    if received.client_id is not None:
        echoed = options.option(codes.CLIENT_ID, received.client_id)
    if received.relay_info is not None:
        echoed += options.option(codes.RELAY_INFO, received.relay_info)
    return echoed


def _frame(
    request: Request,
    *,
    to: _Destination,
    fields: bytes,
    server_id: Ipv4,
    port_mac: Mac,
    on_request: bytes = b"",
    ciaddr: Ipv4 = NO_IP,
    yiaddr: Ipv4 = NO_IP,
    flags: int | None = None,
) -> bytes | None:
    """Put header, options and padding together; `flags` None = the client's."""
    message = request.message
    last = _echoed(message.options) + options.END
    room = _area_room(message.options) - len(fields) - len(last)
    if room < 0:
        return None
    area = fields + _asked_for(on_request, message.options.parameters, room) + last
    length = max(MIN_BOOTP, HEADER_LEN + (len(area) + 3 & ~3))
    header = _HEADER.pack(
        *(codes.BOOT_REPLY, codes.HTYPE_ETHERNET, codes.HLEN_ETHERNET, message.xid, 0),
        *(message.flags if flags is None else flags, ciaddr, yiaddr, NO_IP, message.giaddr),
        *(message.chaddr, codes.MAGIC_COOKIE),
    )
    return frame.build(
        dst_mac=to.mac,
        src_mac=port_mac,
        src_ip=server_id,
        dst_ip=to.ip,
        dst_port=to.port,
        payload=(header + area).ljust(length, b"\0"),
        tags=request.frame.tags,
    )
