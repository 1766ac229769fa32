"""Options: a bounded walk over what a client sent, and the rendering of what a server sends.

The walk follows "Option walk" of `docs/replies.md`: it reads every option once, never looks
outside the area, and refuses whatever RFC 3396 would have it guess about (a split 61 or 82).
"""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from edge_agent.dhcp import codes
from edge_agent.dhcp.counters import Counter
from lease_core.domain.values import Ipv4

MAX_AREA: Final = 512
MAX_OPTIONS: Final = 64
MAX_VALUE: Final = 255

AT_TYPE: Final = 2
AT_LEASE: Final = 11
AT_T1: Final = 17
AT_T2: Final = 23
FIXED_LEN: Final = 27
POOL_OPTIONS_MAX: Final = 256

END: Final = bytes([codes.END])

_FIXED = struct.Struct("!BBBBBIBBIBBIBBI")
_SINGLE: Final = frozenset(
    (
        codes.REQUESTED_IP,
        codes.OVERLOAD,
        codes.MESSAGE_TYPE,
        codes.SERVER_ID,
        codes.PARAMETERS,
        codes.MAX_SIZE,
        codes.CLIENT_ID,
        codes.RELAY_INFO,
    )
)


class Options(NamedTuple):
    """The options of a request that matter here; the others were walked over."""

    message_type: int = 0
    """Option 53, 0 = absent; may be a number that `MessageType` does not know."""
    requested_ip: Ipv4 | None = None
    """Option 50; None = absent, which is another state than 0.0.0.0 (RFC 2131 4.3.2)."""
    server_id: Ipv4 | None = None
    """Option 54; None = absent."""
    client_id: bytes | None = None
    """Value of option 61 with its type octet, 1..255 octets."""
    relay_info: bytes | None = None
    """Value of option 82 with its sub-options, 1..255 octets."""
    max_size: int = 0
    """Option 57, the longest IP datagram that the client takes in octets; 0 = absent."""
    host_name: bytes = b""
    """Option 12 as sent (RFC 3396: parts joined); a stranger's octets, see `values.printable`."""


def parse(area: bytes) -> Options | Counter:
    """Walk the octets behind the magic cookie up to END.

    Returns `PASS_OPTIONS` where the area breaks a rule of the specification; never raises. A
    value that reaches beyond the area ends the walk without END, which is such a breach. Costs
    at most one step per octet of `MAX_AREA`.
    """
    end = len(area)
    if end > MAX_AREA:
        return Counter.PASS_OPTIONS
    single: dict[int, bytes] = {}
    host_name = b""
    at = count = 0
    while at < end:
        code = area[at]
        if code == codes.PAD:
            at += 1
            continue
        if code == codes.END:
            return _recognise(single, host_name)
        value = at + 2
        count += 1
        if value > end or count > MAX_OPTIONS:
            break
        at = value + area[value - 1]
        if code in _SINGLE:
            if code in single:
                break
            single[code] = area[value:at]
        elif code == codes.HOST_NAME:
            host_name += area[value:at]
    return Counter.PASS_OPTIONS


def _recognise(single: dict[int, bytes], host_name: bytes) -> Options | Counter:
    """Check the lengths of what the walk collected and read the numbers (network order)."""
    get = single.get
    message_type = get(codes.MESSAGE_TYPE)
    requested_ip = get(codes.REQUESTED_IP)
    server_id = get(codes.SERVER_ID)
    client_id = get(codes.CLIENT_ID)
    relay_info = get(codes.RELAY_INFO)
    max_size = get(codes.MAX_SIZE)
    if (
        (message_type is not None and len(message_type) != 1)
        or (requested_ip is not None and len(requested_ip) != 4)
        or (server_id is not None and len(server_id) != 4)
        or (max_size is not None and len(max_size) != 2)
        or b"" in (client_id, relay_info)
        or codes.OVERLOAD in single
    ):
        return Counter.PASS_OPTIONS
    return Options(
        message_type[0] if message_type else 0,
        _ip(requested_ip) if requested_ip else None,
        _ip(server_id) if server_id else None,
        client_id,
        relay_info,
        int.from_bytes(max_size or b"", "big"),
        host_name,
    )


def _ip(octets: bytes) -> Ipv4:
    return Ipv4(int.from_bytes(octets, "big"))


def option(code: int, value: bytes) -> bytes:
    """Encode one option (RFC 2132 2).

    Raises:
        ValueError: the value is longer than one option can hold; the caller's fault.
    """
    if len(value) > MAX_VALUE:
        raise ValueError(f"option {code} has {len(value)} octets, at most {MAX_VALUE} fit")
    return bytes((code, len(value))) + value


def fixed_options(server_id: Ipv4) -> bytes:
    """The part that begins every pool's options: 53, 54, 51, 58, 59, in this order.

    All but the server id is 0 and is patched for each packet (see `bpf/maps.h`).
    """
    return _FIXED.pack(
        *(codes.MESSAGE_TYPE, 1, 0),
        *(codes.SERVER_ID, 4, server_id),
        *(codes.LEASE_TIME, 4, 0),
        *(codes.RENEWAL_TIME, 4, 0),
        *(codes.REBINDING_TIME, 4, 0),
    )


def render_pool_options(
    server_id: Ipv4, netmask: Ipv4, routers: Sequence[Ipv4], dns: Sequence[Ipv4]
) -> bytes:
    """Render what is the same in every reply of a pool: the template, then options 1, 3 and 6.

    An empty list leaves its option out. The subnet mask stands before the routers (RFC 2132 3.3).

    Raises:
        ValueError: more than `POOL_OPTIONS_MAX` octets; the operator's fault.
    """
    rendered = fixed_options(server_id) + option(codes.SUBNET_MASK, netmask.to_bytes(4, "big"))
    for code, addresses in ((codes.ROUTER, routers), (codes.DNS_SERVER, dns)):
        if addresses:
            rendered += option(code, b"".join(ip.to_bytes(4, "big") for ip in addresses))
    if len(rendered) > POOL_OPTIONS_MAX:
        raise ValueError(
            f"the options of a pool take {len(rendered)} octets, at most {POOL_OPTIONS_MAX} fit; "
            "name fewer routers or DNS servers"
        )
    return rendered
