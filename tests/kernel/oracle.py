"""A third opinion on replies, from RFC 2131 alone: what a server may send, and to whom.

It shares no code with the agent or the kernel program, and knows no rule of theirs: only the
standards, and what the tables say. Numbers in brackets are sections of RFC 2131 if not said
otherwise. `complaints` lists all that is wrong with a reply; an empty list is the verdict "sound".
"""

import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

OFFER, ACK, NAK = 2, 5, 6
DISCOVER, REQUEST, INFORM = 1, 3, 8
EVERYONE: Final = 0xFFFFFFFF
TAGS: Final = (0x8100, 0x88A8, 0x9100)
FORBIDDEN: Final = (50, 52, 55, 56, 57)
"""Never in these replies: table 3 has 50, 55 and 57; 52 and 56 have no use here."""
TIMES: Final = (51, 58, 59)
IN_A_NAK: Final = (53, 54, 61, 82)
USUAL: Final = (1, 3, 6, 43, 51, 53, 54, 58, 59)
"""What the pools here tell every client."""

Where = tuple[int, int, int, int, bytes]
"""A line: interface, outer and inner VLAN id, giaddr and circuit id."""


class Bound(NamedTuple):
    """What the tables say of one subscriber on one line."""

    address: int
    server: int
    longest_s: int
    network: int
    mask: int
    is_servable: bool = True
    """Its pool and its place among the promises are sound."""


Subscriber = tuple[bytes, Where | None]
"""A MAC, and its line where a port tells lines apart."""


class Stocked(NamedTuple):
    """An address for strangers."""

    told: Bound
    link: int
    """giaddr of those whom it is for, 0 = clients themselves."""
    until_ns: int
    owner: Subscriber | None
    """Whom it was offered to; None = nobody yet."""


@dataclass(frozen=True)
class Facts:
    """What a reply has to fit to; times are nanoseconds of CLOCK_BOOTTIME."""

    port_mac: bytes
    relays: frozenset[int]
    is_by_circuit: bool
    is_marked: bool
    """An access node writes option 82 into the frames of clients."""
    horizon_ns: int
    current_until_ns: int
    """Until then nobody has to doubt that the tables are what the log says."""
    ifindex: int
    is_open: bool
    """The site may answer now, but for its horizon."""
    bound: dict[tuple[bytes, Where], set[Bound]]
    is_by_mac: bool = False
    """The port knows a subscriber by its MAC, wherever it is."""
    offers_stock: bool = False
    known: frozenset[bytes] = frozenset()
    """MACs that may have had an address here."""
    strangers: frozenset[bytes] = frozenset()
    """MACs of which nothing stands in the tables."""
    stock_groups: int = 0
    stock: dict[int, Stocked] = field(default_factory=dict)
    """What stands in these groups, by address."""


class Packet:
    """A frame taken apart; raises IndexError, ValueError or struct.error where it is none."""

    def __init__(self, frame: bytes) -> None:
        at, self.ids = 12, []
        (kind,) = struct.unpack_from("!H", frame, at)
        while kind in TAGS:
            (control, kind) = struct.unpack_from("!HH", frame, at + 2)
            self.ids.append(control & 4095)
            at += 4
        self.tags, self.kind = frame[12:at], kind
        self.to, self.sender = frame[:6], frame[6:12]
        ip = self.ip = frame[at + 2 :]
        self.total, self.fragment = struct.unpack_from("!H2xH", ip, 2)
        self.source, self.destination = struct.unpack_from("!II", ip, 12)
        self.from_port, self.to_port, self.udp_len, self.udp_sum = struct.unpack_from("!4H", ip, 20)
        bootp = self.bootp = ip[28 : self.total]
        self.op, self.htype, self.hlen, self.hops = bootp[:4]
        self.xid, self.secs, self.flags = struct.unpack_from("!IHH", bootp, 4)
        self.ciaddr, self.yiaddr, self.siaddr, self.giaddr = struct.unpack_from("!4I", bootp, 12)
        self.chaddr, self.names, self.cookie = bootp[28:44], bootp[44:236], bootp[236:240]
        self.options: list[tuple[int, bytes]] = []
        self._walk(bootp)

    def _walk(self, bootp: bytes) -> None:
        """Options up to END (RFC 2132 2); IndexError without one."""
        at = 240
        while bootp[at] != 255:
            code = bootp[at]
            if code == 0:
                at += 1
                continue
            end = at + 2 + bootp[at + 1]
            self.options.append((code, bootp[at + 2 : end]))
            at = end
        self.behind = bootp[at + 1 :]

    def all_of(self, code: int) -> list[bytes]:
        return [value for found, value in self.options if found == code]

    def number(self, code: int) -> int:
        """A number in an option; -1 = absent."""
        values = self.all_of(code)
        return int.from_bytes(values[0], "big") if values else -1


