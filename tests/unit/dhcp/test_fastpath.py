"""The judgement: every reason, their order, and what no octets may bring about."""

import dataclasses
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.fastpath import Verdict, decide, grant_s, judge
from edge_agent.dhcp.options import option
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import KeyMode, Line, Port, key_of, subscriber_key
from lease_core.domain.values import Ipv4, Mac, ip_from_text
from tests.unit.dhcp.clients import (
    ASSIGNMENT,
    DISCOVER,
    IFINDEX,
    INIT_REBOOT,
    IP,
    MAC,
    NOW,
    OTHER_IP,
    OTHER_SERVER,
    POOL,
    PORT_MAC,
    REBINDING,
    RELAY,
    RELAY_MAC,
    RENEWING,
    ROUTER_MAC,
    SECOND,
    SELECTING,
    SERVER,
    SLOT,
    STATE,
    Sent,
    requested,
    server,
    tables,
)

TAG = b"\x81\x00\x00\x64"


@dataclass(frozen=True)
class Fault:
    """One broken rule: changes of the frame (`area` is appended) and of the tables."""

    reason: Counter
    sent: dict[str, Any] = field(default_factory=dict)
    area: bytes = b""
    assignment: dict[str, Any] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    port: dict[str, Any] = field(default_factory=dict)
    bound: bool = True
    ifindex: int = IFINDEX


FAULTS = [
    Fault(Counter.PASS_PORT_UNKNOWN, ifindex=IFINDEX + 1),
    Fault(Counter.PASS_VLAN_TAGS, {"tags": TAG * 3}),
    Fault(Counter.PASS_IP_HEADER, {"version_ihl": 0x46}),
    Fault(Counter.PASS_FRAGMENT, {"fragment": 0x2000}),
    Fault(Counter.PASS_LENGTH, {"udp_len": 200}),
    Fault(Counter.PASS_CHECKSUM, {"ip_check": 1}),
    Fault(Counter.PASS_BOOTP_HEADER, {"cookie": 0}),
    Fault(Counter.PASS_OPTIONS, {"end": b""}),
    Fault(Counter.PASS_ETHERNET, {"dst_mac": MAC}),
    Fault(Counter.PASS_UNTRUSTED_RELAY, {"giaddr": RELAY}, port={"relays": ()}),
    Fault(Counter.PASS_UNTRUSTED_RELAY, area=option(82, b"\x01\x01x"), port={"relays": ()}),
    Fault(Counter.PASS_RELAY_UNKNOWN, {"giaddr": RELAY}, port={"relays": (OTHER_SERVER,)}),
    Fault(
        Counter.PASS_RELAYED,
        {"giaddr": RELAY},
        area=option(82, b"\x05\x04abcd"),
        port={"relays": (RELAY,)},
    ),
    Fault(Counter.PASS_CIRCUIT, port={"key": KeyMode.CIRCUIT, "relays": ()}),
    Fault(Counter.PASS_SOURCE_MAC, {"src_mac": RELAY_MAC}),
    Fault(Counter.PASS_MESSAGE_TYPE, {"kind": MessageType.DECLINE}),
    Fault(Counter.PASS_ABI, state={"abi_ok": False}),
    Fault(Counter.PASS_GATE_CLOSED, state={"gate": False}),
    Fault(Counter.PASS_AGENT_SILENT, state={"touched_boot_ns": NOW - 900 * SECOND - 1}),
    Fault(Counter.PASS_UNKNOWN_CLIENT, bound=False),
    Fault(Counter.PASS_CHECK_WORD, assignment={"check_ok": False}),
    Fault(Counter.PASS_OTHER_LINE, assignment={"line": Line(IFINDEX, 100)}),
    Fault(Counter.PASS_UNKNOWN_POOL, assignment={"pool_id": 9}),
    Fault(Counter.PASS_NOT_ADDRESSED, {"dst_ip": OTHER_SERVER}),
    Fault(Counter.PASS_OTHER_SERVER, area=server(OTHER_SERVER)),
    Fault(Counter.PASS_OTHER_ADDRESS, {"ciaddr": IP}),
    Fault(Counter.PASS_HORIZON, state={"horizon_boot_ns": NOW + 120 * SECOND - 1}),
    Fault(
        Counter.PASS_REPLY_SPACE,
        area=option(61, bytes(255)),
        pool={"options": POOL.options + option(43, bytes(90))},
    ),
    Fault(Counter.PASS_PROMISE, assignment={"slot": 999}),
]
"""In the order of the rules; each breaks one rule of an INIT-REBOOT that is otherwise answered."""


