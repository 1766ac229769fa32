"""What has to be answered: requests that no rule of any standard gives a reason to leave.

The other half of the oracle, from RFC 2131 and the tables alone. Two sides that both pass what
they should answer agree with each other; here they are found out. It speaks only of requests that
are beyond doubt, and says nothing of the others.
"""

import struct
from typing import Final

from tests.kernel.oracle import (
    DISCOVER,
    EVERYONE,
    INFORM,
    REQUEST,
    Bound,
    Facts,
    Packet,
    adds_up,
    bound_here,
    circuit_of,
    named,
    who_asks,
)

AMPLE_NS: Final = 200 * 10**9
"""So much horizon is enough for a grant, whatever the moment."""
ONCE: Final = (50, 53, 54, 55, 57, 61, 82)
LENGTHS: Final = {50: 4, 53: 1, 54: 4, 57: 2}
CIRCUIT_MAX: Final = 64
"""Octets of a circuit id that a line may have."""
ECHO_MAX: Final = 60
"""Octets of options 61 and 82 that fit beside what any pool here tells everyone."""


def must_answer(frame: bytes, facts: Facts, now_ns: int) -> bool:
    """Whether a request that came in at `now_ns` deserves a reply beyond doubt."""
    if not facts.is_open or facts.horizon_ns < now_ns + AMPLE_NS:
        return False
    try:
        asked = Packet(frame)
    except (IndexError, ValueError, struct.error):
        return False
    told = bound_here(asked, facts) or _set_aside(asked, facts, now_ns)
    return (
        _is_plain(asked)
        and _has_plain_options(asked)
        and _may_speak(asked, facts)
        and bool(told)
        and all(_is_due(asked, one, facts, now_ns) for one in told)
    )


def _set_aside(asked: Packet, facts: Facts, now_ns: int) -> set[Bound]:
    """What a stranger may be offered, one of which he must be.

    Only where there is one group: nobody says here who looks into which.
    """
    mac, me = asked.chaddr[:6], who_asks(asked, facts)
    is_served = facts.offers_stock and facts.current_until_ns > now_ns + AMPLE_NS
    is_new = mac in facts.strangers and mac not in facts.known
    is_placed = not facts.is_by_circuit or 0 < len(circuit_of(asked)) <= CIRCUIT_MAX
    has_wishes = asked.all_of(50) or asked.all_of(54)
    is_asking = is_new and is_placed and not has_wishes and asked.number(53) == DISCOVER
    if not (is_served and is_asking and facts.stock_groups == 1):
        return set()
    places = facts.stock.values()
    fresh = [each for each in places if each.link == asked.giaddr and each.until_ns > now_ns]
    return {each.told for each in fresh if each.owner in (None, me)}


def _is_plain(asked: Packet) -> bool:
    """A whole BOOTP request in plain UDP, behind at most two tags of VLANs."""
    is_udp = (asked.kind, asked.ip[0], asked.ip[9]) == (0x0800, 0x45, 17)
    is_whole = 268 < asked.total <= len(asked.ip) and asked.udp_len == asked.total - 20
    is_request = (asked.op, asked.htype, asked.hlen) == (1, 1, 6)
    return (
        (is_udp and is_whole and is_request)
        and not asked.fragment & 0x3FFF
        and adds_up(asked.ip[:20])
        and asked.to_port == 67
        and asked.cookie == b"\x63\x82\x53\x63"
        and len(asked.ids) <= 2
        and all(0 < number < 4095 for number in asked.ids)
    )


def _has_plain_options(asked: Packet) -> bool:
    """Few enough, none that is split or overloaded, each as long as it should be."""
    codes = [code for code, _ in asked.options]
    echoed = [value for code, value in asked.options if code in (61, 82)]
    return (
        (len(asked.bootp) <= 240 + 512 and len(codes) <= 64)
        and 52 not in codes
        and all(codes.count(code) <= 1 for code in ONCE)
        and all(len(value) == LENGTHS.get(code, len(value)) for code, value in asked.options)
        and all(echoed)
        and sum(2 + len(value) for value in echoed) <= ECHO_MAX
    )


def _is_station(mac: bytes) -> bool:
    return any(mac) and not mac[0] & 1


def _may_speak(asked: Packet, facts: Facts) -> bool:
    """A client for itself, a relay that is known, or the router beside it with a renewal."""
    client = asked.chaddr[:6]
    if not (_is_station(client) and asked.to in (b"\xff" * 6, facts.port_mac)):
        return False
    if not facts.relays:
        value = b"".join(asked.all_of(82))
        is_own = _is_usual(value) if facts.is_marked else not value
        return asked.giaddr == 0 and is_own and asked.sender == client
    if not _is_station(asked.sender):
        return False
    if asked.giaddr:
        return asked.giaddr in facts.relays and _is_usual(b"".join(asked.all_of(82)))
    is_bare = not (asked.all_of(82) or asked.all_of(50) or asked.all_of(54))
    is_unicast = asked.source == asked.ciaddr != 0 and asked.destination != EVERYONE
    return is_bare and is_unicast and asked.number(53) == REQUEST


def _is_usual(value: bytes) -> bool:
    """Option 82 of at most one circuit id and one remote id (RFC 3046 3.1, 3.2)."""
    seen = []
    while len(value) > 1 and value[1] <= len(value) - 2:
        seen.append(value[0])
        value = value[2 + value[1] :]
    return not value and len(seen) == len(set(seen)) and set(seen) <= {1, 2}


def _is_due(asked: Packet, bound: Bound, facts: Facts, now_ns: int) -> bool:
    """4.3.1, 4.3.2, 4.3.5: the subscriber's own address, or one that it must be refused."""
    is_ours = asked.destination in (EVERYONE, bound.server)
    if not (is_ours and bound.is_servable and asked.number(54) in (-1, bound.server)):
        return False
    kind, claimed = asked.number(53), named(asked)
    if kind == INFORM:
        return asked.ciaddr == bound.address and not asked.all_of(50)
    if kind != REQUEST or claimed == bound.address:
        return kind in (DISCOVER, REQUEST)
    is_near = claimed != 0 and claimed & bound.mask == bound.network
    is_heard = asked.giaddr != 0 or asked.sender == asked.chaddr[:6]
    return is_near and is_heard and facts.current_until_ns > now_ns + AMPLE_NS
