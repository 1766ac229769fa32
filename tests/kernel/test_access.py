"""Access networks: VLANs and relays, the octets of the kernel's replies read by scapy."""

from dataclasses import replace

import pytest
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from edge_agent.datapath import abi
from edge_agent.dhcp.options import option
from edge_agent.dhcp.tables import KeyMode, Line, Port, key_of
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, KEY, POOL_OPTIONS, Lab
from tests.packets import (
    BROADCAST_IP,
    CIRCUIT,
    CLIENT_MAC,
    DISCOVER,
    PORT_MAC,
    RELAY,
    RELAY_MAC,
    REMOTE,
    REQUEST,
    ROUTER_MAC,
    SERVER,
    Client,
    checksum,
    dhclient,
    ip,
    relayed,
    routed,
    udhcpc,
    windows,
)

OFFERED = udhcpc(DISCOVER)
SELECTING = udhcpc(REQUEST, (50, ip(ADDRESS)), (54, ip(SERVER)))
RENEWING = dhclient(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)

LINES = {
    ((0x8100, 0),): Line(IFINDEX),
    ((0x8100, 100),): Line(IFINDEX, 100),
    ((0x88A8, 0xF064),): Line(IFINDEX, 100),
    ((0x8100, 4094),): Line(IFINDEX, 4094),
    ((0x88A8, 7), (0x8100, 100)): Line(IFINDEX, 7, 100),
    ((0x9100, 100), (0x8100, 7)): Line(IFINDEX, 100, 7),
    ((0x8100, 0xB064), (0x8100, 0x5064)): Line(IFINDEX, 100, 100),
    ((0x88A8, 100), (0x8100, 0)): Line(IFINDEX, 100),
}


@pytest.mark.parametrize("tags", LINES)
@pytest.mark.parametrize("client", [OFFERED, SELECTING, RENEWING, windows(DISCOVER)])
def test_tags_come_back_as_they_came(
    lab: Lab, client: Client, tags: tuple[tuple[int, int], ...]
) -> None:
    """A tagged request gets the reply to an untagged one behind its own tags."""
    untagged = lab.judge(client)
    lab.datapath.put(KEY, replace(BINDING, line=LINES[tags]))

    tagged = lab.judge(client.but(tags=tags))

    octets = b"".join(kind.to_bytes(2, "big") + tci.to_bytes(2, "big") for kind, tci in tags)
    assert tagged.counter == untagged.counter
    assert tagged.frame == untagged.frame[:12] + octets + untagged.frame[12:]


@pytest.mark.parametrize("tags", [(), *LINES])
def test_a_binding_answers_on_its_own_line_only(
    lab: Lab, tags: tuple[tuple[int, int], ...]
) -> None:
    """Of all lines only that of the binding is answered; a MAC does not heal a mismatch (I8)."""
    own = LINES.get(tags, Line(IFINDEX))
    for line in {Line(IFINDEX), *LINES.values()}:
        lab.datapath.put(KEY, replace(BINDING, line=line))
        expected = "offer" if line == own else "pass_other_line"
        assert lab.judge(OFFERED.but(tags=tags)).counter == expected


def test_scapy_reads_the_tags(lab: Lab) -> None:
    """Priority, drop bit and ids of both tags are read back from the reply."""
    lab.datapath.put(KEY, replace(BINDING, line=Line(IFINDEX, 7, 100)))
    packet = Ether(lab.judge(OFFERED.but(tags=((0x88A8, 0x7007), (0x8100, 0xA064)))).frame)

    outer, inner = packet[Dot1AD], packet[Dot1Q]
    assert (outer.prio, outer[Dot1AD].vlan) == (3, 7)
    assert (inner.prio, inner.vlan) == (5, 100)
    assert packet[IP].dst == ip_text(Ipv4(ADDRESS))


def at_relay_port(lab: Lab) -> None:
    relays = (*map(Ipv4, (1, 2, 3)), Ipv4(RELAY))
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), relays))


@pytest.mark.parametrize("info", [b"", CIRCUIT, CIRCUIT + REMOTE, b"\x0c\x02id" + CIRCUIT])
@pytest.mark.parametrize("dst_ip", [SERVER, BROADCAST_IP])
@pytest.mark.parametrize("client", [OFFERED, SELECTING, windows(DISCOVER), dhclient(DISCOVER)])
def test_relay_gets_the_reply(lab: Lab, client: Client, dst_ip: int, info: bytes) -> None:
    """It goes to giaddr, port 67, and the hardware address that the request came from."""
    at_relay_port(lab)
    frame = lab.judge(relayed(client, info).but(dst_ip=dst_ip)).frame
    packet = Ether(frame)

    assert (packet.dst, packet.src) == (mac_text(Mac(RELAY_MAC)), mac_text(Mac(PORT_MAC)))
    assert (packet[IP].src, packet[IP].dst) == (ip_text(Ipv4(SERVER)), ip_text(Ipv4(RELAY)))
    assert (packet[UDP].sport, packet[UDP].dport) == (67, 67)
    assert packet[BOOTP].giaddr == ip_text(Ipv4(RELAY))
    assert packet[BOOTP].yiaddr == ip_text(Ipv4(ADDRESS))
    assert checksum(frame[26:34] + b"\0\x11" + frame[38:40] + frame[34:]) == 0
    assert checksum(frame[14:34]) == 0