def judged(*faults: Fault) -> Verdict:
    """The verdict on an INIT-REBOOT with all these faults at once."""
    sent, assignment, state, pool = INIT_REBOOT, ASSIGNMENT, STATE, POOL
    for fault in faults:
        sent = replace(sent, **fault.sent, area=sent.area + fault.area)
        assignment = replace(assignment, **fault.assignment)
        state = replace(state, **fault.state)
        pool = replace(pool, **fault.pool)
    port = {name: value for fault in faults for name, value in fault.port.items()}
    made = tables(assignment if all(fault.bound for fault in faults) else None, pool, **port)
    made.set_state(state)
    return judge(sent.octets, max([IFINDEX, *(fault.ifindex for fault in faults)]), made, NOW)


def compatible_pairs() -> list[tuple[Fault, Fault]]:
    """Two faults, the earlier rule first, that do not change the same thing."""
    parts = ("sent", "assignment", "pool", "state", "port")
    return [
        (first, second)
        for first, second in combinations(FAULTS, 2)
        if all(not getattr(first, part).keys() & getattr(second, part).keys() for part in parts)
    ]


def test_a_sound_request_is_answered() -> None:
    """Without a fault the request of the table below is acknowledged."""
    assert judged().counter is Counter.ACK


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.reason)
def test_each_rule_has_its_reason(fault: Fault) -> None:
    """One broken rule gives its own reason and no reply."""
    assert judged(fault) == Verdict(fault.reason)


def test_the_table_of_faults_reaches_every_counter() -> None:
    """No reason to pass is left without a test."""
    passed = {counter for counter in Counter if counter.startswith("pass")}
    assert {fault.reason for fault in FAULTS} == passed


@pytest.mark.parametrize(
    ("first", "second"),
    compatible_pairs(),
    ids=lambda fault: fault.reason.removeprefix("pass_"),
)
def test_the_first_broken_rule_gives_the_reason(first: Fault, second: Fault) -> None:
    """Of two broken rules the earlier one of the specification is counted."""
    assert judged(first, second) == Verdict(first.reason)


ANSWERED = {
    "discover": (DISCOVER, Counter.OFFER),
    "discover asking for another address": (
        replace(DISCOVER, area=requested(OTHER_IP)),
        Counter.OFFER,
    ),
    "discover with ciaddr": (replace(DISCOVER, ciaddr=OTHER_IP), Counter.OFFER),
    "discover to our hardware address": (replace(DISCOVER, dst_mac=PORT_MAC), Counter.OFFER),
    "discover to us": (replace(DISCOVER, dst_ip=SERVER), Counter.OFFER),
    "selecting": (SELECTING, Counter.ACK),
    "init-reboot": (INIT_REBOOT, Counter.ACK),
    "renewing": (RENEWING, Counter.ACK),
    "rebinding": (REBINDING, Counter.ACK),
    "type behind other options": (
        replace(RENEWING, kind=None, area=option(61, b"\1abcdef") + option(12, b"h") + b"\x35\1\3"),
        Counter.ACK,
    ),
    "without padding": (replace(SELECTING, bootp_len=0), Counter.ACK),
    "with Ethernet padding": (replace(SELECTING, trailer=bytes(9)), Counter.ACK),
}

NOT_ANSWERED = {
    "discover for another server": (
        replace(DISCOVER, area=server(OTHER_SERVER)),
        Counter.PASS_OTHER_SERVER,
    ),
    "server 0.0.0.0": (
        replace(SELECTING, area=requested(IP) + server(Ipv4(0))),
        Counter.PASS_OTHER_SERVER,
    ),
    "selecting another address": (
        replace(SELECTING, area=requested(OTHER_IP) + server(SERVER)),
        Counter.PASS_OTHER_ADDRESS,
    ),
    "selecting without 50": (replace(SELECTING, area=server(SERVER)), Counter.PASS_OTHER_ADDRESS),
    "selecting with ciaddr": (replace(SELECTING, ciaddr=IP), Counter.PASS_OTHER_ADDRESS),
    "init-reboot to another address": (
        replace(INIT_REBOOT, area=requested(OTHER_IP)),
        Counter.PASS_OTHER_ADDRESS,
    ),
    "option 50 of 0.0.0.0 beside ciaddr": (
        replace(RENEWING, area=requested(Ipv4(0))),
        Counter.PASS_OTHER_ADDRESS,
    ),
    "renewing another address": (replace(RENEWING, ciaddr=OTHER_IP), Counter.PASS_OTHER_ADDRESS),
    "no address": (replace(RENEWING, ciaddr=Ipv4(0)), Counter.PASS_OTHER_ADDRESS),
    "renewing at another server": (
        replace(RENEWING, dst_ip=OTHER_SERVER),
        Counter.PASS_NOT_ADDRESSED,
    ),
    "release": (replace(RENEWING, kind=MessageType.RELEASE), Counter.PASS_MESSAGE_TYPE),
    "type inside the client id": (
        replace(RENEWING, kind=MessageType.RELEASE, area=option(61, b"\x35\x01\x03")),
        Counter.PASS_MESSAGE_TYPE,
    ),
    "no type": (replace(DISCOVER, kind=None), Counter.PASS_MESSAGE_TYPE),
    "type 0": (replace(DISCOVER, kind=0), Counter.PASS_MESSAGE_TYPE),
}