def circuit_of(request: Packet) -> bytes:
    """Sub-option 1 of option 82 (RFC 3046 2.0)."""
    value, at = b"".join(request.all_of(82)), 0
    while at + 1 < len(value):
        if value[at] == 1:
            return value[at + 2 : at + 2 + value[at + 1]]
        at += 2 + value[at + 1]
    return b""


def adds_up(octets: bytes) -> bool:
    """The Internet checksum over words with their checksum among them (RFC 1071)."""
    if len(octets) % 2:
        octets += b"\0"
    return sum(struct.unpack(f"!{len(octets) // 2}H", octets)) % 0xFFFF == 0


def complaints(request: bytes, reply: bytes, facts: Facts, now_ns: int) -> list[str]:
    """All that is wrong with a reply to a request that came in not before `now_ns`."""
    asked, said = Packet(request), Packet(reply)
    found: list[str] = []
    for judge in (_carriage, _fields, _delivery, _options, _sender):
        judge(asked, said, facts, found)
    _right(asked, said, facts, now_ns, found)
    if _has_times(asked, said):
        _times(said, facts, now_ns, found)
    return found


def _has_times(asked: Packet, said: Packet) -> bool:
    """Whether a reply grants something: all but a NAK and the ACK of an INFORM (table 3, 4.3.5)."""
    return said.number(53) != NAK and asked.number(53) != INFORM


def _must(is_so: bool, complaint: str, found: list[str]) -> None:
    if not is_so:
        found.append(complaint)


def _carriage(asked: Packet, said: Packet, facts: Facts, found: list[str]) -> None:
    """Ethernet, IP and UDP of the reply."""
    _must(said.tags == asked.tags, "other VLAN tags than the request's", found)
    _must(said.sender == facts.port_mac, "not from the port's hardware address", found)
    _must(said.kind == 0x0800 and said.ip[0] == 0x45 and said.ip[9] == 17, "no plain UDP", found)
    _must(said.total == len(said.ip), "octets behind the packet", found)
    _must(not said.fragment & 0x3FFF and said.ip[8] > 0, "fragment, or no hops left", found)
    _must(adds_up(said.ip[:20]), "wrong checksum of IP", found)
    pseudo = said.ip[12:20] + struct.pack("!HH", 17, said.udp_len)
    _must(said.udp_len == said.total - 20, "wrong length of UDP", found)
    _must(said.udp_sum != 0 and adds_up(pseudo + said.ip[20:]), "wrong checksum of UDP", found)
    longest = max(576, asked.number(57))
    _must(said.total <= longest, "longer than the client takes (2, RFC 2132 9.10)", found)
    _must(len(said.bootp) >= 300, "shorter than clients take (RFC 1542 2.1)", found)


def _fields(asked: Packet, said: Packet, facts: Facts, found: list[str]) -> None:
    """Table 3."""
    _must((said.op, said.htype, said.hlen, said.hops) == (2, 1, 6, 0), "no reply", found)
    is_nak = said.number(53) == NAK
    flags = asked.flags | (0x8000 if is_nak and asked.giaddr else 0)  # 4.3.2
    _must((said.xid, said.flags) == (asked.xid, flags), "other xid or flags", found)
    _must((said.secs, said.siaddr) == (0, 0), "secs or siaddr set", found)
    _must(said.giaddr == asked.giaddr and said.chaddr == asked.chaddr, "another client", found)
    is_ack = said.number(53) == ACK
    _must(said.ciaddr == (asked.ciaddr if is_ack else 0), "wrong ciaddr", found)
    _must((said.yiaddr != 0) == _has_times(asked, said), "yiaddr set, or not", found)
    _must(not any(said.names), "sname or file set", found)
    _must(said.cookie == b"\x63\x82\x53\x63", "no magic cookie (3)", found)


def _delivery(asked: Packet, said: Packet, facts: Facts, found: list[str]) -> None:
    """Where it goes (4.1)."""
    is_ack = said.number(53) == ACK
    if asked.number(53) == INFORM:  # 4.3.5
        expected = (asked.ciaddr, 68, asked.sender)
    elif asked.giaddr:
        expected = (asked.giaddr, 67, asked.sender)
    elif is_ack and asked.ciaddr:
        expected = (asked.ciaddr, 68, asked.sender)
    elif asked.flags & 0x8000 or said.number(53) == NAK:
        expected = (EVERYONE, 68, b"\xff" * 6)
    else:
        expected = (said.yiaddr, 68, asked.chaddr[:6])
    _must((said.destination, said.to_port, said.to) == expected, "delivered elsewhere", found)
    _must(said.from_port == 67, "not from port 67", found)


