"""The records of `bpf/maps.h` as octets: the one place where the agent knows their layout.

A test compares every name, offset and size here with the BTF of the compiled object. Counters
are not here: `pins.counter_names` reads them from there.
Numbers are little-endian, addresses and MACs in network byte order.
"""

from dataclasses import replace
from typing import Final

from edge_agent.datapath.record import Record
from edge_agent.dhcp.tables import (
    NO_LIMIT,
    NO_MAC,
    Assignment,
    KeyMode,
    Limit,
    Line,
    PoolOptions,
    Port,
    SiteState,
    SubscriberKey,
    key_mode,
)
from lease_core.domain.mixing import MASK_64, mix64
from lease_core.domain.values import NO_IP, Ipv4, mac_from_bytes

MAGIC: Final = 0x4C53410B
MAX_SUBSCRIBERS: Final = 1_000_000
MAX_POOLS: Final = 10_000
MAX_PORTS: Final = 65_536
MAX_RELAYS: Final = 4
SLOTS_PER_GROUP: Final = 4
KNOWN_BITS: Final = 24
STOCK_SIZE: Final = 65_536
STOCK_PER_GROUP: Final = 8
CIRCUIT_MAX: Final = 64
POOL_OPTIONS_MAX: Final = 512
ON_REQUEST_MAX: Final = 32
NOTICES_SIZE: Final = 65_536
ASKS_SIZE: Final = 1 << 22
ASK_FRAME_MAX: Final = 640
SHARED_RATE: Final = 12_000
SHARED_BURST: Final = 20_000

CHECK_FACTORS: Final = (
    0x9E3779B97F4A7C15,
    0xBF58476D1CE4E5B9,
    0x94D049BB133111EB,
    0xD6E8FEB86659FD93,
)
"""Of holder, address, place and event in a check word."""

_SECOND_NS: Final = 10**9
_CLIENTS, _RELAYS, _ACCESS_NODE = range(3)


POOL_ASSIGNMENT: Final = Record(
    "pool_assignment",
    ip_be="4s",
    pool_id="I",
    slot="I",
    ifindex="I",
    s_vlan="H",
    c_vlan="H",
    check="I",
    seq="Q",
    mac="6s",
    reserved="2s",
)
CIRCUIT: Final = Record("circuit", giaddr_be="4s", len="I", octets=f"{CIRCUIT_MAX}s")
IP_POOL: Final = Record(
    "ip_pool",
    network_be="4s",
    netmask_be="4s",
    server_id_be="4s",
    lease_time_s="I",
    options_len="I",
    always_len="I",
    options=f"{POOL_OPTIONS_MAX}s",
    name="32s",
)
PROMISE: Final = Record("promise", kernel_boot_ns="Q", agent_boot_ns="Q")
STOCKED: Final = Record(
    "stocked", key="Q", until_boot_ns="Q", ip_be="4s", pool_id="I", link_be="4s", reserved="I"
)
LIMIT: Final = Record("limit", interval_ns="Q", window_ns="Q")
ACCESS_PORT: Final = Record(
    "access_port",
    mac="6s",
    enabled="B",
    speaker="B",
    relays_be=f"{4 * MAX_RELAYS}s",
    key_mode="I",
    offers_stock="I",
    line_limit=f"{LIMIT.size}s",
    mac_limit=f"{LIMIT.size}s",
)
SITE_STATE: Final = Record(
    "site_state",
    abi_magic="I",
    gate="I",
    held_until_elapsed_ns="Q",
    horizon_boot_ns="Q",
    touched_boot_ns="Q",
    touched_elapsed_ns="Q",
    epoch="Q",
    incarnation="Q",
    cursor_lo="Q",
    cursor_hi="Q",
    cursor_commit_ms="Q",
    cursor_hash="8s",
    genesis="16s",
    lines="Q",
    recovering="Q",
    current_until_boot_ns="Q",
    pools_version="Q",
    slot_groups="Q",
    stock_groups="Q",
)
NOTICE: Final = Record(
    "notice",
    at_boot_ns="Q",
    seq="Q",
    kind="I",
    reason="I",
    ifindex="I",
    mac="6s",
    s_vlan="H",
    sender="6s",
    c_vlan="H",
    ip_be="4s",
)
ASK: Final = Record(
    "ask",
    at_boot_ns="Q",
    mac="Q",
    ip="I",
    server="I",
    link="I",
    ifindex="I",
    s_vlan="H",
    c_vlan="H",
    len="H",
    host_at="H",
    host_len="I",
    reserved="I",
    circuit=f"{CIRCUIT.size}s",
    frame=f"{ASK_FRAME_MAX}s",
)


