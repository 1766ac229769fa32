"""The packet socket on a real link: a veth pair in a network namespace that dies with the test."""

import ctypes
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.datapath.packet_socket import MAX_FRAME, PacketSocket, PacketSocketError
from edge_agent.dhcp import frame
from lease_core.domain.values import Mac
from tests.unit.dhcp.clients import DISCOVER, IP, MAC, RENEWING, SERVER, Sent

pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

CLONE_NEWNET = 0x40000000
SERVER_END, CLIENT_END = "ld0", "ld1"
SERVER_MAC = Mac(0x02_AA_00_00_00_01)
LIBC = ctypes.CDLL(None, use_errno=True)


def tagged(sent: Sent, tags: str) -> bytes:
    return replace(sent, tags=bytes.fromhex(tags)).octets


HEARD: dict[str, bytes] = {
    "discover": DISCOVER.octets,
    "renewal": replace(RENEWING, dst_mac=SERVER_MAC).octets,
    "IP options": replace(DISCOVER, version_ihl=0x46).octets,
    "don't fragment": replace(DISCOVER, fragment=0x4000).octets,
    "bad length": replace(DISCOVER, total_len=40).octets,
    "802.1Q": tagged(DISCOVER, "81000064"),
    "802.1ad": tagged(DISCOVER, "88a8f064"),
    "priority tag": tagged(DISCOVER, "8100e000"),
    "QinQ": tagged(DISCOVER, "88a80064 81002007"),
    "QinQ before 802.1ad": tagged(DISCOVER, "91000064 8100b007"),
    "three tags": tagged(DISCOVER, "88a80064 81000007 81000008"),
    "IP options behind tags": tagged(replace(DISCOVER, version_ihl=0x46), "88a80064 81002007"),
}
NOT_HEARD: dict[str, bytes] = {
    "ARP": replace(DISCOVER, ethertype=0x0806).octets,
    "IPv6": replace(DISCOVER, ethertype=0x86DD).octets,
    "five tags": tagged(DISCOVER, "88a80064 81000007 81000008 81000009 8100000a"),
    "ARP behind a tag": tagged(replace(DISCOVER, ethertype=0x0806), "81000064"),
    "TCP behind a tag": tagged(replace(DISCOVER, protocol=6), "81000064"),
    "another port behind tags": tagged(replace(DISCOVER, dst_port=53), "88a80064 81000007"),
    "fragment behind tags": tagged(replace(DISCOVER, fragment=0x2000), "88a80064 81000007"),
    "a tag of another kind": tagged(DISCOVER, "92000064"),
    "TCP": replace(DISCOVER, protocol=6).octets,
    "reply to a client": replace(DISCOVER, dst_port=68).octets,
    "first fragment": replace(DISCOVER, fragment=0x2000).octets,
    "later fragment": replace(DISCOVER, fragment=0x0010).octets,
    "cut before the port": DISCOVER.octets[:36],
}


@pytest.fixture
def link() -> Iterator[None]:
    """A namespace of this thread with a veth pair; leaving it removes both."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert LIBC.unshare(CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        _ip("link", "add", SERVER_END, "type", "veth", "peer", "name", CLIENT_END)
        _ip("link", "set", SERVER_END, "address", "02:aa:00:00:00:01", "up")
        _ip("link", "set", CLIENT_END, "up")
        _wait_until_it_carries(SERVER_END)
        _wait_until_it_carries(CLIENT_END)
        yield
    finally:
        assert LIBC.setns(home, CLONE_NEWNET) == 0
        os.close(home)


@pytest.fixture
def server(link: None) -> Iterator[PacketSocket]:
    with PacketSocket(SERVER_END) as opened:
        yield opened


@pytest.fixture
def client(link: None) -> Iterator[socket.socket]:
    """The other end of the link, without a filter."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as opened:
        opened.bind((CLIENT_END, 3))
        opened.settimeout(2)
        yield opened


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _wait_until_it_carries(interface: str) -> None:
    """The kernel gives a link its queue a little after it is up; until then frames are lost."""
    shown = ["ip", "-oneline", "link", "show", interface]
    while b"qdisc noop " in subprocess.run(shown, check=True, capture_output=True).stdout:
        time.sleep(0.01)


def _wait(server: PacketSocket) -> bytes | None:
    select.select([server], [], [], 2)
    return server.receive()


def test_it_knows_its_interface(server: PacketSocket) -> None:
    """Index and hardware address are those of the interface."""
    assert server.ifindex == socket.if_nametoindex(SERVER_END)
    assert server.mac == SERVER_MAC


@pytest.mark.parametrize("octets", HEARD.values(), ids=HEARD)
def test_dhcp_is_heard(server: PacketSocket, client: socket.socket, octets: bytes) -> None:
    """A frame to the DHCP server port arrives unchanged, the doubtful ones to be counted too."""
    client.send(octets)
    assert _wait(server) == octets
    assert server.receive() is None


@pytest.mark.parametrize("octets", NOT_HEARD.values(), ids=NOT_HEARD)
def test_nothing_else_is_heard(server: PacketSocket, client: socket.socket, octets: bytes) -> None:
    """Of a frame that is not for us and a DISCOVER behind it, only the DISCOVER arrives."""
    client.send(octets)
    client.send(DISCOVER.octets)
    assert _wait(server) == DISCOVER.octets
    assert server.receive() is None