def _options(asked: Packet, said: Packet, facts: Facts, found: list[str]) -> None:
    """Options demanded and forbidden in an OFFER or ACK (table 3), and those that are echoed."""
    codes = [code for code, _ in said.options]
    _must(len(codes) == len(set(codes)), "an option twice", found)
    has_times = _has_times(asked, said)
    demanded = (53, 54, 51) if has_times else (53, 54)
    _must(all(code in codes for code in demanded), "one of 51, 53, 54 is missing", found)
    forbidden = FORBIDDEN if has_times else FORBIDDEN + TIMES
    _must(not set(codes) & set(forbidden), "an option that has no place here", found)
    is_bare = said.number(53) != NAK or set(codes) <= set(IN_A_NAK)
    _must(is_bare, "options in a NAK (table 3)", found)
    _must(said.all_of(61) == asked.all_of(61), "client id changed (RFC 6842 3)", found)
    _must(said.all_of(82) == asked.all_of(82), "option 82 changed (RFC 3046 2.2)", found)
    _must(82 not in codes or codes[-1] == 82, "option 82 is not the last (RFC 3046 2.2)", found)
    _must(not any(said.behind), "something behind END", found)
    for wishes in asked.all_of(55):
        unasked = set(codes) - {*wishes, *USUAL, 61, 82}
        _must(not unasked, f"options {unasked} that were not asked for (3.5)", found)
    _must(said.number(54) == said.source, "another server id than its address", found)


def where_from(asked: Packet, facts: Facts) -> Where:
    """The line that a request came from."""
    if facts.is_by_circuit:
        return facts.ifindex, 0, 0, asked.giaddr, circuit_of(asked)
    outer, inner = [*asked.ids, 0, 0][:2]
    return facts.ifindex, outer, inner, 0, b""


def bound_here(asked: Packet, facts: Facts) -> set[Bound]:
    """What the subscriber is bound to on the line that a request came from."""
    return facts.bound.get((asked.chaddr[:6], where_from(asked, facts)), set())


def who_asks(asked: Packet, facts: Facts) -> Subscriber:
    """A subscriber as the port tells him from others."""
    return asked.chaddr[:6], None if facts.is_by_mac else where_from(asked, facts)


def is_to_stranger(asked: Packet, said: Packet, facts: Facts) -> bool:
    """An OFFER that no binding is behind."""
    return said.number(53) == OFFER and not bound_here(asked, facts)


def _right(asked: Packet, said: Packet, facts: Facts, now_ns: int, found: list[str]) -> None:
    """May this client be told this here: 4.3.1, 4.3.2 with table 4, 4.3.5, and its line."""
    kinds = {DISCOVER: (OFFER,), REQUEST: (ACK, NAK), INFORM: (ACK,)}
    is_kind = said.number(53) in kinds.get(asked.number(53), ())
    _must(is_kind, "no answer to this message", found)
    bound = {one for one in bound_here(asked, facts) if one.server == said.source}
    if is_to_stranger(asked, said, facts):
        bound = _stocked(asked, said, facts, now_ns, found)
    if said.number(53) == NAK:
        _refusal(asked, bound, facts, now_ns, found)
    else:
        told = asked.ciaddr if asked.number(53) == INFORM else said.yiaddr
        bound = {one for one in bound if one.address == told}
        _must(bool(bound), "an address that is not this subscriber's on this line", found)
        longest = max((one.longest_s for one in bound), default=0)
        if _has_times(asked, said):
            _must(120 <= said.number(51) <= longest, "a lease of no such length", found)
        if asked.number(53) == REQUEST:
            _claim(asked, said, found)
    _must(asked.op == 1 and not asked.fragment & 0x3FFF, "an answer to no request", found)
    _must(asked.destination in (EVERYONE, said.source), "asked of somebody else", found)
    _must(asked.number(54) in (-1, said.source), "another server was selected", found)
    _must(adds_up(asked.ip[:20]), "asked in a packet that is broken", found)
    _must(asked.to in (b"\xff" * 6, facts.port_mac), "asked of another station", found)