def check_word(key: SubscriberKey, assignment: Assignment) -> int:
    """The 32 bits that tie a value to its key ("Hash" in `docs/replies.md`)."""
    return _check_word(key, assignment, _mac_octets(key, assignment))


def _mac_octets(key: SubscriberKey, assignment: Assignment) -> bytes:
    """The MAC of `holder` in wire order."""
    if key_mode(key) is KeyMode.MAC:
        return key.to_bytes(8, "little")[:6]
    return assignment.mac.to_bytes(6, "big")


def _check_word(key: SubscriberKey, assignment: Assignment, mac_octets: bytes) -> int:
    line = assignment.line
    ip_be = int.from_bytes(assignment.ip.to_bytes(4, "big"), "little")
    mac = int.from_bytes(mac_octets, "little")
    by_holder, by_address, by_place, by_event = CHECK_FACTORS
    total = (
        (key ^ mac << 16) * by_holder
        + (ip_be | assignment.pool_id << 32) * by_address
        + (assignment.slot | line.ifindex << 32) * by_place
        + (line.s_vlan | line.c_vlan << 16 | assignment.seq << 32) * by_event
    )
    return mix64(total & MASK_64) & 0xFFFFFFFF


def pack_assignment(key: SubscriberKey, assignment: Assignment) -> bytes:
    """Encode a binding; `check_ok` False gets a check word that does not fit.

    What relays say of its line is another record, see `pack_circuit`.
    """
    line = assignment.line
    mac = _mac_octets(key, assignment)
    check = _check_word(key, assignment, mac) ^ (not assignment.check_ok)
    return POOL_ASSIGNMENT.layout.pack(
        assignment.ip.to_bytes(4, "big"),
        assignment.pool_id,
        assignment.slot,
        line.ifindex,
        line.s_vlan,
        line.c_vlan,
        check,
        assignment.seq,
        mac,
        b"\0\0",
    )


def unpack_assignment(key: SubscriberKey, octets: bytes) -> Assignment:
    """Decode a binding and say whether its check word fits the key it was found under."""
    ip_be, pool_id, slot, ifindex, s_vlan, c_vlan, check, seq, mac, _ = (
        POOL_ASSIGNMENT.layout.unpack(octets)
    )
    owner = NO_MAC if key_mode(key) is KeyMode.MAC else mac_from_bytes(mac)
    line = Line(ifindex, s_vlan, c_vlan)
    assignment = Assignment(_ip(ip_be), pool_id, slot, line, seq, mac=owner)
    if mac == _mac_octets(key, assignment) and check == _check_word(key, assignment, mac):
        return assignment
    return replace(assignment, check_ok=False)


def pack_circuit(line: Line) -> bytes:
    """Encode what relays say of a line.

    Raises:
        ValueError: no circuit id, or one that is too long; the caller's fault.
    """
    if not 1 <= len(line.circuit) <= CIRCUIT_MAX:
        raise ValueError(f"a circuit id of {len(line.circuit)} octets, 1 to {CIRCUIT_MAX} fit")
    return CIRCUIT.layout.pack(line.giaddr.to_bytes(4, "big"), len(line.circuit), line.circuit)


def unpack_circuit(octets: bytes, line: Line) -> Line:
    """The line with what relays say of it."""
    giaddr_be, length, circuit = CIRCUIT.layout.unpack(octets)
    return line._replace(giaddr=_ip(giaddr_be), circuit=circuit[:length])


def pack_pool(pool: PoolOptions) -> bytes:
    """Encode a pool; the kernel relies on the zeros behind its options.

    Raises:
        ValueError: the options are longer than `POOL_OPTIONS_MAX`; the renderer's fault.
    """
    options = pool.options + pool.on_request
    if len(options) > POOL_OPTIONS_MAX:
        raise ValueError(f"{len(options)} octets of options, at most {POOL_OPTIONS_MAX} fit")
    return IP_POOL.layout.pack(
        pool.network.to_bytes(4, "big"),
        pool.netmask.to_bytes(4, "big"),
        pool.server_id.to_bytes(4, "big"),
        pool.lease_time_s,
        len(options),
        len(pool.options),
        options,
        pool.name.encode(),
    )


