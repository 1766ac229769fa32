"""Every rule of `docs/replies.md`, one mutation of a good request at a time."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.datapath.dry_run import XDP_PASS, XDP_TX
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import KeyMode, Line, Port, key_of
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import (
    ADDRESS,
    BINDING,
    IFINDEX,
    KEY,
    LEASE_S,
    POOL,
    POOL_OPTIONS,
    SECOND,
    SLOT,
    Lab,
    now_boot_ns,
)
from tests.packets import (
    BROADCAST_IP,
    CIRCUIT,
    CLIENT_MAC,
    DECLINE,
    DISCOVER,
    INFORM,
    PORT_MAC,
    RELAY,
    RELAY_MAC,
    RELEASE,
    REMOTE,
    REQUEST,
    SERVER,
    Client,
    dhclient,
    ip,
    relayed,
    routed,
    udhcpc,
    windows,
)

OURS = (54, ip(SERVER))
WANTED = (50, ip(ADDRESS))
OTHER = ip(ADDRESS + 1)

GOOD = dhclient(DISCOVER)
SELECTING = dhclient(REQUEST, OURS, WANTED)
REBOOTING = dhclient(REQUEST, WANTED)
RENEWING = dhclient(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)
REBINDING = RENEWING.but(dst_ip=BROADCAST_IP)
INFORMING = dhclient(INFORM).but(ciaddr=ADDRESS, src_ip=ADDRESS)
ELSEWHERE = 0xC0A80017
"""An address of no network here."""


def checksum_of(client: Client) -> int:
    return int.from_bytes(client.frame()[24:26], "big")


HITS = {
    "dhclient discovers": (GOOD, "offer"),
    "udhcpc discovers": (udhcpc(DISCOVER), "offer"),
    "windows discovers": (windows(DISCOVER), "offer"),
    "dhclient selects": (SELECTING, "ack"),
    "udhcpc selects": (udhcpc(REQUEST, WANTED, OURS), "ack"),
    "windows selects": (windows(REQUEST, WANTED, OURS), "ack"),
    "init-reboot": (REBOOTING, "ack"),
    "renewing": (RENEWING, "ack"),
    "rebinding": (REBINDING, "ack"),
    "informing": (INFORMING, "inform_ack"),
    "informing by unicast": (INFORMING.but(dst_ip=SERVER, dst_mac=PORT_MAC), "inform_ack"),
    "a discover that asks for another address": (dhclient(DISCOVER, (50, OTHER)), "offer"),
    "octets behind the packet": (GOOD.but(trailer=b"fcs!"), "offer"),
    "the shortest option area": (Client(bootp_len=0), "offer"),
    "padding between options": (GOOD.but(area=b"\0" * 20 + b"\x35\x01\x01\xff"), "offer"),
    "rubbish behind END": (GOOD.but(area=b"\x35\x01\x01\xff\x34\x01\x03\x35\x01"), "offer"),
    "64 options": (GOOD.but(area=b"\x35\x01\x01" + b"\x4d\0" * 63 + b"\xff"), "offer"),
    "an area of 512 octets": (GOOD.but(bootp_len=240 + 512), "offer"),
    "END in the last of 512 octets": (
        GOOD.but(area=b"\x35\x01\x01" + b"\0" * 508 + b"\xff"),
        "offer",
    ),
    "END as the last octet": (GOOD.but(area=b"\x35\x01\x01\xff", bootp_len=0), "offer"),
    "a priority tag": (GOOD.but(tags=((0x8100, 0xE000),)), "offer"),
    "two priority tags": (GOOD.but(tags=((0x88A8, 0), (0x8100, 0x2000))), "offer"),
    "for the port": (GOOD.but(dst_mac=PORT_MAC), "offer"),
    "a size": (GOOD.with_option(57, b"\x05\xdc"), "offer"),
    "another source port and hops": (GOOD.but(hops=3, secs=99), "offer"),
}

NOT_DHCP = {
    "ARP": GOOD.but(ethertype=0x0806),
    "a tag without its type": GOOD.but(ethertype=0x8100),
    "a tag of another kind": GOOD.but(tags=((0x9200, 7),)),
    "four tags": GOOD.but(tags=((0x8100, 7),) * 4),
    "three tags, another port": GOOD.but(tags=((0x8100, 7),) * 3, dst_port=53),
    "ARP behind a tag": GOOD.but(tags=((0x8100, 7),), ethertype=0x0806),
    "TCP": GOOD.but(protocol=6),
    "another port": GOOD.but(dst_port=68),
    "IP version 6": GOOD.but(version_ihl=0x65),
    "another port behind IP options": GOOD.but(
        version_ihl=0x46, ip_options=b"\x94\x04\0\0", dst_port=53
    ),
}

MISSES = {
    "IP options": (GOOD.but(version_ihl=0x46, ip_options=b"\x94\x04\0\0"), "pass_ip_header"),
    "more fragments": (GOOD.but(fragment=0x2000), "pass_fragment"),
    "a later fragment": (GOOD.but(fragment=0x0010), "pass_fragment"),
    "total length too small": (GOOD.but(total_len=268, udp_len=248), "pass_length"),
    "total length beyond the frame": (GOOD.but(total_len=329, udp_len=309), "pass_length"),
    "UDP length too small": (GOOD.but(udp_len=307), "pass_length"),
    "no option area": (GOOD.but(area=b"", bootp_len=240), "pass_length"),
    "half a header": (GOOD.but(area=b"", bootp_len=0, total_len=128, udp_len=108), "pass_length"),
    "a wrong checksum of IP": (GOOD.but(ip_check=1), "pass_checksum"),
    "a checksum of IP of 0": (GOOD.but(ip_check=checksum_of(GOOD)), "pass_checksum"),
    "for another station": (GOOD.but(dst_mac=CLIENT_MAC), "pass_ethernet"),
    "for a group": (GOOD.but(dst_mac=0x01005E000001), "pass_ethernet"),
    "for a station like ours": (GOOD.but(dst_mac=PORT_MAC ^ 1 << 40), "pass_ethernet"),
    "a release for another station": (
        dhclient(RELEASE).but(dst_mac=PORT_MAC + 1),
        "pass_ethernet",
    ),
    "a reply": (GOOD.but(op=2), "pass_bootp_header"),
    "another hardware": (GOOD.but(htype=32), "pass_bootp_header"),
    "a long address": (GOOD.but(hlen=16), "pass_bootp_header"),
    "plain BOOTP": (GOOD.but(cookie=0), "pass_bootp_header"),
    "no END": (GOOD.but(area=b"\x35\x01\x01"), "pass_options"),
    "no END, no padding": (GOOD.but(area=b"\x35\x01\x01", bootp_len=0), "pass_options"),
    "a value beyond the payload": (
        GOOD.but(area=b"\x35\x01\x01\x0c\xff", bootp_len=0),
        "pass_options",
    ),
    "a value beyond the payload, inside the frame": (
        GOOD.but(area=b"\x35\x01\x01\x0c\x02", bootp_len=0, trailer=b"ab\xff"),
        "pass_options",
    ),
    "a code as the last octet": (GOOD.but(area=b"\x35\x01\x01\x0c", bootp_len=0), "pass_options"),
    "65 options": (
        GOOD.but(area=b"\x35\x01\x01" + b"\x4d\0" * 64 + b"\xff"),
        "pass_options",
    ),
    "an area of 513 octets": (GOOD.but(bootp_len=240 + 513), "pass_options"),
    "two types": (GOOD.with_option(53, b"\x01"), "pass_options"),
    "a type of two octets": (GOOD.but(options=((53, b"\x01\x01"),)), "pass_options"),
    "two addresses": (dhclient(REQUEST, WANTED, WANTED), "pass_options"),
    "an address of five octets": (dhclient(REQUEST, (50, b"12345")), "pass_options"),
    "an address of three octets": (dhclient(REQUEST, (50, b"123")), "pass_options"),
    "two servers": (dhclient(REQUEST, OURS, OURS), "pass_options"),
    "a server of three octets": (dhclient(REQUEST, (54, b"123")), "pass_options"),
    "two client ids": (udhcpc(DISCOVER, (61, b"x")), "pass_options"),
    "an empty client id": (dhclient(DISCOVER, (61, b"")), "pass_options"),
    "an empty option 82": (dhclient(DISCOVER, (82, b"")), "pass_options"),
    "two options 82": (dhclient(DISCOVER, (82, b"x"), (82, b"y")), "pass_options"),
    "overload": (dhclient(DISCOVER, (52, b"\x01")), "pass_options"),
    "no type": (GOOD.without_option(53), "pass_message_type"),
    "type 0": (dhclient(0), "pass_message_type"),
    "release": (dhclient(RELEASE), "pass_message_type"),
    "decline": (dhclient(DECLINE), "pass_message_type"),
    "an inform of no address": (dhclient(INFORM), "pass_other_address"),
    "an inform of another address": (INFORMING.but(ciaddr=ADDRESS + 1), "pass_other_address"),
    "an inform that asks for its address": (INFORMING.with_option(*WANTED), "pass_other_address"),
    "an inform for another server": (INFORMING.with_option(54, OTHER), "pass_other_server"),
    "an inform to another server": (INFORMING.but(dst_ip=SERVER + 1), "pass_not_addressed"),
    "a release that carries type 3 in its client id": (
        dhclient(RELEASE, (61, b"\x35\x01\x03\x35\x01\x03")),
        "pass_message_type",
    ),
    "a release with a relay's address": (
        dhclient(RELEASE).but(giaddr=RELAY),
        "pass_untrusted_relay",
    ),
    "a decline with option 82": (dhclient(DECLINE, (82, CIRCUIT)), "pass_untrusted_relay"),
    "an inform spoken for another": (
        dhclient(INFORM).but(src_mac=CLIENT_MAC + 1),
        "pass_source_mac",
    ),
    "an inform of a group": (dhclient(INFORM).but(mac=CLIENT_MAC | 1 << 40), "pass_source_mac"),
    "a relay's address": (GOOD.but(giaddr=ADDRESS), "pass_untrusted_relay"),
    "option 82": (dhclient(DISCOVER, (82, b"\x01\x04port")), "pass_untrusted_relay"),
    "a relay": (relayed(GOOD), "pass_untrusted_relay"),
    "three tags": (GOOD.but(tags=((0x8100, 7),) * 3), "pass_vlan_tags"),
    "a tag behind id 0": (GOOD.but(tags=((0x8100, 0), (0x8100, 7))), "pass_vlan_tags"),
    "the reserved id": (GOOD.but(tags=((0x8100, 0x0FFF),)), "pass_vlan_tags"),
    "the reserved id inside": (
        GOOD.but(tags=((0x8100, 7), (0x8100, 0xFFFF))),
        "pass_vlan_tags",
    ),
    "three tags before IP options": (
        GOOD.but(tags=((0x8100, 7),) * 3, version_ihl=0x46, ip_options=b"\x94\x04\0\0"),
        "pass_vlan_tags",
    ),
    "a tag": (GOOD.but(tags=((0x8100, 7),)), "pass_other_line"),
    "two tags": (GOOD.but(tags=((0x88A8, 7), (0x8100, 7))), "pass_other_line"),
    "IP options behind a tag": (
        GOOD.but(tags=((0x8100, 7),), version_ihl=0x46, ip_options=b"\x94\x04\0\0"),
        "pass_ip_header",
    ),
    "no END behind tags": (GOOD.but(tags=((0x8100, 7),) * 2, area=b"\x35\x01\x01"), "pass_options"),
    "two parameter lists": (GOOD.with_option(55, b"\x01"), "pass_options"),
    "two sizes": (GOOD.with_option(57, b"\x05\xdc").with_option(57, b"\x05\xdc"), "pass_options"),
    "a size of one octet": (GOOD.with_option(57, b"\x05"), "pass_options"),
    "a size of three octets": (GOOD.with_option(57, b"\x05\xdc\x00"), "pass_options"),
    "another source": (GOOD.but(src_mac=CLIENT_MAC + 1), "pass_source_mac"),
    "a renewal through a router": (routed(RENEWING), "pass_source_mac"),
    "a multicast source": (GOOD.but(mac=CLIENT_MAC | 1 << 40), "pass_source_mac"),
    "no source": (GOOD.but(mac=0), "pass_source_mac"),
    "an unknown client": (GOOD.but(mac=CLIENT_MAC + 1), "pass_unknown_client"),
    "another destination": (GOOD.but(dst_ip=SERVER + 1), "pass_not_addressed"),
    "another server": (dhclient(REQUEST, (54, OTHER), WANTED), "pass_other_server"),
    "a discover for another server": (dhclient(DISCOVER, (54, OTHER)), "pass_other_server"),
    "another address selected": (dhclient(REQUEST, OURS, (50, OTHER)), "pass_other_address"),
    "selecting without an address": (dhclient(REQUEST, OURS), "pass_other_address"),
    "selecting with ciaddr": (SELECTING.but(ciaddr=ADDRESS), "pass_other_address"),
    "renewing with server": (RENEWING.with_option(*OURS), "pass_other_address"),
    "rebooting with another address": (dhclient(REQUEST, (50, OTHER)), "pass_other_address"),
    "rebooting with ciaddr": (REBOOTING.but(ciaddr=ADDRESS), "pass_other_address"),
    "renewing another address": (RENEWING.but(ciaddr=ADDRESS + 1), "pass_other_address"),
    "renewing nothing": (RENEWING.but(ciaddr=0), "pass_other_address"),
}


def _put(**changes: object) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        lab.datapath.put(KEY, replace(BINDING, **changes))  # type: ignore[arg-type]

    return change


def _state(**changes: object) -> Callable[[Lab], None]:
    return lambda lab: lab.set_state(**changes)


def _pool(options: bytes) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        lab.datapath.put_pool(9, replace(POOL_OPTIONS, options=options))
        lab.datapath.put(KEY, replace(BINDING, pool_id=9))

    return change


def _relays(*relays: int, key: KeyMode = KeyMode.MAC) -> Callable[[Lab], None]:
    def change(lab: Lab) -> None:
        allowed = tuple(map(Ipv4, relays))
        lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=allowed, key=key))

    return change


def _marked(key: KeyMode = KeyMode.MAC) -> Callable[[Lab], None]:
    return lambda lab: lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), key=key, trusted=True))


RELAYED = relayed(GOOD)
ROUTED = routed(RENEWING)


def long_ago() -> int:
    if (then := now_boot_ns() - 901 * SECOND) < 0:
        pytest.skip("the host has not been up for 15 minutes")
    return then


TABLES: dict[str, tuple[Callable[[Lab], None], Client, str]] = {
    "port not ours": (lambda lab: lab.datapath.disable_port(IFINDEX), GOOD, "pass_port_unknown"),
    "another ABI": (_state(abi_ok=False), GOOD, "pass_abi"),
    "gate closed": (_state(gate=False), GOOD, "pass_gate_closed"),
    "agent silent": (
        lambda lab: lab.set_state(touched_boot_ns=long_ago()),
        GOOD,
        "pass_agent_silent",
    ),
    "horizon passed": (
        lambda lab: lab.set_state(horizon_boot_ns=now_boot_ns() - 1),
        GOOD,
        "pass_horizon",
    ),
    "horizon too near": (
        lambda lab: lab.set_state(horizon_boot_ns=now_boot_ns() + 120 * SECOND),
        GOOD,
        "pass_horizon",
    ),
    "another subscriber's value": (_put(check_ok=False), GOOD, "pass_check_word"),
    "another interface": (_put(line=Line(IFINDEX + 1)), GOOD, "pass_other_line"),
    "bound to an outer VLAN": (_put(line=Line(IFINDEX, 100)), GOOD, "pass_other_line"),
    "bound to an inner VLAN": (_put(line=Line(IFINDEX, 0, 100)), GOOD, "pass_other_line"),
    "unknown pool": (_put(pool_id=999), GOOD, "pass_unknown_pool"),
    "pool without its fixed options": (_pool(b"\0" * 26), GOOD, "pass_unknown_pool"),
    "reply too long": (
        _pool(POOL_OPTIONS.options.ljust(256, b"\0")),
        dhclient(DISCOVER, (61, b"x" * 50)),
        "pass_reply_space",
    ),
    "a relay that is not allowed": (_relays(RELAY + 1, RELAY - 1), RELAYED, "pass_relay_unknown"),
    "a release through another relay": (
        _relays(RELAY + 1),
        relayed(dhclient(RELEASE)),
        "pass_relay_unknown",
    ),
    "an inform with link selection": (
        _relays(RELAY),
        relayed(dhclient(INFORM), b"\x05\x04abcd"),
        "pass_relayed",
    ),
    "a decline without a circuit": (
        _relays(RELAY, key=KeyMode.CIRCUIT),
        relayed(dhclient(DECLINE), REMOTE),
        "pass_circuit",
    ),
    "a client at a relay port": (_relays(RELAY), GOOD, "pass_relay_unknown"),
    "an option 82 that is cut": (_relays(RELAY), relayed(GOOD, b"\x01\x04por"), "pass_relayed"),
    "an option 82 of one octet": (_relays(RELAY), relayed(GOOD, b"\x01"), "pass_relayed"),
    "link selection": (_relays(RELAY), relayed(GOOD, b"\x05\x04abcd"), "pass_relayed"),
    "server id override": (
        _relays(RELAY),
        relayed(GOOD, CIRCUIT + b"\x0b\x04abcd"),
        "pass_relayed",
    ),
    "relay source port": (_relays(RELAY), relayed(GOOD, b"\x13\x00"), "pass_relayed"),
    "a sub-option far behind the known": (
        _relays(RELAY),
        relayed(GOOD, b"\x21\x01c"),
        "pass_relayed",
    ),
    "a relay beside an access node": (_marked(), RELAYED, "pass_untrusted_relay"),
    "link selection of an access node": (
        _marked(),
        dhclient(DISCOVER, (82, b"\x05\x04abcd")),
        "pass_relayed",
    ),
    "spoken for another behind an access node": (
        _marked(),
        dhclient(DISCOVER, (82, CIRCUIT)).but(src_mac=RELAY_MAC),
        "pass_source_mac",
    ),
    "no mark of an access node": (_marked(KeyMode.CIRCUIT), GOOD, "pass_circuit"),
    "two circuits": (_relays(RELAY), relayed(GOOD, CIRCUIT * 2), "pass_relayed"),
    "no option 82 on a circuit": (
        _relays(RELAY, key=KeyMode.CIRCUIT),
        relayed(GOOD, b""),
        "pass_circuit",
    ),
    "no circuit": (_relays(RELAY, key=KeyMode.CIRCUIT), relayed(GOOD, REMOTE), "pass_circuit"),
    "an empty circuit": (
        _relays(RELAY, key=KeyMode.CIRCUIT),
        relayed(GOOD, b"\x01\x00" + REMOTE),
        "pass_circuit",
    ),
    "a circuit of 65 octets": (
        _relays(RELAY, key=KeyMode.CIRCUIT),
        relayed(GOOD, b"\x01\x41" + bytes(65)),
        "pass_circuit",
    ),
    "a client on a port of circuits": (_relays(key=KeyMode.CIRCUIT), GOOD, "pass_circuit"),
    "a MAC's binding on a port of circuits": (
        _relays(RELAY, key=KeyMode.CIRCUIT),
        RELAYED,
        "pass_unknown_client",
    ),
    "a MAC's binding on a port of lines": (
        _relays(key=KeyMode.LINE),
        GOOD,
        "pass_unknown_client",
    ),
    "a relay without hardware address": (
        _relays(RELAY),
        RELAYED.but(src_mac=0),
        "pass_source_mac",
    ),
    "a relay that is a group": (
        _relays(RELAY),
        RELAYED.but(src_mac=RELAY_MAC | 1 << 40),
        "pass_source_mac",
    ),
    "a group behind a relay": (
        _relays(RELAY),
        RELAYED.but(mac=CLIENT_MAC | 1 << 40),
        "pass_source_mac",
    ),
    "a stranger behind a relay": (
        _relays(RELAY),
        RELAYED.but(mac=CLIENT_MAC + 1),
        "pass_unknown_client",
    ),
    "rebinding past the relays": (
        _relays(RELAY),
        ROUTED.but(dst_ip=BROADCAST_IP),
        "pass_relay_unknown",
    ),
    "renewing past the relays from another address": (
        _relays(RELAY),
        ROUTED.but(src_ip=ADDRESS + 1),
        "pass_relay_unknown",
    ),
    "renewing past the relays from no address": (
        _relays(RELAY),
        ROUTED.but(ciaddr=0, src_ip=0),
        "pass_relay_unknown",
    ),
    "renewing past the relays with option 82": (
        _relays(RELAY),
        ROUTED.with_option(82, CIRCUIT),
        "pass_relay_unknown",
    ),
    "renewing past the relays with option 50": (
        _relays(RELAY),
        ROUTED.with_option(*WANTED),
        "pass_relay_unknown",
    ),
    "renewing past the relays with option 54": (
        _relays(RELAY),
        ROUTED.with_option(*OURS),
        "pass_relay_unknown",
    ),
    "releasing through a router": (
        _relays(RELAY),
        routed(dhclient(RELEASE, OURS)).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER),
        "pass_message_type",
    ),
    "declining past the relays": (
        _relays(RELAY),
        routed(dhclient(DECLINE, OURS)).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER),
        "pass_relay_unknown",
    ),
    "discovering past the relays": (
        _relays(RELAY),
        routed(GOOD).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER),
        "pass_relay_unknown",
    ),
    "renewing through a group": (
        _relays(RELAY),
        ROUTED.but(src_mac=RELAY_MAC | 1 << 40),
        "pass_source_mac",
    ),
    "renewing through nobody": (_relays(RELAY), ROUTED.but(src_mac=0), "pass_source_mac"),
    "renewing through a router on a port of circuits": (
        _relays(RELAY, key=KeyMode.CIRCUIT),
        ROUTED,
        "pass_circuit",
    ),
    "renewing through a router at another server": (
        _relays(RELAY),
        ROUTED.but(dst_ip=SERVER + 1),
        "pass_not_addressed",
    ),
    "renewing another address through a router": (
        _relays(RELAY),
        ROUTED.but(ciaddr=ADDRESS + 1, src_ip=ADDRESS + 1),
        "pass_other_address",
    ),
    "renewing through a router on another line": (
        _relays(RELAY),
        ROUTED.but(tags=((0x8100, 7),)),
        "pass_other_line",
    ),
    "a stranger renewing through a router": (
        _relays(RELAY),
        ROUTED.but(mac=CLIENT_MAC + 1),
        "pass_unknown_client",
    ),
    "slot outside": (_put(slot=4096), REBOOTING, "pass_promise"),
}


NAKS = {
    "selecting another address": dhclient(REQUEST, OURS, (50, OTHER)),
    "rebooting with another address": dhclient(REQUEST, (50, OTHER)),
    "renewing another address": RENEWING.but(ciaddr=ADDRESS + 1),
    "rebinding another address": REBINDING.but(ciaddr=ADDRESS + 1),
}
NO_NAKS = {
    "an address elsewhere": dhclient(REQUEST, (50, ip(ELSEWHERE))),
    "renewing elsewhere": RENEWING.but(ciaddr=ELSEWHERE),
    "selecting with ciaddr": dhclient(REQUEST, OURS, (50, OTHER)).but(ciaddr=ADDRESS),
    "selecting nothing": dhclient(REQUEST, OURS),
    "rebooting with ciaddr": dhclient(REQUEST, (50, OTHER)).but(ciaddr=ADDRESS + 1),
    "renewing with server": RENEWING.with_option(*OURS).but(ciaddr=ADDRESS + 1),
    "renewing nothing": RENEWING.but(ciaddr=0),
    "option 50 of 0.0.0.0": dhclient(REQUEST, (50, bytes(4))),
    "an inform": INFORMING.but(ciaddr=ADDRESS + 1),
}


def current(lab: Lab, **changes: object) -> None:
    lab.set_state(**({"current_until_boot_ns": now_boot_ns() + 60 * SECOND} | changes))


@pytest.mark.parametrize("client", NAKS.values(), ids=NAKS)
def test_nak(lab: Lab, client: Client) -> None:
    """Who is bound here and asks for another address of our network is refused, while the log is
    current, and nothing is promised (I9)."""
    current(lab)
    promised = lab.datapath.promise(SLOT)

    judged = lab.judge(client)

    assert (judged.counter, judged.action) == ("nak", XDP_TX)
    assert lab.datapath.promise(SLOT) == promised
    for late in (0, now_boot_ns() - 1):
        current(lab, current_until_boot_ns=late)
        assert lab.judge(client) == ("pass_other_address", XDP_PASS, client.frame())
    current(lab, horizon_boot_ns=now_boot_ns() - 1)
    assert lab.judge(client) == ("pass_other_address", XDP_PASS, client.frame())


@pytest.mark.parametrize("client", NO_NAKS.values(), ids=NO_NAKS)
def test_no_nak(lab: Lab, client: Client) -> None:
    """What fits no state, names no address or none of our network is left to the agent (I9)."""
    current(lab)

    assert lab.judge(client) == ("pass_other_address", XDP_PASS, client.frame())


def test_no_nak_where_nobody_would_hear_it(lab: Lab) -> None:
    """A router does not hand a broadcast on to the client that it renewed for; a relay does."""
    current(lab)
    wrong = {"ciaddr": ADDRESS + 1, "src_ip": ADDRESS + 1}
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=(Ipv4(RELAY),)))

    assert lab.judge(ROUTED.but(**wrong)).counter == "pass_other_address"
    assert lab.judge(relayed(REBINDING).but(**wrong)).counter == "nak"


def test_a_nak_near_the_horizon(lab: Lab) -> None:
    """A NAK promises nothing: it needs a horizon, but no whole grant before its end."""
    current(lab, horizon_boot_ns=now_boot_ns() + 60 * SECOND)

    assert lab.judge(REBOOTING).counter == "pass_horizon"
    assert lab.judge(dhclient(REQUEST, (50, OTHER))).counter == "nak"


@pytest.mark.parametrize(("client", "counter"), HITS.values(), ids=HITS)
def test_hit(lab: Lab, client: Client, counter: str) -> None:
    """A request that follows all rules is answered and counted once."""
    judged = lab.judge(client)

    assert (counter, XDP_TX) == (judged.counter, judged.action)


@pytest.mark.parametrize("client", NOT_DHCP.values(), ids=NOT_DHCP)
def test_other_traffic(lab: Lab, client: Client) -> None:
    """What is not for the DHCP server port passes unchanged and uncounted."""
    judged = lab.judge(client)

    assert (None, XDP_PASS, client.frame()) == judged


@pytest.mark.parametrize("tags", [0, 1, 2])
@pytest.mark.parametrize("length", [14, 33, 34, 41, 42, 281])
def test_cut_off(lab: Lab, length: int, tags: int) -> None:
    """A frame that ends in the middle of its headers passes unchanged."""
    frame = GOOD.but(tags=((0x8100, 7),) * tags).frame()[: length + 4 * tags]

    judged = lab.judge(frame)

    assert ("pass_length" if length >= 42 else None, XDP_PASS, frame) == judged


@pytest.mark.parametrize("length", [15, 16, 17, 18, 19, 22, 26])
def test_cut_off_among_tags(lab: Lab, length: int) -> None:
    """A frame that ends between or behind its tags is no DHCP message."""
    frame = GOOD.but(tags=((0x8100, 7),) * 3).frame()[:length]

    assert (None, XDP_PASS, frame) == lab.judge(frame)


@pytest.mark.parametrize(("client", "counter"), MISSES.values(), ids=MISSES)
def test_miss(lab: Lab, client: Client, counter: str) -> None:
    """A request that breaks a rule passes unchanged, counted under that rule."""
    judged = lab.judge(client)

    assert (counter, XDP_PASS, client.frame()) == judged


@pytest.mark.parametrize(("change", "client", "counter"), TABLES.values(), ids=TABLES)
def test_miss_by_tables(
    lab: Lab, change: Callable[[Lab], None], client: Client, counter: str
) -> None:
    """A good request passes unchanged where the site's tables do not allow an answer."""
    change(lab)

    judged = lab.judge(client)

    assert (counter, XDP_PASS, client.frame()) == judged


