"""The oracle finds what is wrong with a reply: every rule of it, one broken reply at a time."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.fastpath import judge
from edge_agent.dhcp.tables import Port, SiteState
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.corpus import all_frames
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, KEY, LEASE_S, POOL, POOL_OPTIONS, SECOND
from tests.kernel.mutators import AREA_AT, mend, options_of
from tests.kernel.oracle import Bound, Facts, Stocked, complaints
from tests.packets import (
    BROADCAST_IP,
    CLIENT_MAC,
    DISCOVER,
    INFORM,
    PORT_MAC,
    RELAY,
    REQUEST,
    SERVER,
    Client,
    checksum,
    ip,
    relayed,
    udhcpc,
)

MAC = CLIENT_MAC.to_bytes(6, "big")
NOW = 1000 * SECOND
BOUND = Bound(ADDRESS, SERVER, LEASE_S, POOL_OPTIONS.network, POOL_OPTIONS.netmask)
FACTS = Facts(
    port_mac=PORT_MAC.to_bytes(6, "big"),
    relays=frozenset(),
    is_by_circuit=False,
    is_marked=False,
    horizon_ns=NOW + 7200 * SECOND,
    current_until_ns=NOW + 5 * SECOND,
    ifindex=IFINDEX,
    is_open=True,
    bound={(MAC, (IFINDEX, 0, 0, 0, b"")): {BOUND}},
)
ASKED = udhcpc(REQUEST, (50, ip(ADDRESS)), (54, ip(SERVER))).but(xid=0x01020304)
RENEWING = udhcpc(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)


def answer(frame: bytes, relays: tuple[Ipv4, ...] = ()) -> bytes:
    """A sound reply to a request."""
    tables = MemoryDatapath()
    tables.put(KEY, BINDING)
    tables.put_pool(POOL, POOL_OPTIONS)
    tables.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=relays))
    tables.set_state(
        SiteState(
            gate=True,
            horizon_boot_ns=FACTS.horizon_ns,
            touched_boot_ns=NOW,
            current_until_boot_ns=FACTS.current_until_ns,
        )
    )
    reply = judge(frame, IFINDEX, tables, NOW).frame
    assert reply
    return reply


def sealed(reply: bytearray) -> bytes:
    """With lengths and checksums that fit again."""
    octets = bytearray(mend(reply))
    octets[24:26] = octets[40:42] = b"\0\0"
    octets[24:26] = checksum(bytes(octets[14:34])).to_bytes(2, "big")
    pseudo = bytes(octets[26:34]) + b"\0\x11" + octets[38:40]
    octets[40:42] = checksum(pseudo + bytes(octets[34:])).to_bytes(2, "big")
    return bytes(octets)


def octet(at: int, value: int | None = None) -> Callable[[bytes], bytes]:
    """Change an octet of the reply, and nothing else is wrong with it."""

    def change(reply: bytes) -> bytes:
        octets = bytearray(reply)
        octets[at] = octets[at] ^ 1 if value is None else value
        return sealed(octets)

    return change


def torn(at: int) -> Callable[[bytes], bytes]:
    """Change an octet without mending checksums."""
    return lambda reply: reply[:at] + bytes((reply[at] ^ 1,)) + reply[at + 1 :]


def with_options(*changes: tuple[int, bytes | None]) -> Callable[[bytes], bytes]:
    """Replace options, leave out those of value None, and put new ones before END."""

    def change(reply: bytes) -> bytes:
        found = dict(options_of(reply[AREA_AT:]))
        for code, value in changes:
            found.pop(code, None)
            if value is not None:
                found[code] = value
        area = b"".join(bytes((c, len(v))) + v for c, v in found.items()) + b"\xff"
        return sealed(bytearray(reply[:AREA_AT] + area.ljust(60, b"\0")))

    return change


def seconds(number: float) -> bytes:
    return struct.pack("!I", int(number))


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "another tag": (lambda r: r[:12] + b"\x81\0\0\x07" + r[12:], "other VLAN tags"),
    "another source": (octet(11), "hardware address"),
    "not UDP": (octet(23, 6), "no plain UDP"),
    "octets behind": (lambda r: r + b"x", "behind the packet"),
    "a fragment": (octet(20, 0x20), "fragment"),
    "no hops": (octet(22, 0), "no hops left"),
    "checksum of IP": (torn(24), "checksum of IP"),
    "checksum of UDP": (torn(40), "checksum of UDP"),
    "no checksum of UDP": (lambda r: r[:40] + b"\0\0" + r[42:], "checksum of UDP"),
    "length of UDP": (torn(39), "length of UDP"),
    "too long": (lambda r: sealed(bytearray(r + bytes(300))), "longer than the client takes"),
    "too short": (lambda r: sealed(bytearray(r[:-1])), "shorter than clients take"),
    "a request": (octet(42, 1), "no reply"),
    "hops": (octet(45, 1), "no reply"),
    "another transaction": (octet(46), "other xid"),
    "another flag": (octet(52), "other xid or flags"),
    "secs": (octet(51, 1), "secs or siaddr"),
    "ciaddr": (octet(57, 1), "wrong ciaddr"),
    "siaddr": (octet(65, 1), "secs or siaddr"),
    "giaddr": (octet(69, 1), "another client"),
    "chaddr": (octet(72), "another client"),
    "padding of chaddr": (octet(80), "another client"),
    "sname": (octet(90), "sname or file"),
    "file": (octet(200), "sname or file"),
    "cookie": (octet(278, 0), "magic cookie"),
    "another destination": (octet(33), "delivered elsewhere"),
    "another receiver": (octet(5), "delivered elsewhere"),
    "another port": (octet(37, 67), "delivered elsewhere"),
    "from another port": (octet(35, 68), "not from port 67"),
    "no lease time": (with_options((51, None)), "is missing"),
    "no server": (with_options((54, None)), "is missing"),
    "requested address": (with_options((50, ip(ADDRESS))), "no place here"),
    "parameter list": (with_options((55, b"\x01")), "no place here"),
    "size": (with_options((57, b"\x05\xdc")), "no place here"),
    "overload": (with_options((52, b"\x01")), "no place here"),
    "no client id": (with_options((61, None)), "client id changed"),
    "another client id": (with_options((61, b"\x01other")), "client id changed"),
    "an option 82": (with_options((82, b"\x01\x01c")), "option 82 changed"),
    "behind END": (octet(341, 1), "behind END"),
    "another server": (with_options((54, ip(SERVER + 1))), "another server id"),
    "another address": (octet(61), "not this subscriber's"),
    "a long lease": (with_options((51, seconds(3601))), "no such length"),
    "a short lease": (with_options((51, seconds(119))), "no such length"),
    "an offer": (with_options((53, b"\x02")), "no answer to this message"),
    "T1 behind T2": (with_options((58, seconds(3200))), "T1 < T2"),
    "no T1": (with_options((58, None)), "T1 < T2"),
    "an early T1": (with_options((58, seconds(900))), "far from one half"),
    "another T2": (with_options((59, seconds(3151))), "seven eighths"),
}


@pytest.mark.parametrize(("change", "expected"), BROKEN.values(), ids=BROKEN)
def test_a_broken_reply_is_found(change: Callable[[bytes], bytes], expected: str) -> None:
    """A reply with one thing wrong gets the complaint about it."""
    frame = ASKED.frame()
    reply = answer(frame)
    assert complaints(frame, reply, FACTS, NOW) == []

    found = complaints(frame, change(reply), FACTS, NOW)

    assert any(expected in complaint for complaint in found), found


REFUSED = udhcpc(REQUEST, (50, ip(ADDRESS + 1)))
INFORMING = udhcpc(INFORM).but(ciaddr=ADDRESS, src_ip=ADDRESS)
BROKEN_OTHERS: dict[str, tuple[Client, Callable[[bytes], bytes], str]] = {
    "a NAK with times": (REFUSED, with_options((51, seconds(3600))), "no place here"),
    "a NAK with a router": (REFUSED, with_options((3, ip(SERVER))), "options in a NAK"),
    "a NAK with an address": (REFUSED, octet(61), "yiaddr set"),
    "a NAK by unicast": (REFUSED, octet(5, 1), "delivered elsewhere"),
    "a NAK from another": (REFUSED, with_options((54, ip(SERVER + 1))), "another server id"),
    "an inform's times": (INFORMING, with_options((51, seconds(3600))), "no place here"),
    "an inform's address": (INFORMING, octet(61), "yiaddr set"),
    "an inform's ciaddr": (INFORMING, octet(57), "wrong ciaddr"),
    "an inform refused": (INFORMING, with_options((53, b"\x06")), "no answer to this message"),
}


@pytest.mark.parametrize(
    ("client", "change", "expected"), BROKEN_OTHERS.values(), ids=BROKEN_OTHERS
)
def test_a_broken_reply_that_grants_nothing_is_found(
    client: Client, change: Callable[[bytes], bytes], expected: str
) -> None:
    """The same of a NAK, and of the ACK of an INFORM (4.3.2, 4.3.5, table 3)."""
    frame = client.frame()
    reply = answer(frame)
    assert complaints(frame, reply, FACTS, NOW) == []

    found = complaints(frame, change(reply), FACTS, NOW)

    assert any(expected in complaint for complaint in found), found


WRONG_NAKS: dict[str, tuple[Client, Facts, str]] = {
    "its own address": (udhcpc(REQUEST, (50, ip(ADDRESS))), FACTS, "own address"),
    "another network": (udhcpc(REQUEST, (50, ip(1))), FACTS, "network that is not ours"),
    "no state": (REFUSED.but(ciaddr=ADDRESS), FACTS, "fits no state"),
    "a stranger": (REFUSED, replace(FACTS, bound={}), "a client or a network"),
    "an old log": (REFUSED, replace(FACTS, current_until_ns=NOW), "may say something else"),
    "no horizon": (REFUSED, replace(FACTS, horizon_ns=NOW), "may say something else"),
}


@pytest.mark.parametrize(("client", "facts", "expected"), WRONG_NAKS.values(), ids=WRONG_NAKS)
def test_a_nak_out_of_ignorance_is_found(client: Client, facts: Facts, expected: str) -> None:
    """Who refuses has to know the client and the network (4.3.2)."""
    found = complaints(client.frame(), answer(REFUSED.frame()), facts, NOW)

    assert any(expected in complaint for complaint in found), found


PLACE = Stocked(BOUND, link=0, until_ns=NOW + SECOND, owner=None)
FOR_STRANGERS = replace(
    FACTS, bound={}, is_by_mac=True, offers_stock=True, stock_groups=1, stock={ADDRESS: PLACE}
)
NEW = udhcpc(DISCOVER)


def with_place(**changes: object) -> Facts:
    place = PLACE._replace(**changes)  # type: ignore[arg-type]
    return replace(FOR_STRANGERS, stock={ADDRESS: place})


WRONG_OFFERS: dict[str, tuple[Client, Facts, str]] = {
    "where nobody is": (NEW, replace(FOR_STRANGERS, offers_stock=False), "served where"),
    "who wishes": (NEW.with_option(50, ip(ADDRESS)), FOR_STRANGERS, "who wishes"),
    "who means a server": (NEW.with_option(54, ip(SERVER)), FOR_STRANGERS, "who means"),
    "who is known": (NEW, replace(FOR_STRANGERS, known=frozenset((MAC,))), "who had"),
    "an old log": (NEW, replace(FOR_STRANGERS, current_until_ns=NOW), "log may know"),
    "another link": (NEW, with_place(link=RELAY), "another link"),
    "too late": (NEW, with_place(until_ns=NOW), "no more"),
    "anothers": (NEW, with_place(owner=(b"other!", None)), "another already"),
    "nowhere": (NEW, replace(FOR_STRANGERS, stock={}), "not this subscriber's"),
}


@pytest.mark.parametrize(("client", "facts", "expected"), WRONG_OFFERS.values(), ids=WRONG_OFFERS)
def test_an_offer_to_a_wrong_stranger_is_found(client: Client, facts: Facts, expected: str) -> None:
    """An address of the stock is for who is new, and for one of them (4.3.1)."""
    reply = answer(NEW.frame())
    assert complaints(NEW.frame(), reply, FOR_STRANGERS, NOW) == []
    assert complaints(NEW.frame(), reply, with_place(owner=(MAC, None)), NOW) == []

    found = complaints(client.frame(), reply, facts, NOW)

    assert any(expected in complaint for complaint in found), found


OTHER_REQUESTS: dict[str, tuple[Client, str]] = {
    "of another": (ASKED.but(mac=CLIENT_MAC + 1), "another client"),
    "spoken for another": (ASKED.but(src_mac=CLIENT_MAC + 1), "spoken for another"),
    "on another line": (ASKED.but(tags=((0x8100, 7),)), "not this subscriber's"),
    "through a relay": (relayed(ASKED, b""), "a relay nobody knows"),
    "to another server": (ASKED.but(dst_ip=SERVER + 1), "somebody else"),
    "selecting another": (
        ASKED.without_option(54).with_option(54, ip(SERVER + 1)),
        "another server was selected",
    ),
    "for another address": (
        ASKED.without_option(50).with_option(50, ip(ADDRESS + 1)),
        "another address than was asked for",
    ),
    "for nothing": (ASKED.without_option(50), "another address than was asked for"),
    "with ciaddr": (ASKED.but(ciaddr=ADDRESS), "ciaddr beside"),
    "no request": (ASKED.but(op=2), "no request"),
    "a release": (ASKED.but(options=((53, b"\x07"),)), "no answer to this message"),
}


@pytest.mark.parametrize(("client", "expected"), OTHER_REQUESTS.values(), ids=OTHER_REQUESTS)
def test_a_reply_to_the_wrong_request_is_found(client: Client, expected: str) -> None:
    """A good reply is wrong when it answers a request that deserves none (table 4, 4.3)."""
    found = complaints(client.frame(), answer(ASKED.frame()), FACTS, NOW)

    assert any(expected in complaint for complaint in found), found


def test_horizon_is_watched() -> None:
    """A lease that ends behind the horizon is found (I6)."""
    frame = ASKED.frame()
    near = replace(FACTS, horizon_ns=NOW + LEASE_S * SECOND - 1)

    assert complaints(frame, answer(frame), near, NOW) == ["promised beyond the horizon"]


def test_option_82_goes_last() -> None:
    """A reply through a relay is sound, and not with option 82 before another (RFC 3046 2.2)."""
    frame = relayed(ASKED).frame()
    reply = answer(frame, relays=(Ipv4(RELAY),))
    facts = replace(FACTS, relays=frozenset((RELAY,)))
    moved = with_options((61, dict(ASKED.options)[61]))(reply)

    assert complaints(frame, reply, facts, NOW) == []
    assert complaints(frame, moved, facts, NOW) == ["option 82 is not the last (RFC 3046 2.2)"]


@pytest.mark.parametrize("name", all_frames())
def test_corpus_is_answered_soundly(name: str) -> None:
    """What clients really send, for an address that they hold, gets a sound reply."""
    frame = all_frames()[name]
    if dict(options_of(frame[AREA_AT:]))[53] in (b"\x01", b"\x03"):
        assert complaints(frame, answer(frame), FACTS, NOW) == []


def test_broadcast_when_asked_for() -> None:
    """A flagged client hears broadcasts only, a renewing one its own address (4.1)."""
    flagged = ASKED.but(flags=0x8000).frame()
    renewing = RENEWING.but(flags=0x8000).frame()
    for frame, destination in ((flagged, BROADCAST_IP), (renewing, ADDRESS)):
        reply = answer(frame)
        assert complaints(frame, reply, FACTS, NOW) == []
        assert reply[30:34] == ip(destination)
