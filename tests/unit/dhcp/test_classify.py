"""The table of RFC 2131 4.3.6: which fields tell which state of a REQUEST."""

from dataclasses import replace

import pytest

from edge_agent.dhcp.classify import Malformed, RequestState, claimed_ip, classify
from edge_agent.dhcp.codes import MessageType
from lease_core.domain.values import NO_IP, Ipv4
from tests.unit.dhcp.clients import (
    BROADCAST,
    DISCOVER,
    INIT_REBOOT,
    IP,
    OTHER_IP,
    REBINDING,
    RENEWING,
    SELECTING,
    SERVER,
    Sent,
    requested,
    server,
)

REQUEST = replace(DISCOVER, kind=MessageType.REQUEST)

TABLE: dict[str, tuple[Sent, RequestState | Malformed, Ipv4]] = {
    "selecting": (SELECTING, RequestState.SELECTING, IP),
    "init-reboot": (INIT_REBOOT, RequestState.INIT_REBOOT, IP),
    "renewing": (RENEWING, RequestState.RENEWING, IP),
    "rebinding": (REBINDING, RequestState.REBINDING, IP),
    "selecting without 50": (
        replace(REQUEST, area=server(SERVER)),
        Malformed.NO_REQUESTED_IP,
        NO_IP,
    ),
    "selecting with ciaddr": (replace(SELECTING, ciaddr=IP), Malformed.CIADDR_SET, IP),
    "renewing with 54": (replace(RENEWING, area=server(SERVER)), Malformed.NO_REQUESTED_IP, IP),
    "init-reboot with ciaddr": (replace(INIT_REBOOT, ciaddr=OTHER_IP), Malformed.CIADDR_SET, IP),
    "init-reboot for 0.0.0.0": (
        replace(REQUEST, area=requested(NO_IP)),
        RequestState.INIT_REBOOT,
        NO_IP,
    ),
    "no address at all": (REQUEST, Malformed.NO_ADDRESS, NO_IP),
}


@pytest.mark.parametrize(("sent", "state", "claimed"), TABLE.values(), ids=TABLE)
def test_fields_tell_the_state_and_the_address(
    sent: Sent, state: RequestState | Malformed, claimed: Ipv4
) -> None:
    """Options 50, 54 and ciaddr alone tell the state, except renewing from rebinding."""
    request = sent.request
    assert classify(request.message, request.frame.dst_ip) is state
    assert claimed_ip(request.message) == claimed


@pytest.mark.parametrize("sent", [SELECTING, INIT_REBOOT])
def test_destination_matters_only_for_renewals(sent: Sent) -> None:
    """A client without an address is in the same state wherever its frame was sent to."""
    message = sent.request.message
    assert classify(message, BROADCAST) is classify(message, SERVER)
