"""The judgement of `docs/replies.md`: which frames are answered, and why the others are not.

The kernel program implements the same rules; a differential test compares the two. Rule numbers
in this module are those of that page.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from edge_agent.dhcp import options, reply
from edge_agent.dhcp.classify import Malformed, claimed_ip, classify
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.frame import BROADCAST_IP, BROADCAST_MAC
from edge_agent.dhcp.relay import circuit_of, sub_options
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import (
    Assignment,
    Entry,
    KeyMode,
    Line,
    PoolOptions,
    Port,
    SiteState,
    SubscriberKey,
    Tables,
    holder,
    key_of,
)
from lease_core.domain.values import NO_IP, Mac

MIN_GRANT_S: Final = 120
DEAD_MAN_NS: Final = 900 * 10**9

_ANSWERED: Final = (MessageType.DISCOVER, MessageType.REQUEST, MessageType.INFORM)
_SECOND_NS: Final = 10**9
_MULTICAST_BIT: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a frame: a reply to send, or pass it up untouched."""

    counter: Counter | None
    """None = not DHCP, not counted."""
    frame: bytes | None = None
    """The reply; only with `offer`, `ack`, `inform_ack` and `nak`."""


class _Binding(NamedTuple):
    key: SubscriberKey
    assignment: Assignment
    pool: PoolOptions


NOT_DHCP: Final = Verdict(None)


def judge(octets: bytes, ifindex: int, tables: Tables, now_boot_ns: int) -> Verdict:
    """Judge a frame that came in on an interface; never raises on any octets.

    `now_boot_ns` is CLOCK_BOOTTIME. An `ack` has raised P already, and a stranger's DISCOVER may
    have taken an address of the stock, whatever a later rule said; all else left the tables as
    they were.
    """
    request = parse_request(octets)
    if request is None:
        return NOT_DHCP
    if isinstance(request, Counter):
        known = tables.port(ifindex) is not None
        return Verdict(request if known else Counter.PASS_PORT_UNKNOWN)
    return decide(request, ifindex, tables, now_boot_ns)


def decide(
    request: Request,
    ifindex: int,
    tables: Tables,
    now_boot_ns: int,
    found: Entry | None = None,
    *,
    is_stranger: bool = False,
) -> Verdict:
    """Judge a request that was read already (rules 2 and 10 to 29).

    The agent looks itself for what the kernel does not know, a MAC's binding on a further line of a
    port in mode `MAC`; `found` is what it found, None = look where the kernel does. It also knows
    who is a stranger, of whom nothing stands in the tables: then nobody looks for a binding.
    """
    port = tables.port(ifindex)
    if port is None:
        return Verdict(Counter.PASS_PORT_UNKNOWN)
    state = tables.state()
    reason = _refuse_message(request, port) or _refuse_site(state, now_boot_ns)
    if reason is not None:
        return Verdict(reason)
    line = _line_at(request, ifindex, port)
    if not (found or is_stranger):
        found = _look_up(request, line, port, tables)
    told = found or _bind_stranger(request, line, port, tables, now_boot_ns)
    binding = _find_binding(tables, told, request, line)
    if isinstance(binding, Counter):
        return Verdict(binding)
    reason = _refuse_claim(request, binding)
    if reason is Counter.PASS_OTHER_ADDRESS and _may_nak(request, binding.pool, state, now_boot_ns):
        return _reply(Counter.NAK, reply.nak(request, binding.pool.server_id, port.mac))
    if reason is not None:
        return Verdict(reason)
    grant = grant_s(binding.pool.lease_time_s, state.horizon_boot_ns, now_boot_ns)
    if not grant:
        return Verdict(Counter.PASS_HORIZON)
    message_type = request.message.options.message_type
    if message_type == MessageType.INFORM:
        return _reply(Counter.INFORM_ACK, reply.inform_ack(request, binding.pool, port.mac))
    is_discover = message_type == MessageType.DISCOVER
    answer = (reply.offer if is_discover else reply.ack)(
        request,
        yiaddr=binding.assignment.ip,
        pool=binding.pool,
        grant_s=grant,
        mac_key=binding.key,
        port_mac=port.mac,
    )
    if is_discover or answer is None:
        return _reply(Counter.OFFER, answer)
    if not tables.raise_promise(binding.assignment.slot, now_boot_ns + grant * _SECOND_NS):
        return Verdict(Counter.PASS_PROMISE)
    return Verdict(Counter.ACK, answer)