@pytest.mark.parametrize(("sent", "counter"), ANSWERED.values(), ids=ANSWERED)
def test_clients_are_answered(sent: Sent, counter: Counter) -> None:
    """A known subscriber on its line is answered in every state of RFC 2131 4.3.2."""
    verdict = judge(sent.octets, IFINDEX, tables(), NOW)
    assert verdict.counter is counter
    assert verdict.frame is not None


@pytest.mark.parametrize(("sent", "counter"), NOT_ANSWERED.values(), ids=NOT_ANSWERED)
def test_other_claims_are_passed(sent: Sent, counter: Counter) -> None:
    """A client that means another server or address is left to the agent."""
    assert judge(sent.octets, IFINDEX, tables(), NOW) == Verdict(counter)


@pytest.mark.parametrize("mac", [Mac(0), Mac(0x01_00_5E_00_00_01), Mac(0xFFFFFFFFFFFF)])
def test_a_group_address_is_no_client(mac: Mac) -> None:
    """A reply is never sent to everyone because somebody claims to be everyone."""
    sent = replace(DISCOVER, src_mac=mac, chaddr=mac.to_bytes(6, "big") + bytes(10))
    made = tables()
    made.put(subscriber_key(mac), ASSIGNMENT)
    assert judge(sent.octets, IFINDEX, made, NOW) == Verdict(Counter.PASS_SOURCE_MAC)


def test_other_traffic_is_not_judged() -> None:
    """What is not DHCP has no counter, on a port of ours or not."""
    octets = replace(DISCOVER, dst_port=53).octets
    assert judge(octets, IFINDEX, tables(), NOW) == Verdict(None)
    assert judge(octets, IFINDEX + 1, tables(), NOW) == Verdict(None)


@pytest.mark.parametrize("length", [0, 26, 513])
def test_options_that_are_no_pool_options_are_a_doubt(length: int) -> None:
    """An entry shorter than the template or longer than the map allows is not used."""
    made = tables(pool=replace(POOL, options=bytes(length)))
    assert judge(DISCOVER.octets, IFINDEX, made, NOW) == Verdict(Counter.PASS_UNKNOWN_POOL)


@pytest.mark.parametrize(
    ("remaining_ns", "granted_s"),
    [
        (-1, 0),
        (0, 0),
        (120 * SECOND - 1, 0),
        (120 * SECOND, 120),
        (121 * SECOND - 1, 120),
        (3600 * SECOND, 3600),
        (9999 * SECOND, 3600),
    ],
)
def test_a_grant_ends_before_the_horizon(remaining_ns: int, granted_s: int) -> None:
    """g = min(L, E - now) in whole seconds, and nothing where less than L_min is left (I6)."""
    assert grant_s(3600, NOW + remaining_ns, NOW) == granted_s


INFORMING = replace(REBINDING, kind=MessageType.INFORM)
WRONG = {
    "selecting": replace(SELECTING, area=requested(OTHER_IP) + server(SERVER)),
    "init-reboot": replace(INIT_REBOOT, area=requested(OTHER_IP)),
    "renewing": replace(RENEWING, ciaddr=OTHER_IP),
    "rebinding": replace(REBINDING, ciaddr=OTHER_IP),
}


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
def test_another_address_of_our_network_is_refused_while_the_log_is_current(sent: Sent) -> None:
    """A NAK is said by who knows better, and promises nothing (I9)."""
    made = tables(current_until_boot_ns=NOW + 1)
    assert judge(sent.octets, IFINDEX, made, NOW).counter is Counter.NAK
    assert made.promise(SLOT) == 0
    for doubt in (
        {"current_until_boot_ns": NOW},
        {"current_until_boot_ns": NOW + 1, "horizon_boot_ns": NOW},
    ):
        verdict = judge(sent.octets, IFINDEX, tables(**doubt), NOW)
        assert verdict == Verdict(Counter.PASS_OTHER_ADDRESS)


@pytest.mark.parametrize("ip", [Ipv4(0), ip_from_text("192.168.9.9")])
def test_what_is_no_address_of_our_network_is_left_to_the_agent(ip: Ipv4) -> None:
    """Another server may know it, and the pool's network is all that the tables tell (I9)."""
    made = tables(current_until_boot_ns=NOW + 1)
    for sent in (replace(INIT_REBOOT, area=requested(ip)), replace(RENEWING, ciaddr=ip)):
        verdict = judge(sent.octets, IFINDEX, made, NOW)
        assert verdict == Verdict(Counter.PASS_OTHER_ADDRESS)


