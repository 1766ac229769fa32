"""A client's message made here: for `edgectl packet` and for wires without clients."""

import struct
from typing import Final, NamedTuple

from edge_agent.dhcp import codes, frame, options, relay
from edge_agent.dhcp.classify import RequestState
from edge_agent.dhcp.codes import MessageType
from lease_core.domain.values import NO_IP, Ipv4, Mac

_BOOTP_LEN = 300
_RELAY_MAC: Final = Mac(0x02005E000001)
_TPID = 0x8100
_HEADER = struct.Struct("!BBBBIHHIIII6s202xI")


class Way(NamedTuple):
    """How a message comes: VLAN ids (0 = none), the relay that hands it on, its circuit id."""

    s_vlan: int = 0
    c_vlan: int = 0
    giaddr: Ipv4 = NO_IP
    circuit: bytes = b""

    @property
    def tags(self) -> bytes:
        return b"".join(struct.pack("!HH", _TPID, vlan) for vlan in self[:2] if vlan)


DIRECT: Final = Way()


def discover(mac: Mac, xid: int = 1, *, wanted: Ipv4 = NO_IP, way: Way = DIRECT) -> bytes:
    """A DISCOVER as a whole frame, 300 octets of BOOTP as dhclient sends it."""
    return _frame(MessageType.DISCOVER, mac, xid, way, requested=wanted)


def request(
    mac: Mac, state: RequestState, ip: Ipv4, server_id: Ipv4, xid: int = 2, *, way: Way = DIRECT
) -> bytes:
    """A REQUEST for `ip` with the fields of a client in `state` (RFC 2131 4.3.6, table 4)."""
    kind = MessageType.REQUEST
    match state:
        case RequestState.SELECTING:
            return _frame(kind, mac, xid, way, requested=ip, server_id=server_id)
        case RequestState.INIT_REBOOT:
            return _frame(kind, mac, xid, way, requested=ip)
        case RequestState.RENEWING:
            return _frame(kind, mac, xid, way, ciaddr=ip, dst_ip=server_id)
        case RequestState.REBINDING:
            return _frame(kind, mac, xid, way, ciaddr=ip)


def inform(mac: Mac, ip: Ipv4, xid: int = 3, *, way: Way = DIRECT) -> bytes:
    """An INFORM of a client that has `ip` (RFC 2131 4.4.3)."""
    return _frame(MessageType.INFORM, mac, xid, way, ciaddr=ip)


def release(mac: Mac, ip: Ipv4, server_id: Ipv4, xid: int = 4, *, way: Way = DIRECT) -> bytes:
    """A RELEASE of `ip` (RFC 2131 4.4.6)."""
    return _frame(
        MessageType.RELEASE, mac, xid, way, ciaddr=ip, server_id=server_id, dst_ip=server_id
    )


def _frame(
    kind: MessageType,
    mac: Mac,
    xid: int,
    way: Way,
    *,
    requested: Ipv4 = NO_IP,
    server_id: Ipv4 = NO_IP,
    ciaddr: Ipv4 = NO_IP,
    dst_ip: Ipv4 = frame.BROADCAST_IP,
) -> bytes:
    is_handed_on = way.giaddr != NO_IP
    giaddr = way.giaddr if dst_ip == frame.BROADCAST_IP else NO_IP  # no relay sees unicast
    fields = options.option(codes.MESSAGE_TYPE, bytes([kind]))
    for code, ip in ((codes.REQUESTED_IP, requested), (codes.SERVER_ID, server_id)):
        if ip:
            fields += options.option(code, ip.to_bytes(4, "big"))
    if way.circuit and (giaddr or not is_handed_on):
        circuit = options.option(relay.CIRCUIT_ID, way.circuit)
        fields += options.option(codes.RELAY_INFO, circuit)
    header = _HEADER.pack(
        *(codes.BOOT_REQUEST, codes.HTYPE_ETHERNET, codes.HLEN_ETHERNET, 0, xid, 0, 0),
        *(ciaddr, NO_IP, NO_IP, giaddr, mac.to_bytes(6, "big"), codes.MAGIC_COOKIE),
    )
    return frame.build(
        dst_mac=frame.BROADCAST_MAC,
        src_mac=_RELAY_MAC if is_handed_on else mac,
        src_ip=giaddr or ciaddr,
        dst_ip=dst_ip,
        dst_port=codes.SERVER_PORT,
        payload=(header + fields + options.END).ljust(_BOOTP_LEN, b"\0"),
        tags=way.tags,
    )