def test_an_access_node_names_the_line(lab: Lab) -> None:
    """Option 82 of an access node is the line, comes back last, and the client is answered."""
    line = Line(IFINDEX, circuit=CIRCUIT[2:])
    _marked(KeyMode.CIRCUIT)(lab)
    key = key_of(Mac(CLIENT_MAC), line, KeyMode.CIRCUIT)
    lab.datapath.put(key, replace(BINDING, line=line, mac=Mac(CLIENT_MAC)))
    mark = (82, CIRCUIT + REMOTE)

    judged = lab.judge(dhclient(DISCOVER, mark))

    assert (judged.counter, judged.frame[:6]) == ("offer", CLIENT_MAC.to_bytes(6, "big"))
    assert bytes((82, len(mark[1]))) + mark[1] + b"\xff" in judged.frame
    assert lab.judge(dhclient(DISCOVER, (82, b"\x01\x01x"))).counter == "pass_unknown_client"
    _marked()(lab)
    assert lab.judge(dhclient(DISCOVER, mark)).counter == "offer"


def test_every_reason_is_tested() -> None:
    """The tables above name every counter but those that other modules are about."""
    named = {counter for _, counter in [*HITS.values(), *MISSES.values()]}
    named |= {counter for _, _, counter in TABLES.values()} | {"nak", "asked"}

    assert named == {counter for counter in Counter if not counter.startswith("drop")}