def test_a_holder_is_informed() -> None:
    """An INFORM of who is bound here gets an ACK without a promise; of others, the agent's."""
    made = tables()
    verdict = judge(INFORMING.octets, IFINDEX, made, NOW)
    assert (verdict.counter, made.promise(SLOT)) == (Counter.INFORM_ACK, 0)
    other = judge(replace(INFORMING, ciaddr=OTHER_IP).octets, IFINDEX, made, NOW)
    assert other == Verdict(Counter.PASS_OTHER_ADDRESS)


def test_an_ack_is_promised_before_it_leaves() -> None:
    """P becomes now + g with the ACK and covers what option 51 tells (I2)."""
    made = tables(horizon_boot_ns=NOW + 700 * SECOND + 5)
    verdict = judge(RENEWING.octets, IFINDEX, made, NOW)
    assert verdict.frame is not None
    assert option(51, (700).to_bytes(4, "big")) in verdict.frame
    assert made.promise(SLOT) == NOW + 700 * SECOND


def test_a_promise_is_never_taken_back() -> None:
    """A shorter grant leaves the longer promise that somebody still relies on."""
    made = tables()
    assert made.raise_promise(SLOT, NOW + 9000 * SECOND)
    assert judge(RENEWING.octets, IFINDEX, made, NOW).counter is Counter.ACK
    assert made.promise(SLOT) == NOW + 9000 * SECOND


@pytest.mark.parametrize(
    "sent", [DISCOVER, replace(SELECTING, ciaddr=IP), replace(RENEWING, dst_ip=OTHER_SERVER)]
)
def test_only_an_ack_promises(sent: Sent) -> None:
    """An OFFER and a pass leave P as it was."""
    made = tables()
    judge(sent.octets, IFINDEX, made, NOW)
    assert made.promise(SLOT) == 0


def test_a_touch_from_the_future_counts_as_now() -> None:
    """The agent may touch the record between the reading of the clock and of the record."""
    made = tables(touched_boot_ns=NOW + 1000 * SECOND)
    assert judge(DISCOVER.octets, IFINDEX, made, NOW).counter is Counter.OFFER


def test_the_agent_answers_a_binding_on_a_further_line() -> None:
    """A MAC on two lines is two bindings; each is answered on its own line only (I8)."""
    made = tables()
    made.put_port(8, Port(PORT_MAC))
    further = subscriber_key(MAC, 1), replace(ASSIGNMENT, ip=OTHER_IP, line=Line(8), slot=4)
    made.put(*further)
    request = DISCOVER.request
    assert decide(request, 8, made, NOW).counter is Counter.PASS_OTHER_LINE
    assert decide(request, IFINDEX, made, NOW, further).counter is Counter.PASS_OTHER_LINE
    second = decide(request, 8, made, NOW, further)
    assert second.frame is not None
    assert OTHER_IP.to_bytes(4, "big") in second.frame


@pytest.mark.parametrize("sent", [DISCOVER, SELECTING, RENEWING])
def test_a_cut_frame_is_never_answered(sent: Sent) -> None:
    """Every shorter piece of a frame is passed; octets behind the packet do not matter."""
    octets = sent.octets
    for length in range(len(octets)):
        assert judge(octets[:length], IFINDEX, tables(), NOW).frame is None


@pytest.mark.parametrize("sent", [DISCOVER, SELECTING, RENEWING])
def test_a_cut_message_is_answered_only_with_its_end(sent: Sent) -> None:
    """With lengths that fit the cut, the answer comes exactly when END is still inside."""
    payload = sent.payload
    needed = len(replace(sent, bootp_len=0).payload)
    for length in range(241, len(payload) + 1):
        cut = replace(sent, total_len=28 + length, udp_len=8 + length).octets[: 42 + length]
        assert (judge(cut, IFINDEX, tables(), NOW).frame is not None) == (length >= needed)


LINES = {
    b"": Line(IFINDEX),
    b"\x81\x00\xe0\x00": Line(IFINDEX),
    b"\x81\x00\x00\x64": Line(IFINDEX, 100),
    b"\x88\xa8\xff\xfe": Line(IFINDEX, 4094),
    b"\x91\x00\x00\x07\x81\x00\x20\x64": Line(IFINDEX, 7, 100),
    b"\x88\xa8\x00\x07\x81\x00\x00\x07": Line(IFINDEX, 7, 7),
    b"\x88\xa8\x00\x64\x81\x00\x00\x07": Line(IFINDEX, 100, 7),
}


