"""Records of the ring `asks`: what the kernel program wants of the allocator for a stranger."""

from edge_agent.datapath import abi
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Ipv4, mac_from_bytes


def unpack(record: bytes) -> Ask:
    """Decode a record."""
    at_boot_ns, ifindex, s_vlan, c_vlan, mac, length, *rest = abi.ASK.layout.unpack(record)
    *addresses, host_at, host_len, circuit, frame = rest
    ip, server_id, link = (Ipv4(int.from_bytes(each)) for each in addresses)
    line = Line(ifindex, s_vlan, c_vlan)
    if circuit[abi.CIRCUIT.offsets["len"]]:
        line = abi.unpack_circuit(circuit, Line(ifindex))
    return Ask(
        at_boot_ns,
        line,
        mac_from_bytes(mac),
        ip,
        server_id,
        link,
        frame[host_at : host_at + host_len] if host_len else b"",
        frame[:length],
    )