def test_agent_touching_in_the_future(lab: Lab) -> None:
    """A touch that is newer than the packet counts as now."""
    lab.set_state(touched_boot_ns=now_boot_ns() + 5 * SECOND)

    assert lab.judge(GOOD).counter == "offer"


def test_promise_precedes_the_ack(lab: Lab) -> None:
    """An ACK raises P to now + g, an OFFER and a miss leave it alone (I2)."""
    lab.datapath.put(KEY, replace(BINDING, slot=SLOT + 1))
    assert lab.judge(GOOD).counter == "offer"
    assert lab.judge(dhclient(REQUEST, (50, OTHER))).counter == "pass_other_address"
    assert lab.datapath.promise(SLOT + 1) == 0

    before = now_boot_ns()
    assert lab.judge(REBOOTING).counter == "ack"

    assert before <= lab.datapath.promise(SLOT + 1) - 3600 * SECOND <= now_boot_ns()


def test_promise_never_falls(lab: Lab) -> None:
    """A shorter grant, or the agent's own raise, leaves a later P where it is."""
    lab.datapath.put(KEY, replace(BINDING, slot=SLOT + 2))
    assert lab.judge(REBOOTING).counter == "ack"
    promised = lab.datapath.promise(SLOT + 2)

    lab.set_state(horizon_boot_ns=now_boot_ns() + 300 * SECOND)
    assert lab.judge(REBOOTING).counter == "ack"
    assert lab.datapath.raise_promise(SLOT + 2, 5)

    assert promised == lab.datapath.promise(SLOT + 2)


