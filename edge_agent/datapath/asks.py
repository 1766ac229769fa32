"""Records of the ring `asks`: what the kernel program wants of the allocator for a stranger."""

from edge_agent.datapath import abi
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.tables import Line


def unpack(record: bytes) -> Ask:
    """Decode a record."""
    at_boot_ns, mac, ip, server_id, link, ifindex, s_vlan, c_vlan, length, *rest = (
        abi.ASK.layout.unpack(record)
    )
    host_at, host_len, _, circuit, frame = rest
    line = Line(ifindex, s_vlan, c_vlan)
    if circuit[abi.CIRCUIT.offsets["len"]]:
        line = abi.unpack_circuit(circuit, Line(ifindex))
    host_name = frame[host_at : host_at + host_len]
    return Ask(at_boot_ns, line, mac, ip, server_id, link, host_name, frame[:length])
