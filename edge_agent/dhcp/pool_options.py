"""Options of a pool: what a server sends, as far as it is the same in every reply of the pool."""

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from edge_agent.dhcp import codes
from edge_agent.dhcp.options import MAX_VALUE, ON_REQUEST_MAX, POOL_OPTIONS_MAX, option
from lease_core.domain.values import Ipv4

ALWAYS_MAX: Final = 256
"""Octets that every client may be sent: with options 61 and 82 they still fit 576 of IPv4."""

_FIRST: Final = (codes.CLASSLESS_ROUTES,)

_FIXED = struct.Struct("!BBBBBIBBIBBIBBI")

SERVICE_OWN: Final = frozenset(
    (
        codes.PAD,
        codes.SUBNET_MASK,
        codes.ROUTER,
        codes.DNS_SERVER,
        codes.REQUESTED_IP,
        codes.LEASE_TIME,
        codes.OVERLOAD,
        codes.MESSAGE_TYPE,
        codes.SERVER_ID,
        codes.PARAMETERS,
        codes.MESSAGE,
        codes.MAX_SIZE,
        codes.RENEWAL_TIME,
        codes.REBINDING_TIME,
        codes.CLIENT_ID,
        codes.RELAY_INFO,
        codes.END,
    )
)
"""Codes that the service writes itself or that only clients and relays send."""


class Rendered(NamedTuple):
    """Octets of `PoolOptions.options` and `PoolOptions.on_request`."""

    always: bytes
    on_request: bytes


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
    server_id: Ipv4,
    netmask: Ipv4,
    routers: Sequence[Ipv4],
    dns: Sequence[Ipv4],
    extra: Mapping[int, bytes] | None = None,
) -> Rendered:
    """Render what every client of a pool is sent, and what it is sent if it asks.

    Every client: the template, then options 1, 3 and 6, of which an empty list leaves its option
    out. The subnet mask stands before the routers (RFC 2132 3.3).

    On request: `extra`, an operator's own options, code to value in network order: MTU (26),
    domain (15), NTP (42), vendor (43, 125), ... A reply takes what fits, in this order: routes
    (121), which replace the routers (RFC 3442), then the others by their codes.

    Raises:
        ValueError: an option that cannot be configured, or more options or octets than fit; the
            operator's fault, and the text names every one.
    """
    extra = extra or {}
    if len(extra) > ON_REQUEST_MAX:
        raise ValueError(f"a pool has {len(extra)} own options, at most {ON_REQUEST_MAX} fit")
    if faults := [fault for code in sorted(extra) if (fault := _fault(code, extra[code]))]:
        raise ValueError("; ".join(faults))
    always = _always(server_id, netmask, routers, dns)
    ordered = sorted(extra, key=lambda code: (code not in _FIRST, code))
    on_request = b"".join(option(code, extra[code]) for code in ordered)
    room = POOL_OPTIONS_MAX - len(always)
    if len(on_request) > room:
        raise ValueError(
            f"a pool's own options take {len(on_request)} octets, {room} fit; shorten them"
        )
    return Rendered(always, on_request)


def _always(server_id: Ipv4, netmask: Ipv4, routers: Sequence[Ipv4], dns: Sequence[Ipv4]) -> bytes:
    always = fixed_options(server_id) + option(codes.SUBNET_MASK, netmask.to_bytes(4, "big"))
    for code, addresses in ((codes.ROUTER, routers), (codes.DNS_SERVER, dns)):
        if addresses:
            always += option(code, b"".join(ip.to_bytes(4, "big") for ip in addresses))
    if len(always) > ALWAYS_MAX:
        raise ValueError(
            f"what a pool tells everybody takes {len(always)} octets, at most {ALWAYS_MAX} fit; "
            "name fewer routers or DNS servers"
        )
    return always


def _fault(code: int, value: bytes) -> str:
    """Why an operator's option cannot be configured; empty = it can."""
    if not codes.PAD <= code <= codes.END:
        return f"option {code}: codes are 1 to 254"
    if code in SERVICE_OWN:
        return f"option {code} is the service's own; leave it out"
    if not 1 <= len(value) <= MAX_VALUE:
        return f"option {code} has {len(value)} octets, 1 to {MAX_VALUE} are possible"
    return ""