def test_rebinding_through_a_relay_goes_to_the_relay(lab: Lab) -> None:
    """giaddr comes before ciaddr (RFC 2131 4.1)."""
    at_relay_port(lab)
    packet = Ether(lab.judge(relayed(RENEWING.but(flags=0x8000))).frame)

    assert (packet[IP].dst, packet[BOOTP].ciaddr) == (ip_text(Ipv4(RELAY)), ip_text(Ipv4(ADDRESS)))


@pytest.mark.parametrize("tags", [(), ((0x8100, 100),), ((0x88A8, 7), (0x8100, 100))])
@pytest.mark.parametrize("client", [RENEWING, RENEWING.but(flags=0x8000), RENEWING.but(hops=1)])
def test_renewal_through_a_router_goes_back_through_it(
    lab: Lab, client: Client, tags: tuple[tuple[int, int], ...]
) -> None:
    """Past the relays: to ciaddr, port 68, and the router's hardware address (RFC 2131 4.1)."""
    at_relay_port(lab)
    lab.datapath.put(KEY, replace(BINDING, line=LINES.get(tags, Line(IFINDEX))))
    judged = lab.judge(routed(client).but(tags=tags))
    packet = Ether(judged.frame)

    assert judged.counter == "ack"
    assert (packet.dst, packet.src) == (mac_text(Mac(ROUTER_MAC)), mac_text(Mac(PORT_MAC)))
    assert (packet[IP].src, packet[IP].dst) == (ip_text(Ipv4(SERVER)), ip_text(Ipv4(ADDRESS)))
    assert (packet[UDP].sport, packet[UDP].dport) == (67, 68)
    assert (packet[BOOTP].ciaddr, packet[BOOTP].yiaddr) == (ip_text(Ipv4(ADDRESS)),) * 2
    assert packet[BOOTP].giaddr == "0.0.0.0"
    assert packet[BOOTP].chaddr[:6] == CLIENT_MAC.to_bytes(6, "big")
    ip_at = 14 + 4 * len(tags)
    untagged = judged.frame[:12] + judged.frame[ip_at - 2 :]
    pseudo = untagged[26:34] + b"\0\x11" + untagged[38:40]
    assert checksum(untagged[14:34]) == checksum(pseudo + untagged[34:]) == 0


@pytest.mark.parametrize("length", [1, 2, 60, 120, 251])
def test_option_82_is_last_and_unchanged(lab: Lab, length: int) -> None:
    """What the relay wrote comes back whole behind all other options (RFC 3046 2.2)."""
    at_relay_port(lab)
    info = b"\x01\x00\x02" + bytes((length - 1,)) + bytes(range(1, length))
    client = udhcpc(DISCOVER).without_option(57).with_option(57, b"\x05\xdc")
    for shuffled in (client, client.but(options=client.options[::-1])):
        frame = lab.judge(relayed(shuffled, info)).frame
        ends = frame[42 + 240 :].rstrip(b"\0")
        assert ends.endswith(shuffled_id(client) + option(82, info) + b"\xff")


def shuffled_id(client: Client) -> bytes:
    return option(61, dict(client.options)[61])


@pytest.mark.parametrize("tags", [((0x8100, 100),), ((0x88A8, 7), (0x8100, 100))])
def test_relay_behind_tags(lab: Lab, tags: tuple[tuple[int, int], ...]) -> None:
    """A relay on a VLAN is answered on that VLAN."""
    at_relay_port(lab)
    untagged = lab.judge(relayed(OFFERED))
    lab.datapath.put(KEY, replace(BINDING, line=LINES.get(tags, Line(IFINDEX, 7, 100))))

    tagged = lab.judge(relayed(OFFERED).but(tags=tags))

    assert tagged.counter == untagged.counter == "offer"
    assert tagged.frame[:12] + tagged.frame[12 + 4 * len(tags) :] == untagged.frame


def test_client_says_how_long_a_reply_may_be(lab: Lab) -> None:
    """The longest reply there can be is sent to who takes it, and left to the agent otherwise."""
    longest = POOL_OPTIONS.options + option(43, b"v" * (254 - len(POOL_OPTIONS.options)))
    lab.datapath.put_pool(2, replace(POOL_OPTIONS, options=longest))
    lab.datapath.put(KEY, replace(BINDING, pool_id=2))
    at_relay_port(lab)
    asked = dhclient(DISCOVER, (61, b"c" * 100)).but(bootp_len=0)
    info = b"\x01\xe0" + b"i" * 0xE0
    total = 28 + 240 + -(-(256 + 102 + 228 + 1) // 4) * 4

    for size, counter in ((0, "pass_reply_space"), (total - 1, "pass_reply_space"),
                          (total, "offer"), (0xFFFF, "offer")):  # fmt: skip
        judged = lab.judge(relayed(asked.with_option(57, size.to_bytes(2, "big")), info))
        assert judged.counter == counter
        assert len(judged.frame) == 14 + total or not judged.is_answered


MAC = Mac(CLIENT_MAC)
CIRCUITS = [
    Line(IFINDEX, giaddr=Ipv4(giaddr), circuit=circuit)
    for giaddr in (RELAY, RELAY + 1)
    for circuit in (b"c", b"c\0", b"access 0/1/7:4", b"access 0/1/7:5", bytes(range(64)))
]


def on_circuit(client: Client, line: Line) -> Client:
    return relayed(client, REMOTE + option(1, line.circuit)).but(giaddr=line.giaddr)


def at_circuit_port(lab: Lab) -> None:
    relays = (Ipv4(RELAY), Ipv4(RELAY + 1))
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=relays, key=KeyMode.CIRCUIT))


