"""Limits of what the kernel passes up: floods are dropped, and cost nobody else anything.

Buckets outlive a test, so each test has VLANs of its own.
"""

import random
import time
from collections import Counter
from dataclasses import replace

import pytest

from edge_agent.datapath.abi import SHARED_BURST
from edge_agent.datapath.dry_run import XDP_DROP, XDP_PASS, XDP_TX
from edge_agent.dhcp.tables import NO_LIMIT, KeyMode, Limit, Line, Port, key_of
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, Lab
from tests.packets import (
    CLIENT_MAC,
    DECLINE,
    DISCOVER,
    INFORM,
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

FLOOD = 100_000
SLOW = Limit(1, 10)
"""A burst of ten, and then so slowly that a test sees none of it."""

RENEWING = dhclient(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)
STRANGER = CLIENT_MAC + 0x1000


def limit(lab: Lab, line: Limit = NO_LIMIT, mac: Limit = NO_LIMIT, **more: object) -> None:
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), line_limit=line, mac_limit=mac, **more))  # type: ignore[arg-type]


def stranger(vlan: int, number: int = 0, kind: int = DISCOVER) -> Client:
    return dhclient(kind, mac=STRANGER + number).but(tags=((0x8100, vlan),))


def counters_of(lab: Lab, *clients: Client) -> list[str | None]:
    return [lab.judge(client).counter for client in clients]


def test_a_flood_of_random_macs_is_bounded(lab: Lab) -> None:
    """Of 100,000 strangers the burst and the rate come up; known clients renew all the while."""
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    pick, allowed = random.Random(seed), Limit(100, 2000)
    limit(lab, allowed, Limit(5, 20))
    frame, renewal = bytearray(dhclient(DISCOVER).frame()), RENEWING.frame()
    before, started = lab.datapath.counters(), time.monotonic()

    actions = []
    for number in range(FLOOD):
        frame[6:12] = frame[70:76] = b"\x02" + pick.randbytes(5)
        actions.append(lab.datapath.test_run(bytes(frame), IFINDEX)[0])
        if number % 500 == 0:
            assert lab.datapath.test_run(renewal, IFINDEX)[0] == XDP_TX
    took_s = time.monotonic() - started

    passed, dropped = actions.count(XDP_PASS), actions.count(XDP_DROP)
    assert (passed + dropped, actions[0]) == (FLOOD, XDP_PASS)
    assert allowed.burst <= passed <= allowed.burst + took_s * allowed.rate_per_s + 1
    assert lab.datapath.counters()["drop_line_rate"] - before["drop_line_rate"] == dropped


def test_another_line_is_not_affected(lab: Lab) -> None:
    """When a line's tokens are used up, those of its neighbours are not."""
    limit(lab, line=SLOW)
    flood = counters_of(lab, *(stranger(11, number) for number in range(20)))

    assert flood == ["pass_unknown_client"] * 10 + ["drop_line_rate"] * 10
    assert counters_of(lab, stranger(12)) == ["pass_unknown_client"]


def test_discovers_do_not_use_up_what_others_need(lab: Lab) -> None:
    """Requests and releases have tokens of their own, which what cannot be read does not take."""
    limit(lab, line=SLOW)
    unread = stranger(13).but(area=b"\x35\x01\x03", bootp_len=0)
    for number in range(10):
        assert lab.judge(stranger(13, number) if number % 2 else unread).action == XDP_PASS

    request, release = (stranger(13, kind=kind) for kind in (REQUEST, RELEASE))
    request = request.with_option(50, ip(ADDRESS))
    assert counters_of(lab, stranger(13), unread, request, release) == [
        "drop_line_rate", "drop_line_rate", "pass_unknown_client", "pass_message_type",
    ]  # fmt: skip


def test_a_mac_has_a_limit_on_its_line(lab: Lab) -> None:
    """Who asks too often is dropped; he uses up neither his line's tokens nor another's."""
    limit(lab, line=Limit(1, 12), mac=SLOW)
    often = counters_of(lab, *(stranger(14) for _ in range(20)))

    assert often == ["pass_unknown_client"] * 10 + ["drop_mac_rate"] * 10
    assert counters_of(lab, *(stranger(14, number) for number in (1, 2, 3))) == [
        "pass_unknown_client", "pass_unknown_client", "drop_line_rate",
    ]  # fmt: skip
    assert counters_of(lab, stranger(15)) == ["pass_unknown_client"]


