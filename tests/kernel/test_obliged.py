"""What has to be answered is told, and nothing is of which there may be a doubt."""

from dataclasses import replace

import pytest

from tests.kernel.corpus import all_frames
from tests.kernel.lab import ADDRESS, SECOND
from tests.kernel.mutators import AREA_AT, options_of
from tests.kernel.obliged import must_answer
from tests.kernel.oracle import Facts
from tests.kernel.test_oracle import (
    ASKED,
    BOUND,
    FACTS,
    FOR_STRANGERS,
    INFORMING,
    MAC,
    NEW,
    NOW,
    PLACE,
    REFUSED,
    RENEWING,
)
from tests.packets import (
    CIRCUIT,
    CLIENT_MAC,
    PORT_MAC,
    RELAY,
    SERVER,
    Client,
    ip,
    relayed,
    routed,
)

CURRENT = replace(FACTS, current_until_ns=NOW + 900 * SECOND)
AT_RELAY = replace(CURRENT, relays=frozenset((RELAY,)))
BY_CIRCUIT = replace(
    AT_RELAY,
    is_by_circuit=True,
    bound={(MAC, (FACTS.ifindex, 0, 0, RELAY, CIRCUIT[2:])): {BOUND}},
)

STOCKED = replace(
    FOR_STRANGERS,
    current_until_ns=NOW + 900 * SECOND,
    strangers=frozenset((MAC,)),
    stock={ADDRESS: PLACE._replace(until_ns=NOW + 900 * SECOND)},
)
AT_CIRCUIT = replace(STOCKED, is_marked=True, is_by_mac=False, is_by_circuit=True)


def stocked(**changes: object) -> Facts:
    """A stock whose one place is another."""
    (place,) = STOCKED.stock.values()
    return replace(STOCKED, stock={ADDRESS: place._replace(**changes)})  # type: ignore[arg-type]


DUE: dict[str, tuple[Client, Facts]] = {
    "a request": (ASKED, CURRENT),
    "a renewal": (RENEWING.but(dst_mac=PORT_MAC), CURRENT),
    "an inform": (INFORMING, CURRENT),
    "a wrong address": (REFUSED, CURRENT),
    "through a relay": (relayed(ASKED), AT_RELAY),
    "through a relay without option 82": (relayed(ASKED, b""), AT_RELAY),
    "through a router": (routed(RENEWING), AT_RELAY),
    "marked by an access node": (ASKED.with_option(82, CIRCUIT), replace(CURRENT, is_marked=True)),
    "on a circuit": (relayed(ASKED), BY_CIRCUIT),
    "a stranger": (NEW, STOCKED),
    "a stranger again": (NEW, stocked(owner=(MAC, None))),
    "a stranger on a circuit": (NEW.with_option(82, CIRCUIT), AT_CIRCUIT),
    "a stranger through a relay": (
        relayed(NEW),
        replace(stocked(link=RELAY), relays=frozenset((RELAY,))),
    ),
}
IN_DOUBT: dict[str, tuple[Client, Facts]] = {
    "a closed site": (ASKED, replace(CURRENT, is_open=False)),
    "a horizon that is near": (ASKED, replace(CURRENT, horizon_ns=NOW + 199 * SECOND)),
    "a stranger": (ASKED.but(mac=CLIENT_MAC + 1), CURRENT),
    "a stranger with a wish": (NEW.with_option(50, ip(ADDRESS)), STOCKED),
    "a stranger with a server": (NEW.with_option(54, ip(SERVER)), STOCKED),
    "a stranger who requests": (ASKED, STOCKED),
    "a stranger of no circuit": (NEW, AT_CIRCUIT),
    "a stranger to be left alone": (NEW, replace(STOCKED, offers_stock=False)),
    "a stranger that may be known": (NEW, replace(STOCKED, known=frozenset((MAC,)))),
    "a stranger that may be bound": (NEW, replace(STOCKED, strangers=frozenset())),
    "a stranger while the log may be old": (NEW, replace(STOCKED, current_until_ns=NOW)),
    "a stranger of many groups": (NEW, replace(STOCKED, stock_groups=2)),
    "a stranger after another": (NEW, stocked(owner=(b"other!", None))),
    "a stranger too late": (NEW, stocked(until_ns=NOW)),
    "a stranger elsewhere": (NEW, stocked(link=RELAY)),
    "a broken pool for strangers": (NEW, stocked(told=BOUND._replace(is_servable=False))),
    "a binding that is broken": (
        ASKED,
        replace(CURRENT, bound={key: {BOUND._replace(is_servable=False)} for key in FACTS.bound}),
    ),
    "another line": (ASKED.but(tags=((0x8100, 7),)), CURRENT),
    "another circuit": (relayed(ASKED, b"\x01\x01c"), BY_CIRCUIT),
    "a broken packet": (ASKED.but(ip_check=1), CURRENT),
    "another station": (ASKED.but(dst_mac=PORT_MAC + 1), CURRENT),
    "spoken for another": (ASKED.but(src_mac=CLIENT_MAC + 1), CURRENT),
    "a relay": (relayed(ASKED), CURRENT),
    "a mark of a client": (ASKED.with_option(82, CIRCUIT), CURRENT),
    "a relay beside an access node": (relayed(ASKED), replace(CURRENT, is_marked=True)),
    "another relay": (relayed(ASKED).but(giaddr=RELAY + 1), AT_RELAY),
    "link selection": (relayed(ASKED, b"\x05\x04abcd"), AT_RELAY),
    "another server": (ASKED.but(dst_ip=SERVER + 1), CURRENT),
    "another server selected": (
        ASKED.without_option(54).with_option(54, ip(SERVER + 1)),
        CURRENT,
    ),
    "no state": (ASKED.but(ciaddr=ADDRESS), CURRENT),
    "another network": (REFUSED.without_option(50).with_option(50, ip(1)), CURRENT),
    "a wrong address while the log may be old": (REFUSED, FACTS),
    "an option twice": (ASKED.with_option(50, ip(ADDRESS)), CURRENT),
    "no END": (ASKED.but(area=b"\x35\x01\x03"), CURRENT),
    "a release": (ASKED.but(options=((53, b"\x07"),)), CURRENT),
}


@pytest.mark.parametrize(("client", "facts"), DUE.values(), ids=DUE)
def test_a_plain_request_is_due(client: Client, facts: Facts) -> None:
    """A wrong PASS of both sides is seen for every kind of message and of port (I13)."""
    assert must_answer(client.frame(), facts, NOW)


@pytest.mark.parametrize(("client", "facts"), IN_DOUBT.values(), ids=IN_DOUBT)
def test_of_doubts_nothing_is_said(client: Client, facts: Facts) -> None:
    """Nobody is told to answer what may be passed (I9)."""
    assert not must_answer(client.frame(), facts, NOW)


@pytest.mark.parametrize("length", range(0, 342, 7))
def test_of_pieces_nothing_is_said(length: int) -> None:
    """A frame that is cut is no request."""
    assert not must_answer(ASKED.frame()[:length], CURRENT, NOW)


@pytest.mark.parametrize("name", all_frames())
def test_what_real_clients_send_is_due(name: str) -> None:
    """No shape of a client is one that both sides might leave alone unseen."""
    frame = all_frames()[name]
    if dict(options_of(frame[AREA_AT:]))[53] in (b"\x01", b"\x03"):
        assert must_answer(frame, CURRENT, NOW)
