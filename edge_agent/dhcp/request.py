"""A request: a client's message and the frame that it came in, read once for all who judge it."""

from collections.abc import Callable
from typing import NamedTuple

from edge_agent.dhcp import frame as frames
from edge_agent.dhcp import message as messages
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.frame import Frame
from edge_agent.dhcp.message import Message
from lease_core.domain.values import NO_IP


class Request(NamedTuple):
    """A frame to the DHCP server port and the whole message in it."""

    frame: Frame
    message: Message
    octets: bytes
    """The whole frame as it came in."""

    @property
    def is_past_relays(self) -> bool:
        """A client with an address sent this by unicast, and no relay wrote to it.

        So it is with renewals and releases; where clients stand behind a relay it is their
        router that brings them, and the Ethernet source is the router's (RFC 2131 4.4.5, 4.4.6).
        """
        frame, message, _ = self
        return (
            message.giaddr == NO_IP
            and message.options.relay_info is None
            and NO_IP != message.ciaddr == frame.src_ip
            and frame.dst_ip != frames.BROADCAST_IP
        )


def parse_request(octets: bytes) -> Request | Counter | None:
    """Read a frame (rules 1 and 3 to 9 of `docs/replies.md`); never raises.

    Returns None where it is not DHCP, or the reason to leave it.
    """
    return _parse(octets, messages.parse)


def parse_request_lenient(octets: bytes) -> Request | Counter | None:
    """Read a frame as `parse_request`, but take split and overloaded options (RFC 3396).

    For the agent, of what the kernel left to it as `pass_options`.
    """
    return _parse(octets, messages.parse_lenient)


def _parse(
    octets: bytes, parse_message: Callable[[bytes], Message | Counter]
) -> Request | Counter | None:
    frame = frames.parse(octets)
    if frame is None or isinstance(frame, Counter):
        return frame
    message = parse_message(frame.payload)
    return message if isinstance(message, Counter) else Request(frame, message, octets)
