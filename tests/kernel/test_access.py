"""Access networks: VLANs and relays, the octets of the kernel's replies read by scapy."""

from dataclasses import replace

import pytest
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

from edge_agent.dhcp.options import option
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, KEY, POOL_OPTIONS, Lab
from tests.packets import (
    BROADCAST_IP,
    CIRCUIT,
    DISCOVER,
    PORT_MAC,
    RELAY,
    RELAY_MAC,
    REMOTE,
    REQUEST,
    SERVER,
    Client,
    checksum,
    dhclient,
    ip,
    relayed,
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
    ((0x8100, 4095),): Line(IFINDEX, 4095),
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
    lab.datapath.put_port(IFINDEX, Mac(PORT_MAC), relays=[Ipv4(1), Ipv4(2), Ipv4(3), Ipv4(RELAY)])


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
