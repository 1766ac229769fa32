"""Fifteen frames that other fast paths get wrong: an expired lease, a stolen address, a reflector.

Each is answered rightly or left alone, octet for octet. What else was promised of the program is
tested elsewhere: 300 octets as clients send them, and every reason, in `test_verdicts`; replies
octet for octet in `test_replies`, `test_access` and `test_differential`; grant, horizon and promise
there too; the check word in `test_race`; map shapes in `test_abi` and `test_datapath`.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.dhcp.options import option
from edge_agent.dhcp.tables import Line, Port
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, KEY, SECOND, Lab, now_boot_ns
from tests.packets import (
    CIRCUIT,
    CLIENT_MAC,
    DISCOVER,
    PORT_MAC,
    RELAY,
    RELEASE,
    REQUEST,
    SERVER,
    Client,
    dhclient,
    ip,
    relayed,
)

RENEWING = dhclient(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)
SELECTING = dhclient(REQUEST, (50, ip(ADDRESS)), (54, ip(SERVER)))
GOOD = dhclient(DISCOVER)


def nothing(lab: Lab) -> None:
    """The site is as it should be."""


def horizon_was_yesterday(lab: Lab) -> None:
    lab.set_state(horizon_boot_ns=max(1, now_boot_ns() - 86_400 * SECOND))


def ten_seconds_left(lab: Lab) -> None:
    lab.set_state(horizon_boot_ns=now_boot_ns() + 10 * SECOND)


def bound_to_a_vlan(lab: Lab) -> None:
    lab.datapath.put(KEY, replace(BINDING, line=Line(IFINDEX, 100)))


def behind_a_relay(lab: Lab) -> None:
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=(Ipv4(RELAY),)))


PROBES: dict[str, tuple[Callable[[Lab], None], Client, str]] = {
    "the lease ended a day ago": (horizon_was_yesterday, RENEWING, "pass_horizon"),
    "ten seconds are left": (ten_seconds_left, RENEWING, "pass_horizon"),
    "another address is asked for": (
        nothing, dhclient(REQUEST, (50, ip(ADDRESS + 1)), (54, ip(SERVER))), "pass_other_address",
    ),
    "another server is selected": (
        nothing, dhclient(REQUEST, (50, ip(ADDRESS)), (54, ip(SERVER + 9))), "pass_other_server",
    ),
    "a renewal on its way to another server": (
        nothing, RENEWING.but(dst_ip=SERVER + 9), "pass_not_addressed",
    ),
    "a later fragment": (nothing, SELECTING.but(fragment=0x00B9), "pass_fragment"),
    "an IP header with options": (
        nothing, GOOD.but(version_ihl=0x46, ip_options=b"\x94\x04\0\0"), "pass_ip_header",
    ),
    "a forged relay address": (nothing, GOOD.but(giaddr=RELAY), "pass_untrusted_relay"),
    "a forged option 82": (nothing, dhclient(DISCOVER, (82, CIRCUIT)), "pass_untrusted_relay"),
    "option 82 of a relay": (behind_a_relay, relayed(GOOD, CIRCUIT), "offer"),
    "few options": (nothing, Client(bootp_len=0), "offer"),
    "few options, and a stranger": (
        nothing, Client(bootp_len=0, mac=CLIENT_MAC + 1), "pass_unknown_client",
    ),
    "the type behind other options": (
        nothing,
        Client(options=((61, b"\x01" + CLIENT_MAC.to_bytes(6, "big")), (12, b"subscriber"),
                        (53, bytes((DISCOVER,))))),
        "offer",
    ),
    "a release that looks like a request inside": (
        nothing, dhclient(RELEASE, (61, b"\x35\x01\x03\x35\x01\x01")), "pass_message_type",
    ),
    "a long hardware address": (nothing, GOOD.but(hlen=16), "pass_bootp_header"),
    "another hardware type": (nothing, GOOD.but(htype=32), "pass_bootp_header"),
    "sent by another": (nothing, GOOD.but(src_mac=CLIENT_MAC + 1), "pass_source_mac"),
    "bound to a VLAN, asked without": (bound_to_a_vlan, GOOD, "pass_other_line"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "client", "counter"), PROBES.values(), ids=PROBES)
def test_probe(lab: Lab, change: Callable[[Lab], None], client: Client, counter: str) -> None:
    """The frame gets the verdict beside it, and unless answered stays as it was."""
    change(lab)
    promised = lab.datapath.promise(BINDING.slot)

    judged = lab.judge(client)

    assert judged.counter == counter
    if not judged.is_answered:
        assert judged.frame == client.frame()
        assert lab.datapath.promise(BINDING.slot) == promised


def test_option_82_comes_back(lab: Lab) -> None:
    """What a relay wrote is the last option of the reply (RFC 3046 2.2)."""
    behind_a_relay(lab)

    reply = lab.judge(relayed(GOOD, CIRCUIT)).frame

    assert reply.rstrip(b"\0").endswith(option(82, CIRCUIT) + b"\xff")