def test_by_line_every_line_of_a_mac_is_answered(lab: Lab) -> None:
    """One MAC on many VLANs gets the address of the line that it asks from."""
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), key=KeyMode.LINE))
    lines = sorted(set(LINES.values()), key=repr)
    for n, line in enumerate(lines):
        own = replace(BINDING, ip=Ipv4(ADDRESS + n), slot=200 + n, line=line, mac=MAC)
        lab.datapath.put(key_of(MAC, line, KeyMode.LINE), own)
        assert lab.datapath.lookup(key_of(MAC, line, KeyMode.LINE)) == own

    for tags, line in LINES.items():
        yiaddr = lab.judge(OFFERED.but(tags=tags)).frame[4 * len(tags) :][58:62]
        assert yiaddr == ip(ADDRESS + lines.index(line))
    assert lab.judge(OFFERED.but(tags=((0x8100, 99),))).counter == "pass_unknown_client"


@pytest.mark.parametrize("tags", [(), ((0x8100, 100),)])
def test_by_circuit_every_line_of_a_mac_is_answered(
    lab: Lab, tags: tuple[tuple[int, int], ...]
) -> None:
    """One MAC on many circuits of two relays gets the address of the circuit it asks from."""
    at_circuit_port(lab)
    for n, line in enumerate(CIRCUITS):
        own = replace(BINDING, ip=Ipv4(ADDRESS + n), slot=300 + n, line=line, mac=MAC)
        lab.datapath.put(key_of(MAC, line, KeyMode.CIRCUIT), own)
        assert lab.datapath.lookup(key_of(MAC, line, KeyMode.CIRCUIT)) == own

    for n, line in enumerate(CIRCUITS):
        packet = Ether(lab.judge(on_circuit(OFFERED, line).but(tags=tags)).frame)
        assert packet[BOOTP].yiaddr == ip_text(Ipv4(ADDRESS + n))
    unknown = on_circuit(OFFERED, CIRCUITS[0]._replace(circuit=b"d"))
    assert lab.judge(unknown).counter == "pass_unknown_client"


STRANGERS = {
    "another MAC": {"mac": Mac(CLIENT_MAC + 1)},
    "no MAC": {"mac": Mac(0)},
    "another interface": {"line": CIRCUITS[2]._replace(ifindex=IFINDEX + 1)},
    "another relay": {"line": CIRCUITS[2]._replace(giaddr=Ipv4(RELAY + 1))},
    "another octet": {"line": CIRCUITS[3]},
    "a zero octet more": {"line": CIRCUITS[2]._replace(circuit=CIRCUITS[2].circuit + b"\0")},
    "a VLAN": {"line": CIRCUITS[2]._replace(s_vlan=7)},
    "a slot without circuit": {"slot": 1 << 20},
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_a_key_alone_is_no_proof(lab: Lab, stranger: dict[str, object]) -> None:
    """A value under the right key that is another's is left alone, and no MAC heals it (I8)."""
    at_circuit_port(lab)
    key = key_of(MAC, CIRCUITS[2], KeyMode.CIRCUIT)
    own = replace(BINDING, slot=400, line=CIRCUITS[2], mac=MAC)
    lab.datapath.put(key, own)
    assert lab.judge(on_circuit(OFFERED, CIRCUITS[2])).counter == "offer"

    other = replace(own, **stranger)  # type: ignore[arg-type]
    if other.slot == own.slot:
        lab.datapath.put(key, other)
    else:
        lab.datapath._subscribers.set(key, abi.pack_assignment(key, other))

    assert lab.judge(on_circuit(OFFERED, CIRCUITS[2])).counter == "pass_other_line"


def test_a_value_of_another_circuit_is_not_believed(lab: Lab) -> None:
    """A value that moved to another key fails its check word."""
    at_circuit_port(lab)
    keys = [key_of(MAC, line, KeyMode.CIRCUIT) for line in CIRCUITS[:2]]
    lab.datapath.put(keys[0], replace(BINDING, slot=401, line=CIRCUITS[0], mac=MAC))
    octets = lab.datapath._subscribers.get(keys[0])
    assert octets is not None
    lab.datapath._subscribers.set(keys[1], octets)

    assert lab.judge(on_circuit(OFFERED, CIRCUITS[1])).counter == "pass_check_word"
