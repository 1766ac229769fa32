"""A client's message made here: for `edgectl packet` and for wires without clients."""

import struct

from edge_agent.dhcp import codes, frame, options
from edge_agent.dhcp.classify import RequestState
from edge_agent.dhcp.codes import MessageType
from lease_core.domain.values import NO_IP, Ipv4, Mac

_BOOTP_LEN = 300
_HEADER = struct.Struct("!BBBBIHHIIII6s202xI")


def discover(mac: Mac, xid: int = 1, *, wanted: Ipv4 = NO_IP) -> bytes:
    """A DISCOVER as a whole frame, 300 octets of BOOTP as dhclient sends it."""
    return _frame(MessageType.DISCOVER, mac, xid, requested=wanted)


def request(mac: Mac, state: RequestState, ip: Ipv4, server_id: Ipv4, xid: int = 2) -> bytes:
    """A REQUEST for `ip` with the fields of a client in `state` (RFC 2131 4.3.6, table 4)."""
    match state:
        case RequestState.SELECTING:
            return _frame(MessageType.REQUEST, mac, xid, requested=ip, server_id=server_id)
        case RequestState.INIT_REBOOT:
            return _frame(MessageType.REQUEST, mac, xid, requested=ip)
        case RequestState.RENEWING:
            return _frame(MessageType.REQUEST, mac, xid, ciaddr=ip, dst_ip=server_id)
        case RequestState.REBINDING:
            return _frame(MessageType.REQUEST, mac, xid, ciaddr=ip)


def _frame(
    kind: MessageType,
    mac: Mac,
    xid: int,
    *,
    requested: Ipv4 = NO_IP,
    server_id: Ipv4 = NO_IP,
    ciaddr: Ipv4 = NO_IP,
    dst_ip: Ipv4 = frame.BROADCAST_IP,
) -> bytes:
    fields = options.option(codes.MESSAGE_TYPE, bytes([kind]))
    for code, ip in ((codes.REQUESTED_IP, requested), (codes.SERVER_ID, server_id)):
        if ip:
            fields += options.option(code, ip.to_bytes(4, "big"))
    header = _HEADER.pack(
        *(codes.BOOT_REQUEST, codes.HTYPE_ETHERNET, codes.HLEN_ETHERNET, 0, xid, 0, 0),
        *(ciaddr, NO_IP, NO_IP, NO_IP, mac.to_bytes(6, "big"), codes.MAGIC_COOKIE),
    )
    return frame.build(
        dst_mac=frame.BROADCAST_MAC,
        src_mac=mac,
        src_ip=ciaddr,
        dst_ip=dst_ip,
        dst_port=codes.SERVER_PORT,
        payload=(header + fields + options.END).ljust(_BOOTP_LEN, b"\0"),
    )