def _stocked(
    asked: Packet, said: Packet, facts: Facts, now_ns: int, found: list[str]
) -> set[Bound]:
    """An address that was set aside for whom nobody knows, and that no other was offered.

    Who had one is offered his former one (4.3.1), and who asks for one may be, so both are left to
    those who know.
    """
    place = facts.stock.get(said.yiaddr)
    _must(facts.offers_stock, "strangers are served where they should not be", found)
    _must(not asked.all_of(50), "who wishes an address is offered any", found)
    _must(not asked.all_of(54), "who means a server is offered any address", found)
    _must(asked.chaddr[:6] not in facts.known, "who had an address is offered any", found)
    _must(now_ns < facts.current_until_ns, "any address while the log may know him", found)
    if place is None:
        return set()
    _must(place.link == asked.giaddr, "an address of another link", found)
    _must(now_ns < place.until_ns, "an address that is set aside no more", found)
    _must(place.owner in (None, who_asks(asked, facts)), "offered to another already", found)
    return {place.told}


def wrongly_asked(frame: bytes, facts: Facts, now_ns: int) -> list[str]:
    """Why the allocator should not be asked for what a client wants, by 4.3.2 and the tables."""
    found: list[str] = []
    asked = Packet(frame)
    place = facts.stock.get(named(asked))
    _must(asked.number(53) == REQUEST, "asked for whom wants no address", found)
    _must(bool(asked.all_of(54)), "asked for who selected nobody", found)
    _must(not bound_here(asked, facts), "asked for whom is bound", found)
    _must(asked.chaddr[:6] not in facts.known, "asked for who had an address", found)
    _must(adds_up(asked.ip[:20]), "asked in a packet that is broken", found)
    if place is None:
        return [*found, "asked for an address that nobody was offered"]
    _must(place.owner == who_asks(asked, facts), "asked for another's", found)
    _must(place.link == asked.giaddr, "asked for one of another link", found)
    _must(now_ns < place.until_ns, "asked for what is set aside no more", found)
    _must(asked.number(54) == place.told.server, "another server was selected", found)
    _must(asked.destination in (EVERYONE, place.told.server), "asked of somebody else", found)
    return found


def named(asked: Packet) -> int:
    """The address that a REQUEST means by table 4; 0 = it fits no state."""
    if asked.all_of(54) or asked.all_of(50):
        return 0 if asked.ciaddr else max(asked.number(50), 0)
    return asked.ciaddr


def _refusal(asked: Packet, bound: set[Bound], facts: Facts, now_ns: int, found: list[str]) -> None:
    """4.3.2: only who knows the client's address, and that it is another one of this network."""
    wrong = {one for one in bound if named(asked) & one.mask == one.network}
    _must(named(asked) != 0, "a NAK to what fits no state", found)
    _must(bool(wrong), "a NAK about a client or a network that is not ours", found)
    is_own = any(one.address == named(asked) for one in bound_here(asked, facts))
    _must(not is_own, "a NAK about the client's own address", found)
    until_ns = min(facts.current_until_ns, facts.horizon_ns)
    _must(now_ns < until_ns, "a NAK while the log may say something else", found)


def _claim(asked: Packet, said: Packet, found: list[str]) -> None:
    """Table 4: what a REQUEST names."""
    if asked.all_of(54) or asked.all_of(50):
        named = asked.number(50)
        _must(asked.ciaddr == 0, "ciaddr beside option 50 or 54", found)
    else:
        named = asked.ciaddr
    _must(named == said.yiaddr != 0, "another address than was asked for", found)


def _sender(asked: Packet, said: Packet, facts: Facts, found: list[str]) -> None:
    """Who may speak: clients for themselves, relays that are known (RFC 3046 2.1)."""
    if not facts.relays:
        is_own = facts.is_marked or not asked.all_of(82)
        _must(asked.giaddr == 0 and is_own, "a relay nobody knows", found)
        _must(asked.sender == asked.chaddr[:6], "spoken for another", found)
    elif asked.giaddr:
        _must(asked.giaddr in facts.relays, "a relay nobody knows", found)
    else:
        is_renewal = asked.source == asked.ciaddr != 0 and asked.destination != EVERYONE
        is_heard = said.number(53) != NAK or asked.sender == asked.chaddr[:6]
        _must(is_heard, "a broadcast to who is behind a router", found)
        _must(is_renewal and not asked.all_of(82), "past the relays", found)


def _times(said: Packet, facts: Facts, now_ns: int, found: list[str]) -> None:
    """No promise beyond the horizon, and T1 before T2 before the end (4.4.5)."""
    lease_s, t1_s, t2_s = said.number(51), said.number(58), said.number(59)
    _must(now_ns + lease_s * 10**9 <= facts.horizon_ns, "promised beyond the horizon", found)
    _must(0 < t1_s < t2_s < lease_s, "T1 < T2 < lease does not hold", found)
    _must(abs(t1_s - lease_s / 2) <= lease_s / 20 + 1, "T1 is far from one half", found)
    _must(t2_s == lease_s * 7 // 8, "T2 is not seven eighths", found)