def test_value_of_another_subscriber(lab: Lab) -> None:
    """A value that moved to another key is not believed there."""
    moved = lab.datapath.lookup(KEY)
    assert moved is not None
    octets = lab.datapath._subscribers.get(KEY)
    assert octets is not None
    lab.datapath._subscribers.set(KEY + (1 << 40), octets)

    other = GOOD.but(mac=CLIENT_MAC + 1)

    assert lab.judge(other).counter == "pass_check_word"


def test_address_is_the_bindings(lab: Lab) -> None:
    """The reply carries the address of the table, not the one that the client asked for."""
    lab.datapath.put(KEY, replace(BINDING, ip=Ipv4(ADDRESS + 5)))

    judged = lab.judge(dhclient(DISCOVER, (50, OTHER)))

    assert judged.frame[58:62] == ip(ADDRESS + 5)
    assert lab.datapath.pool(POOL) == POOL_OPTIONS


def test_a_frame_is_put_to_the_program_again(lab: Lab) -> None:
    """It is answered and promised as from the wire; what is passed, or cannot be put, is not."""
    frame, on_the_wire = SELECTING.frame(), lab.judge(SELECTING).frame
    lab.datapath.remove(KEY)
    assert lab.datapath.judge_again(frame, IFINDEX) is None
    lab.datapath.put(KEY, replace(BINDING, slot=SLOT + 3))
    before = now_boot_ns()

    assert lab.datapath.judge_again(frame, IFINDEX) == on_the_wire
    assert lab.datapath.promise(SLOT + 3) >= before + LEASE_S * SECOND
    assert lab.datapath.judge_again(frame, 1 << 20) is None
    assert lab.datapath.judge_again(frame.ljust(9000, b"\0"), IFINDEX) is None