def unpack_pool(octets: bytes) -> PoolOptions:
    network_be, netmask_be, server_be, lease_time_s, length, always, options, name = (
        IP_POOL.layout.unpack(octets)
    )
    return PoolOptions(
        _ip(network_be),
        _ip(netmask_be),
        _ip(server_be),
        lease_time_s,
        options[:always],
        name.rstrip(b"\0").decode(),
        options[always:length],
    )


def pack_port(port: Port, *, enabled: bool = True) -> bytes:
    """Encode an interface.

    Raises:
        ValueError: more than `MAX_RELAYS` relays, or 0.0.0.0 among them; the operator's fault.
    """
    if len(port.relays) > MAX_RELAYS:
        raise ValueError(f"{len(port.relays)} relays on a port, at most {MAX_RELAYS} fit")
    if NO_IP in port.relays:
        raise ValueError("0.0.0.0 is no relay")
    relays_be = b"".join(relay.to_bytes(4, "big") for relay in port.relays)
    return ACCESS_PORT.layout.pack(
        port.mac.to_bytes(6, "big"),
        enabled,
        _RELAYS if port.relays else _ACCESS_NODE if port.trusted else _CLIENTS,
        relays_be,
        port.key,
        port.offers_stock,
        _pack_limit(port.line_limit),
        _pack_limit(port.mac_limit),
    )


def unpack_port(octets: bytes) -> Port | None:
    """Decode an interface; None where it is not ours."""
    mac, enabled, speaker, relays_be, mode, offers, *limits = ACCESS_PORT.layout.unpack(octets)
    if not enabled:
        return None
    relays = (_ip(relays_be[at : at + 4]) for at in range(0, len(relays_be), 4))
    allowed = tuple(relay for relay in relays if relay != NO_IP)
    line_limit, mac_limit = map(_unpack_limit, limits)
    return Port(
        mac_from_bytes(mac),
        allowed,
        KeyMode(mode),
        line_limit,
        mac_limit,
        trusted=speaker == _ACCESS_NODE,
        offers_stock=bool(offers),
    )


def _pack_limit(limit: Limit) -> bytes:
    interval_ns = _SECOND_NS // limit.rate_per_s if limit.rate_per_s else 0
    return LIMIT.layout.pack(interval_ns, interval_ns * limit.burst)


def _unpack_limit(octets: bytes) -> Limit:
    interval_ns, window_ns = LIMIT.layout.unpack(octets)
    return Limit(_SECOND_NS // interval_ns, window_ns // interval_ns) if interval_ns else NO_LIMIT


def pack_state(state: SiteState) -> bytes:
    """Encode the site's record, the tables' own words as 0; `abi_ok` False omits the magic."""
    return SITE_STATE.layout.pack(
        MAGIC if state.abi_ok else 0,
        state.gate,
        state.held_until_elapsed_ns,
        state.horizon_boot_ns,
        state.touched_boot_ns,
        state.touched_elapsed_ns,
        state.epoch,
        state.incarnation,
        state.cursor_lo,
        state.cursor_hi,
        state.cursor_commit_ms,
        state.cursor_hash,
        state.genesis,
        state.lines,
        state.recovering,
        state.current_until_boot_ns,
        0,
        0,
        0,
    )


def unpack_state(octets: bytes) -> SiteState:
    magic, gate, held_until, horizon, touched_boot, touched_elapsed, *more = (
        SITE_STATE.layout.unpack(octets)
    )
    epoch, incarnation, lo, hi, commit_ms, cursor_hash, genesis, lines, lost, current, *_ = more
    return SiteState(
        gate=gate == 1,
        held_until_elapsed_ns=held_until,
        horizon_boot_ns=horizon,
        touched_boot_ns=touched_boot,
        touched_elapsed_ns=touched_elapsed,
        epoch=epoch,
        incarnation=incarnation,
        cursor_lo=lo,
        cursor_hi=hi,
        cursor_commit_ms=commit_ms,
        cursor_hash=cursor_hash,
        genesis=genesis,
        lines=lines,
        recovering=bool(lost),
        current_until_boot_ns=current,
        abi_ok=magic == MAGIC,
    )


def _ip(octets: bytes) -> Ipv4:
    return Ipv4(int.from_bytes(octets, "big"))