def test_what_others_send_from_here_is_not_heard(
    server: PacketSocket, client: socket.socket
) -> None:
    """A DHCP client or relay on the same interface is not taken for a subscriber."""
    with PacketSocket(SERVER_END) as neighbour:
        assert neighbour.send(DISCOVER.octets)
    client.send(RENEWING.octets)
    assert _wait(server) == RENEWING.octets


def test_a_long_frame_is_cut_and_refused(server: PacketSocket, client: socket.socket) -> None:
    """What does not fit the buffer cannot be taken for a whole frame."""
    _ip("link", "set", SERVER_END, "mtu", "9000")
    _ip("link", "set", CLIENT_END, "mtu", "9000")
    client.send(replace(DISCOVER, bootp_len=4000).octets)
    heard = _wait(server)
    assert heard is not None
    assert len(heard) == MAX_FRAME
    assert frame.parse(heard) == "pass_length"


@pytest.mark.parametrize("kind", ["802.1Q", "QinQ"])
def test_a_vlan_that_is_configured_is_heard_with_its_tag(
    server: PacketSocket, client: socket.socket, kind: str
) -> None:
    """An interface for the VLAN beside ours takes nothing away and adds nothing."""
    outer = HEARD[kind][12:14].hex()
    protocol = {"8100": "802.1Q", "88a8": "802.1ad"}[outer]
    vlan = ["ip", "link", "add", "link", SERVER_END, "ld0.100", "type", "vlan"]
    if subprocess.run([*vlan, "protocol", protocol, "id", "100"], check=False).returncode:
        pytest.skip("this kernel has no VLAN interfaces")
    _ip("link", "set", "ld0.100", "up")
    client.send(HEARD[kind])
    assert _wait(server) == HEARD[kind]
    assert server.receive() is None


@pytest.mark.parametrize("tags", ["", "81000064", "88a80064 8100b007"])
def test_a_reply_arrives_whole(server: PacketSocket, tags: str) -> None:
    """What is sent leaves as it is, with its tags and no header added."""
    reply = frame.build(
        dst_mac=MAC,
        src_mac=server.mac,
        src_ip=SERVER,
        dst_ip=IP,
        dst_port=67,
        payload=DISCOVER.payload,
        tags=bytes.fromhex(tags),
    )
    with PacketSocket(CLIENT_END) as listener:
        assert server.send(reply)
        assert _wait(listener) == reply


def test_a_full_queue_is_no_error(server: PacketSocket) -> None:
    """Frames that do not fit the queue of the interface are reported as not sent."""
    shape = ["tc", "qdisc", "add", "dev", SERVER_END, "root", "tbf"]
    shaped = subprocess.run([*shape, "rate", "8kbit", "burst", "400", "limit", "400"], check=False)
    if shaped.returncode:
        pytest.skip("this kernel has no tbf queue to fill")
    assert [server.send(DISCOVER.octets) for _ in range(9)].count(False) > 0


def test_a_link_that_goes_down_is_waited_for(server: PacketSocket, client: socket.socket) -> None:
    """Nothing is received or sent while the link is down, and everything when it is back."""
    _ip("link", "set", SERVER_END, "down")
    assert server.receive() is None
    assert not server.send(DISCOVER.octets)
    _ip("link", "set", SERVER_END, "up")
    client.send(DISCOVER.octets)
    assert _wait(server) == DISCOVER.octets


@pytest.mark.parametrize("use", ["receive", "send"])
def test_an_interface_that_is_gone_is_told(server: PacketSocket, use: str) -> None:
    """After the interface was deleted the error names it."""
    _ip("link", "del", SERVER_END)
    with pytest.raises(PacketSocketError, match="ld0 is gone"):
        getattr(server, use)(*([DISCOVER.octets] if use == "send" else []))


def test_a_missing_interface_is_told(link: None) -> None:
    """The error names the interface and where to look."""
    with pytest.raises(PacketSocketError, match="ld9 does not exist; `ip link`"):
        PacketSocket("ld9")


def test_another_link_layer_is_told(link: None) -> None:
    """Frames are built for Ethernet, so a tunnel is refused at the start."""
    _ip("tuntap", "add", "ld2", "mode", "tun")
    with pytest.raises(PacketSocketError, match="ld2 is not Ethernet"):
        PacketSocket("ld2")


def test_a_missing_right_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CAP_NET_RAW the error names the remedy."""

    def refuse(*_: Any) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PacketSocketError, match="grant CAP_NET_RAW"):
        PacketSocket("lo")


def test_sent_frames_are_those_of_the_unit_tests() -> None:
    """The frames above are what their names say, or the filter is tested with nonsense."""
    assert frame.parse(HEARD["IP options"]) == "pass_ip_header"
    assert frame.parse(NOT_HEARD["later fragment"]) == "pass_fragment"
    assert frame.parse(HEARD["three tags"]) == "pass_vlan_tags"
    assert frame.parse(NOT_HEARD["five tags"]) is None
    assert isinstance(frame.parse(Sent().octets), frame.Frame)