@pytest.mark.parametrize("tags", LINES, ids=bytes.hex)
def test_a_binding_answers_on_its_own_line_only(tags: bytes) -> None:
    """Of all lines a frame is answered on that of its tags, with the tags as they came (I8)."""
    sent = replace(DISCOVER, tags=tags)
    for line in set(LINES.values()):
        made = tables(replace(ASSIGNMENT, line=line))
        verdict = judge(sent.octets, IFINDEX, made, NOW)
        if line == LINES[tags]:
            assert verdict.frame is not None
            assert verdict.frame[12:].startswith(tags + b"\x08\x00\x45")
        else:
            assert verdict == Verdict(Counter.PASS_OTHER_LINE)


@pytest.mark.parametrize(
    "tags",
    [TAG * 3, b"\x81\x00\x00\x00" + TAG, b"\x81\x00\x0f\xff", TAG + b"\x81\x00\x0f\xff"],
    ids=["three", "behind 0", "reserved", "reserved inside"],
)
def test_doubtful_tags_are_passed(tags: bytes) -> None:
    """Tags that name no line for certain are counted and left alone."""
    sent = replace(DISCOVER, tags=tags)
    assert judge(sent.octets, IFINDEX, tables(), NOW) == Verdict(Counter.PASS_VLAN_TAGS)


def relayed(sent: Sent, info: bytes = b"\x01\x04port") -> Sent:
    area = sent.area + (option(82, info) if info else b"")
    return replace(sent, giaddr=RELAY, src_mac=RELAY_MAC, src_ip=RELAY, dst_ip=SERVER, area=area)


@pytest.mark.parametrize("info", [b"", b"\x01\x04port", b"\x0c\x02id\x01\x00\x02\x01r"])
@pytest.mark.parametrize("sent", [DISCOVER, SELECTING, INIT_REBOOT, REBINDING])
def test_a_relay_of_the_port_is_answered(sent: Sent, info: bytes) -> None:
    """What an allowed relay hands on is answered to the relay, option 82 last and unchanged."""
    made = tables(relays=(OTHER_SERVER, RELAY))
    frame = judge(relayed(sent, info).octets, IFINDEX, made, NOW).frame
    assert frame is not None
    assert frame[:6] == RELAY_MAC.to_bytes(6, "big")
    assert (frame[30:34], frame[36:38]) == (RELAY.to_bytes(4, "big"), b"\x00\x43")
    assert (option(82, info) if info else b"") + b"\xff" in frame


MARK = option(82, option(1, b"access 0/1/7:4") + option(2, b"\x02\xcc\0\0\0\1"))


@pytest.mark.parametrize("sent", [DISCOVER, SELECTING, RENEWING, REBINDING])
def test_an_access_node_marks_frames(sent: Sent) -> None:
    """They are answered as clients' own, option 82 last and unchanged, on the line named (I8)."""
    marked = replace(sent, area=sent.area + MARK)
    line = Line(IFINDEX, circuit=b"access 0/1/7:4")
    made = tables(None, key=KeyMode.CIRCUIT, trusted=True)
    made.put(key_of(MAC, line, KeyMode.CIRCUIT), replace(ASSIGNMENT, line=line, mac=MAC))
    frame = judge(marked.octets, IFINDEX, made, NOW).frame
    assert frame is not None
    assert (frame[:6], frame[36:38]) == (MAC.to_bytes(6, "big"), b"\x00\x44")
    assert MARK + b"\xff" in frame
    assert judge(sent.octets, IFINDEX, made, NOW) == Verdict(Counter.PASS_CIRCUIT)
    assert judge(marked.octets, IFINDEX, tables(trusted=True), NOW).frame is not None
    assert judge(marked.octets, IFINDEX, tables(), NOW) == Verdict(Counter.PASS_UNTRUSTED_RELAY)


@pytest.mark.parametrize(
    ("changes", "counter"),
    [
        ({"giaddr": RELAY}, Counter.PASS_UNTRUSTED_RELAY),
        ({"src_mac": RELAY_MAC}, Counter.PASS_SOURCE_MAC),
        ({"area": option(82, b"\x05\x04abcd")}, Counter.PASS_RELAYED),
    ],
)
def test_an_access_node_is_no_relay(changes: dict[str, Any], counter: Counter) -> None:
    """It names no address of its own and speaks for nobody; other wishes are left to the agent."""
    sent = replace(DISCOVER, area=MARK)
    made = tables(trusted=True)
    assert judge(replace(sent, **changes).octets, IFINDEX, made, NOW) == Verdict(counter)


def test_a_relay_may_broadcast() -> None:
    """A relay that knows no server by address reaches us too (RFC 1542 4.1.1)."""
    sent = replace(relayed(DISCOVER), dst_ip=Ipv4(0xFFFFFFFF))
    assert judge(sent.octets, IFINDEX, tables(relays=(RELAY,)), NOW).counter is Counter.OFFER


