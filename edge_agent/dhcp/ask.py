"""An ask: what a stranger who takes his offer has the allocator asked for ("Asks" of the spec)."""

from typing import NamedTuple

from edge_agent.dhcp.request import Request
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import NO_IP, Ipv4, Mac


class Ask(NamedTuple):
    """A REQUEST in SELECTING (RFC 2131 4.3.2) as it was read."""

    at_boot_ns: int
    """When it came in, CLOCK_BOOTTIME."""
    line: Line
    mac: Mac
    ip: Ipv4
    """That the client asks for."""
    server_id: Ipv4
    """Of whom he was offered it."""
    link: Ipv4
    """giaddr, 0 = none."""
    host_name: bytes
    """Option 12 as sent; a stranger's octets, see `values.printable`."""
    octets: bytes
    """The whole frame as it came in."""


def ask_of(request: Request, line: Line, at_boot_ns: int) -> Ask:
    """The ask in a request that was judged to be one."""
    message = request.message
    options = message.options
    return Ask(
        at_boot_ns,
        line,
        message.mac,
        options.requested_ip or NO_IP,
        options.server_id or NO_IP,
        message.giaddr,
        options.host_name,
        request.octets,
    )