def test_circuits_are_lines(lab: Lab) -> None:
    """Behind a relay in mode CIRCUIT a circuit has tokens of its own."""
    limit(lab, line=SLOW, relays=(Ipv4(RELAY),), key=KeyMode.CIRCUIT)
    one, other = (relayed(dhclient(DISCOVER, mac=STRANGER), b"\x01\x01" + c) for c in (b"a", b"b"))
    for _ in range(10):
        assert lab.judge(one).action == XDP_PASS

    assert counters_of(lab, one, other) == ["drop_line_rate", "pass_unknown_client"]


def at_circuit(circuit: bytes, kind: int) -> Client:
    return relayed(dhclient(kind, mac=STRANGER), b"\x01" + bytes((len(circuit),)) + circuit)


@pytest.mark.parametrize("kind", [RELEASE, DECLINE, INFORM])
def test_every_message_takes_of_its_own_circuit(lab: Lab, kind: int) -> None:
    """A circuit's releases, declines and informs use up its own tokens and nobody else's (I12)."""
    limit(lab, line=SLOW, relays=(Ipv4(RELAY),), key=KeyMode.CIRCUIT)
    one, other = (at_circuit(which + bytes((kind,)), kind) for which in (b"one", b"other"))

    passed = "pass_unknown_client" if kind == INFORM else "pass_message_type"
    assert counters_of(lab, *[one] * 11) == [passed] * 10 + ["drop_line_rate"]
    assert counters_of(lab, other) == [passed]


def test_where_no_circuit_is_read_many_share_a_limit(lab: Lab) -> None:
    """Messages of nobody's circuit are held by the limit of a shared line, not by a circuit's."""
    limit(lab, line=SLOW, relays=(Ipv4(RELAY),), key=KeyMode.CIRCUIT)
    nowhere = relayed(dhclient(DISCOVER, mac=STRANGER), b"").but(tags=((0x8100, 17),)).frame()

    sent = 4 * SHARED_BURST
    counted = Counter(lab.datapath.test_run(nowhere, IFINDEX)[0] for _ in range(sent))

    assert SHARED_BURST <= counted[XDP_PASS] < sent == counted.total()


@pytest.mark.parametrize("key", [KeyMode.MAC, KeyMode.LINE])
def test_strangers_do_not_use_up_what_the_bound_need(lab: Lab, key: KeyMode) -> None:
    """A flood of REQUESTs leaves tokens to a MAC that is bound on the line, whatever it says."""
    line = Line(IFINDEX, 18 + key)
    lab.datapath.put(
        key_of(Mac(CLIENT_MAC), line, key), replace(BINDING, line=line, mac=Mac(CLIENT_MAC))
    )
    limit(lab, line=SLOW, key=key)
    wish = (50, ip(ADDRESS))
    flood = (stranger(18 + key, n, REQUEST).with_option(*wish) for n in range(20))
    assert counters_of(lab, *flood)[-1] == "drop_line_rate"
    lab.set_state(gate=False)

    bound = (stranger(18 + key, kind=kind).but(mac=CLIENT_MAC) for kind in (DISCOVER, RELEASE))
    forged = stranger(18 + key).but(mac=CLIENT_MAC, src_mac=STRANGER, options=((53, b"\x07"),))
    assert counters_of(lab, *bound, forged) == [
        "pass_gate_closed", "pass_message_type", "drop_line_rate",
    ]  # fmt: skip


def test_tokens_come_back(lab: Lab) -> None:
    """A bucket fills up by its rate."""
    limit(lab, line=Limit(1000, 1))
    deadline = time.monotonic() + 10
    assert lab.judge(stranger(16)).action == XDP_PASS
    while lab.judge(stranger(16)).action != XDP_PASS:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("known", [RENEWING, dhclient(DISCOVER)])
def test_answers_take_no_tokens(lab: Lab, known: Client) -> None:
    """What is answered here is answered as often as it is asked."""
    limit(lab, line=SLOW, mac=SLOW)
    assert all(lab.judge(known).is_answered for _ in range(50))
