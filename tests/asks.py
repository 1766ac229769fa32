"""What the agent itself reads in a frame that is handed over to it."""

from edge_agent.dhcp.ask import Ask, ask_of
from edge_agent.dhcp.fastpath import line_of
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import Tables


def ask_in(frame: bytes, ifindex: int, tables: Tables, at_boot_ns: int) -> Ask:
    """The ask in a frame that came in on an interface."""
    request = parse_request(frame)
    assert isinstance(request, Request)
    return ask_of(request, line_of(request, ifindex, tables), at_boot_ns)
