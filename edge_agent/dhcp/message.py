"""The BOOTP message: 236 fixed octets, the magic cookie and the option area (RFC 2131 2)."""

import struct
from typing import Final, NamedTuple

from edge_agent.dhcp import codes, options
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.options import Options
from lease_core.domain.values import Ipv4, Mac, mac_from_bytes

HEADER_LEN: Final = 240
"""Octets before the option area, the magic cookie included."""

_SNAME: Final = slice(44, 108)
_FILE: Final = slice(108, 236)

_HEADER = struct.Struct("!BBBxIHHIIII16s192xI")
_CHADDR: Final = 10
"""Its place among the fields of the header."""


class Message(NamedTuple):
    """A client's message; addresses in host order, 0 = none."""

    op: int
    htype: int
    hlen: int
    xid: int
    secs: int
    flags: int
    ciaddr: Ipv4
    yiaddr: Ipv4
    siaddr: Ipv4
    giaddr: Ipv4
    chaddr: bytes
    """All 16 octets as received; a reply carries them back."""
    options: Options
    raw: bytes
    """The UDP payload that this was read from."""
    mac: Mac
    """The first six octets of `chaddr`."""

    @property
    def broadcast(self) -> bool:
        """The client asked for replies by broadcast (RFC 2131 4.1)."""
        return bool(self.flags & codes.FLAG_BROADCAST)


def parse(payload: bytes) -> Message | Counter:
    """Read a client's message (rules 8 and 9 of `docs/replies.md`).

    Returns `PASS_BOOTP_HEADER` or `PASS_OPTIONS` where it is none; never raises.
    """
    if len(payload) < HEADER_LEN:
        return Counter.PASS_BOOTP_HEADER
    return _parse(payload, options.parse(payload[HEADER_LEN:]))


def parse_lenient(payload: bytes) -> Message | Counter:
    """Read a message whose options may be split or overloaded; for the agent alone.

    Returns what `parse` returns, by the rules of `options.parse_lenient`; never raises.
    """
    if len(payload) < HEADER_LEN:
        return Counter.PASS_BOOTP_HEADER
    found = options.parse_lenient(payload[HEADER_LEN:], payload[_FILE], payload[_SNAME])
    return _parse(payload, found)


def _parse(payload: bytes, found: Options | Counter) -> Message | Counter:
    """Check the fixed fields, whose faults come before those of the options."""
    *fields, cookie = _HEADER.unpack_from(payload)
    if (
        fields[0] != codes.BOOT_REQUEST
        or fields[1] != codes.HTYPE_ETHERNET
        or fields[2] != codes.HLEN_ETHERNET
        or cookie != codes.MAGIC_COOKIE
    ):
        return Counter.PASS_BOOTP_HEADER
    if isinstance(found, Counter):
        return found
    return Message._make((*fields, found, payload, mac_from_bytes(fields[_CHADDR][:6])))