@pytest.mark.parametrize(("who", "mac"), [("src_mac", Mac(1 << 40)), ("src_mac", Mac(0))])
def test_a_relay_is_a_station(who: str, mac: Mac) -> None:
    """A reply is not sent to a group because a relay claims to be one."""
    sent = replace(relayed(DISCOVER), **{who: mac})
    verdict = judge(sent.octets, IFINDEX, tables(relays=(RELAY,)), NOW)
    assert verdict == Verdict(Counter.PASS_SOURCE_MAC)


def test_a_client_at_a_relay_port_is_left_to_the_agent() -> None:
    """Where relays stand, a message without giaddr comes from none of them."""
    verdict = judge(DISCOVER.octets, IFINDEX, tables(relays=(RELAY,)), NOW)
    assert verdict == Verdict(Counter.PASS_RELAY_UNKNOWN)


ROUTED = replace(RENEWING, src_mac=ROUTER_MAC)


@pytest.mark.parametrize("key", [KeyMode.MAC, KeyMode.LINE])
@pytest.mark.parametrize("flags", [0, 0x8000])
def test_a_renewal_through_a_router_goes_back_through_it(key: KeyMode, flags: int) -> None:
    """A client behind a relay renews by unicast, past the relay (RFC 2131 4.4.5)."""
    made = tables(None, relays=(RELAY,), key=key)
    made.put(key_of(MAC, ASSIGNMENT.line, key), replace(ASSIGNMENT, mac=MAC))
    verdict = judge(replace(ROUTED, flags=flags).octets, IFINDEX, made, NOW)
    assert verdict.frame is not None
    assert verdict.counter is Counter.ACK
    assert verdict.frame[:6] == ROUTER_MAC.to_bytes(6, "big")
    assert (verdict.frame[30:34], verdict.frame[36:38]) == (IP.to_bytes(4, "big"), b"\x00\x44")


PAST_THE_RELAYS = {
    "by broadcast": ({"dst_ip": Ipv4(0xFFFFFFFF)}, Counter.PASS_RELAY_UNKNOWN),
    "from another address": ({"src_ip": OTHER_IP}, Counter.PASS_RELAY_UNKNOWN),
    "from no address": ({"ciaddr": Ipv4(0), "src_ip": Ipv4(0)}, Counter.PASS_RELAY_UNKNOWN),
    "with option 82": ({"area": option(82, b"\x01\x01c")}, Counter.PASS_RELAY_UNKNOWN),
    "with option 50": ({"area": requested(IP)}, Counter.PASS_RELAY_UNKNOWN),
    "with option 54": ({"area": server(SERVER)}, Counter.PASS_RELAY_UNKNOWN),
    "a discover": ({"kind": MessageType.DISCOVER}, Counter.PASS_RELAY_UNKNOWN),
    "a decline": ({"kind": MessageType.DECLINE}, Counter.PASS_RELAY_UNKNOWN),
    "a release": (
        {"kind": MessageType.RELEASE, "area": server(SERVER)},
        Counter.PASS_MESSAGE_TYPE,
    ),
    "a release by broadcast": (
        {"kind": MessageType.RELEASE, "dst_ip": Ipv4(0xFFFFFFFF)},
        Counter.PASS_RELAY_UNKNOWN,
    ),
    "an inform by broadcast": (
        {"kind": MessageType.INFORM, "dst_ip": Ipv4(0xFFFFFFFF)},
        Counter.PASS_RELAY_UNKNOWN,
    ),
    "a relay that is not allowed": ({"giaddr": OTHER_SERVER}, Counter.PASS_RELAY_UNKNOWN),
    "a router that is a group": ({"src_mac": Mac(1 << 40)}, Counter.PASS_SOURCE_MAC),
    "a router that is nobody": ({"src_mac": Mac(0)}, Counter.PASS_SOURCE_MAC),
    "another address": ({"ciaddr": OTHER_IP, "src_ip": OTHER_IP}, Counter.PASS_OTHER_ADDRESS),
    "another server": ({"dst_ip": OTHER_SERVER}, Counter.PASS_NOT_ADDRESSED),
    "another line": ({"tags": TAG}, Counter.PASS_OTHER_LINE),
}


@pytest.mark.parametrize(("changes", "counter"), PAST_THE_RELAYS.values(), ids=PAST_THE_RELAYS)
def test_nothing_else_comes_past_the_relays(changes: dict[str, Any], counter: Counter) -> None:
    """What is no renewal by unicast, from the address itself, is left to the agent."""
    sent = replace(ROUTED, **changes)
    assert judge(sent.octets, IFINDEX, tables(relays=(RELAY,)), NOW) == Verdict(counter)