def _reply(counter: Counter, answer: bytes | None) -> Verdict:
    """The verdict with a reply, unless the client does not take so long a one (rule 28)."""
    return Verdict(Counter.PASS_REPLY_SPACE) if answer is None else Verdict(counter, answer)


def grant_s(lease_time_s: int, horizon_boot_ns: int, now_boot_ns: int) -> int:
    """Seconds that may be promised now (rule 27): never beyond E, and 0 where too few are left."""
    grant = min(lease_time_s, (horizon_boot_ns - now_boot_ns) // _SECOND_NS)
    return grant if grant >= MIN_GRANT_S else 0


def line_of(request: Request, ifindex: int, tables: Tables) -> Line:
    """The line that a request came in on, by what its port tells lines apart."""
    return _line_at(request, ifindex, tables.port(ifindex))


def _line_at(request: Request, ifindex: int, port: Port | None) -> Line:
    if port is not None and port.key is KeyMode.CIRCUIT:
        circuit = circuit_of(request.message.options.relay_info)
        return Line(ifindex, giaddr=request.message.giaddr, circuit=circuit)
    return Line(ifindex, request.frame.s_vlan, request.frame.c_vlan)


def _refuse_message(request: Request, port: Port) -> Counter | None:
    """Rules 10 to 16: what a fast path answers, from a client itself or from a relay of ours."""
    message = request.message
    if request.frame.dst_mac not in (BROADCAST_MAC, port.mac):
        return Counter.PASS_ETHERNET
    reason = _refuse_relay(request, port)
    if reason is not None:
        return reason
    client, sender = message.mac, request.frame.src_mac
    is_sound = _is_station(client) and (
        client == sender or (bool(port.relays) and _is_station(sender))
    )
    if not is_sound:
        return Counter.PASS_SOURCE_MAC
    return None if message.options.message_type in _ANSWERED else Counter.PASS_MESSAGE_TYPE


def _refuse_relay(request: Request, port: Port) -> Counter | None:
    """Rules 11 to 14: option 82 counts only from a relay that the port allows (RFC 3046 2.1)."""
    message = request.message
    relay_info = message.options.relay_info
    if not port.relays:
        if message.giaddr != NO_IP or (relay_info is not None and not port.trusted):
            return Counter.PASS_UNTRUSTED_RELAY
    elif message.giaddr not in port.relays and not _is_routed(request):
        return Counter.PASS_RELAY_UNKNOWN
    if sub_options(relay_info or b"") is None:
        return Counter.PASS_RELAYED
    if port.key is KeyMode.CIRCUIT and not circuit_of(relay_info):
        return Counter.PASS_CIRCUIT
    return None


def _is_routed(request: Request) -> bool:
    """What a client behind a relay sends by unicast, as its router brings it."""
    options = request.message.options
    is_renewal = (
        options.message_type == MessageType.REQUEST
        and options.requested_ip is None
        and options.server_id is None
    )
    is_other = options.message_type in (MessageType.RELEASE, MessageType.INFORM)
    return (is_renewal or is_other) and request.is_past_relays


def _is_station(mac: Mac) -> bool:
    """Neither a group nor nobody."""
    return mac != 0 and not mac & _MULTICAST_BIT


def _refuse_site(state: SiteState, now_boot_ns: int) -> Counter | None:
    """Rules 17 to 19: open tables of this ABI, kept by an agent that is alive."""
    if not state.abi_ok:
        return Counter.PASS_ABI
    if not state.gate:
        return Counter.PASS_GATE_CLOSED
    if now_boot_ns - state.touched_boot_ns > DEAD_MAN_NS:
        return Counter.PASS_AGENT_SILENT
    return None


def _look_up(request: Request, line: Line, port: Port, tables: Tables) -> Entry | None:
    """Rule 20: what stands where the kernel looks."""
    key = key_of(request.message.mac, line, port.key)
    assignment = tables.lookup(key)
    return None if assignment is None else (key, assignment)


def _bind_stranger(
    request: Request, line: Line, port: Port, tables: Tables, now_boot_ns: int
) -> Entry | Counter | None:
    """Rule 20: what the stock has for who has no binding; or what becomes of who takes that."""
    if not _may_be_newcomer(request, port, tables, now_boot_ns):
        return None
    if request.message.options.message_type == MessageType.DISCOVER:
        return _take_from_stock(request, line, port, tables, now_boot_ns)
    return Counter.ASKED if _takes_offer(request, line, port, tables, now_boot_ns) else None


def _may_be_newcomer(request: Request, port: Port, tables: Tables, now_boot_ns: int) -> bool:
    """Of whom the log, as far as it is told, knows nothing, and who asks as such a client does.

    That is a DISCOVER without wishes, or a REQUEST in SELECTING (RFC 2131 4.3.2).
    """
    options = request.message.options
    is_request = options.message_type == MessageType.REQUEST
    return (
        (is_request or options.message_type == MessageType.DISCOVER)
        and (options.requested_ip is not None) == is_request
        and (options.server_id is not None) == is_request
        and port.offers_stock
        and tables.state().current_until_boot_ns > now_boot_ns
        and not tables.is_known(request.message.mac)
    )


def _takes_offer(
    request: Request, line: Line, port: Port, tables: Tables, now_boot_ns: int
) -> bool:
    """Whether a stranger's REQUEST is for what the stock offered him."""
    message = request.message
    offered = tables.offered(key_of(message.mac, line, port.key), message.giaddr, now_boot_ns)
    pool = tables.pool(offered[1]) if offered else None
    return (
        offered is not None
        and pool is not None
        and message.ciaddr == NO_IP
        and message.options.requested_ip == offered[0]
        and message.options.server_id == pool.server_id
        and request.frame.dst_ip in (BROADCAST_IP, pool.server_id)
    )


def _take_from_stock(
    request: Request, line: Line, port: Port, tables: Tables, now_boot_ns: int
) -> Entry | None:
    """What a stranger is offered, as if it were his binding; an OFFER reads no slot."""
    message = request.message
    key = key_of(message.mac, line, port.key)
    offered = tables.offer(key, message.giaddr, now_boot_ns)
    if offered is None:
        return None
    ip, pool_id = offered
    return key, Assignment(ip, pool_id, slot=0, line=line, seq=0, mac=message.mac)


def _find_binding(
    tables: Tables, found: Entry | Counter | None, request: Request, line: Line
) -> _Binding | Counter:
    """Rules 20 to 23: the subscriber's own binding, on its line (I8), with its pool."""
    if found is None:
        return Counter.PASS_UNKNOWN_CLIENT
    if isinstance(found, Counter):
        return found
    key, assignment = found
    if not assignment.check_ok:
        return Counter.PASS_CHECK_WORD
    if holder(key, assignment) != request.message.mac or assignment.line != line:
        return Counter.PASS_OTHER_LINE
    pool = tables.pool(assignment.pool_id)
    if pool is None or not _is_whole(pool):
        return Counter.PASS_UNKNOWN_POOL
    return _Binding(key, assignment, pool)


def _is_whole(pool: PoolOptions) -> bool:
    always, all_of_it = len(pool.options), len(pool.options) + len(pool.on_request)
    return always >= options.FIXED_LEN and all_of_it <= options.POOL_OPTIONS_MAX


def _refuse_claim(request: Request, binding: _Binding) -> Counter | None:
    """Rules 24 to 26: the client talks to this server, about the address that it holds."""
    message, server_id = request.message, binding.pool.server_id
    if request.frame.dst_ip not in (BROADCAST_IP, server_id):
        return Counter.PASS_NOT_ADDRESSED
    if message.options.server_id not in (None, server_id):
        return Counter.PASS_OTHER_SERVER
    if message.options.message_type == MessageType.INFORM:
        is_own = message.options.requested_ip is None and message.ciaddr == binding.assignment.ip
        return None if is_own else Counter.PASS_OTHER_ADDRESS
    if message.options.message_type == MessageType.REQUEST and (
        isinstance(classify(message, request.frame.dst_ip), Malformed)
        or claimed_ip(message) != binding.assignment.ip
    ):
        return Counter.PASS_OTHER_ADDRESS
    return None


def _may_nak(request: Request, pool: PoolOptions, state: SiteState, now_boot_ns: int) -> bool:
    """Whether a client that is bound here, and asks for another address, may be refused.

    Only where that is one of our own network and the log is followed up to now; behind a router
    nobody would hear the broadcast ("NAK" of the specification).
    """
    message, frame = request.message, request.frame
    return (
        message.options.message_type == MessageType.REQUEST
        and not isinstance(classify(message, frame.dst_ip), Malformed)
        and claimed_ip(message) != NO_IP
        and pool.holds(claimed_ip(message))
        and min(state.current_until_boot_ns, state.horizon_boot_ns) > now_boot_ns
        and (message.giaddr != NO_IP or frame.src_mac == message.mac)
    )
