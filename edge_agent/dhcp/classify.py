"""What a client that sends a REQUEST is doing (RFC 2131 4.3.2 and table 4 of 4.3.6)."""

from enum import StrEnum

from edge_agent.dhcp.frame import BROADCAST_IP
from edge_agent.dhcp.message import Message
from lease_core.domain.values import Ipv4


class RequestState(StrEnum):
    """The client's state as the fields of its REQUEST tell it."""

    SELECTING = "selecting"
    INIT_REBOOT = "init-reboot"
    RENEWING = "renewing"
    REBINDING = "rebinding"


class Malformed(StrEnum):
    """Why the fields of a REQUEST fit no state."""

    NO_REQUESTED_IP = "selecting without option 50"
    CIADDR_SET = "ciaddr beside option 50 or 54"
    NO_ADDRESS = "neither option 50 nor ciaddr"


def classify(message: Message, dst_ip: Ipv4) -> RequestState | Malformed:
    """State of a REQUEST that was sent to `dst_ip`.

    RENEWING and REBINDING carry the same fields; only the destination tells them apart.
    """
    options = message.options
    if options.server_id is not None:
        if options.requested_ip is None:
            return Malformed.NO_REQUESTED_IP
        return Malformed.CIADDR_SET if message.ciaddr else RequestState.SELECTING
    if options.requested_ip is not None:
        return Malformed.CIADDR_SET if message.ciaddr else RequestState.INIT_REBOOT
    if not message.ciaddr:
        return Malformed.NO_ADDRESS
    return RequestState.REBINDING if dst_ip == BROADCAST_IP else RequestState.RENEWING


def claimed_ip(message: Message) -> Ipv4:
    """The address that a REQUEST is about: option 50, else ciaddr; 0 = none."""
    requested = message.options.requested_ip
    return message.ciaddr if requested is None else requested