def test_a_router_stands_beside_relays_only() -> None:
    """On a port of clients the Ethernet source is the client; of circuits, who names it?"""
    assert judge(ROUTED.octets, IFINDEX, tables(), NOW) == Verdict(Counter.PASS_SOURCE_MAC)
    made = tables(relays=(RELAY,), key=KeyMode.CIRCUIT)
    assert judge(ROUTED.octets, IFINDEX, made, NOW) == Verdict(Counter.PASS_CIRCUIT)


CIRCUITS: dict[str, Line] = {
    "mine": Line(IFINDEX, giaddr=RELAY, circuit=b"access 0/1/7:4"),
    "one octet more": Line(IFINDEX, giaddr=RELAY, circuit=b"access 0/1/7:4\0"),
    "one octet less": Line(IFINDEX, giaddr=RELAY, circuit=b"access 0/1/7:"),
    "at another relay": Line(IFINDEX, giaddr=OTHER_SERVER, circuit=b"access 0/1/7:4"),
    "the longest": Line(IFINDEX, giaddr=RELAY, circuit=bytes(range(64))),
}


def on_circuit(line: Line) -> Sent:
    return replace(relayed(DISCOVER, option(1, line.circuit)), giaddr=line.giaddr)


def test_by_circuit_every_line_of_a_mac_has_its_own_binding() -> None:
    """One MAC on many circuits is answered on each with that circuit's address."""
    made = tables(None, relays=(RELAY, OTHER_SERVER), key=KeyMode.CIRCUIT)
    for slot, line in enumerate(CIRCUITS.values()):
        binding = replace(ASSIGNMENT, ip=Ipv4(IP + slot), slot=slot, line=line, mac=MAC)
        made.put(key_of(MAC, line, KeyMode.CIRCUIT), binding)
    for slot, line in enumerate(CIRCUITS.values()):
        frame = judge(on_circuit(line).octets, IFINDEX, made, NOW).frame
        assert frame is not None
        assert frame[58:62] == (IP + slot).to_bytes(4, "big")


def test_by_line_every_line_of_a_mac_has_its_own_binding() -> None:
    """One MAC on many VLANs is answered on each with that line's address."""
    made = tables(None, key=KeyMode.LINE)
    for slot, line in enumerate(set(LINES.values())):
        binding = replace(ASSIGNMENT, ip=Ipv4(IP + slot), slot=slot, line=line, mac=MAC)
        made.put(key_of(MAC, line, KeyMode.LINE), binding)
        for tags in (tags for tags, own in LINES.items() if own == line):
            frame = judge(replace(DISCOVER, tags=tags).octets, IFINDEX, made, NOW).frame
            assert frame is not None
            at = 58 + len(tags)
            assert frame[at : at + 4] == (IP + slot).to_bytes(4, "big")


@pytest.mark.parametrize("mode", [KeyMode.LINE, KeyMode.CIRCUIT])
@pytest.mark.parametrize(
    "stranger",
    [
        {"mac": Mac(MAC + 1)},
        {"mac": Mac(0)},
        {"line": Line(IFINDEX, 7)},
        {"line": Line(IFINDEX + 1, giaddr=RELAY, circuit=b"port")},
        {"line": Line(IFINDEX, giaddr=RELAY, circuit=b"pork")},
        {"line": Line(IFINDEX, giaddr=OTHER_SERVER, circuit=b"port")},
    ],
)
def test_a_key_alone_is_no_proof(mode: KeyMode, stranger: dict[str, Any]) -> None:
    """A value under the right key that is another's is left alone, and no MAC heals it."""
    sent = relayed(DISCOVER) if mode is KeyMode.CIRCUIT else DISCOVER
    made = tables(relays=(RELAY,) if mode is KeyMode.CIRCUIT else (), key=mode)
    line = (
        Line(IFINDEX, giaddr=RELAY, circuit=b"port") if mode is KeyMode.CIRCUIT else Line(IFINDEX)
    )
    own = replace(ASSIGNMENT, line=line, mac=MAC)
    made.put(key_of(MAC, line, mode), own)
    assert judge(sent.octets, IFINDEX, made, NOW).counter is Counter.OFFER
    made.put(key_of(MAC, line, mode), replace(own, **stranger))
    assert judge(sent.octets, IFINDEX, made, NOW) == Verdict(Counter.PASS_OTHER_LINE)


@pytest.mark.parametrize(
    "info", [b"", b"\x02\x01r", b"\x01\x00", option(1, bytes(65))],
    ids=["no option 82", "no circuit", "an empty one", "65 octets"],
)  # fmt: skip
def test_a_circuit_that_names_no_line_is_passed(info: bytes) -> None:
    """Without a circuit id of 1 to 64 octets a port in mode `CIRCUIT` answers nobody."""
    made = tables(relays=(RELAY,), key=KeyMode.CIRCUIT)
    assert judge(relayed(DISCOVER, info).octets, IFINDEX, made, NOW) == Verdict(
        Counter.PASS_CIRCUIT
    )


@pytest.mark.parametrize(
    ("max_size", "counter"),
    [
        (None, Counter.PASS_REPLY_SPACE),
        (0, Counter.PASS_REPLY_SPACE),
        (635, Counter.PASS_REPLY_SPACE),
        (636, Counter.OFFER),
        (65535, Counter.OFFER),
    ],
)
def test_a_client_may_take_longer_replies(max_size: int | None, counter: Counter) -> None:
    """A reply of 636 octets of IP goes to a client whose option 57 allows it (RFC 2132 9.10)."""
    client_id = option(61, bytes(150))
    vendor = 636 - 28 - 240 - len(POOL.options) - 2 - len(client_id) - 1
    options = POOL.options + option(43, bytes(vendor))
    area = client_id
    if max_size is not None:
        area += option(57, max_size.to_bytes(2, "big"))
    sent = replace(DISCOVER, area=area)
    made = tables(pool=replace(POOL, options=options))
    assert judge(sent.octets, IFINDEX, made, NOW).counter is counter


def sound(verdict: Verdict) -> bool:
    """A reply if and only if it is counted as one."""
    return (verdict.frame is not None) == (verdict.counter in (Counter.OFFER, Counter.ACK))


@given(st.binary(max_size=400), st.sampled_from([IFINDEX, 0, 99]))
def test_judge_is_total(octets: bytes, ifindex: int) -> None:
    """No octets from the wire make it raise or answer what is no request."""
    assert judge(octets, ifindex, tables(), NOW).frame is None


@given(
    st.sampled_from([DISCOVER, SELECTING, INIT_REBOOT, RENEWING, REBINDING]),
    st.lists(st.tuples(st.integers(0, 341), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_judge_of_damaged_frames(sent: Sent, damage: list[tuple[int, int]]) -> None:
    """A damaged frame is passed, or answered to its own sender about its own binding only."""
    octets = bytearray(sent.octets)
    for at, value in damage:
        octets[at] = value
    made = tables()
    verdict = judge(bytes(octets), IFINDEX, made, NOW)
    assert sound(verdict)
    if verdict.frame is not None:
        assert verdict.frame[:6] in (MAC.to_bytes(6, "big"), b"\xff" * 6)
        assert verdict.frame[58:62] == IP.to_bytes(4, "big")
        assert made.promise(SLOT) == (NOW + 3600 * SECOND) * (verdict.counter is Counter.ACK)


_ADDRESSES = st.sampled_from(
    [Ipv4(0), IP, OTHER_IP, SERVER, OTHER_SERVER, ip_from_text("255.255.255.255")]
)


@given(
    kind=st.integers(0, 9),
    ciaddr=_ADDRESSES,
    dst_ip=_ADDRESSES,
    flags=st.sampled_from([0, 0x8000]),
    fifty=st.none() | _ADDRESSES,
    fifty_four=st.none() | _ADDRESSES,
)
def test_judge_agrees_with_the_table_of_states(
    kind: int,
    ciaddr: Ipv4,
    dst_ip: Ipv4,
    flags: int,
    fifty: Ipv4 | None,
    fifty_four: Ipv4 | None,
) -> None:
    """Answered if and only if the fields are one of the lines of the specification's table."""
    area = b"" if fifty is None else requested(fifty)
    area += b"" if fifty_four is None else server(fifty_four)
    sent = Sent(kind=kind, ciaddr=ciaddr, dst_ip=dst_ip, flags=flags, area=area)
    counter = judge(sent.octets, IFINDEX, tables(), NOW).counter
    to_us = dst_ip in (SERVER, 0xFFFFFFFF) and fifty_four in (None, SERVER)
    from_newcomer = ciaddr == 0 and fifty == IP
    from_holder = ciaddr == IP and fifty is None and fifty_four is None
    assert (counter is Counter.OFFER) == (to_us and kind == 1)
    assert (counter is Counter.ACK) == (to_us and kind == 3 and (from_newcomer or from_holder))


def test_a_request_is_parsed_once() -> None:
    """What `parse_request` gives can be decided later with the same verdict."""
    request = parse_request(SELECTING.octets)
    assert isinstance(request, Request)
    assert decide(request, IFINDEX, tables(), NOW) == judge(
        SELECTING.octets, IFINDEX, tables(), NOW
    )


def test_verdicts_are_values() -> None:
    """A verdict cannot be changed on its way to the socket."""
    verdict = judge(DISCOVER.octets, IFINDEX, MemoryDatapath(), NOW)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.frame = b""  # type: ignore[misc]
