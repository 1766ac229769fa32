"""Options: a bounded walk over what a client sent, and the encoding of one.

The walk follows "Option walk" of `docs/replies.md`: it reads every option once, never looks
outside the area, and refuses whatever RFC 3396 would have it guess about (a split 61 or 82).
`parse_lenient` is the agent's other walk, for the rare messages that are split or overloaded.
"""

from typing import Final, NamedTuple

from edge_agent.dhcp import codes
from edge_agent.dhcp.counters import Counter
from lease_core.domain.values import Ipv4

MAX_AREA: Final = 512
MAX_OPTIONS: Final = 64
MAX_VALUE: Final = 255

AT_TYPE: Final = 2
AT_TIMES: Final = 9
AT_LEASE: Final = 11
AT_T1: Final = 17
AT_T2: Final = 23
FIXED_LEN: Final = 27
POOL_OPTIONS_MAX: Final = 512
ON_REQUEST_MAX: Final = 32

END: Final = bytes([codes.END])

_SINGLE: Final = frozenset(
    (
        codes.REQUESTED_IP,
        codes.OVERLOAD,
        codes.MESSAGE_TYPE,
        codes.SERVER_ID,
        codes.PARAMETERS,
        codes.MAX_SIZE,
        codes.CLIENT_ID,
        codes.RELAY_INFO,
    )
)

_OVERLOADED: Final = {b"": (), b"\x01": (0,), b"\x02": (1,), b"\x03": (0, 1)}
"""Option 52 (RFC 2132 9.3): which of `file` (0) and `sname` (1) hold options."""


class Options(NamedTuple):
    """The options of a request that matter here; the others were walked over."""

    message_type: int = 0
    """Option 53, 0 = absent; may be a number that `MessageType` does not know."""
    requested_ip: Ipv4 | None = None
    """Option 50; None = absent, which is another state than 0.0.0.0 (RFC 2131 4.3.2)."""
    server_id: Ipv4 | None = None
    """Option 54; None = absent."""
    client_id: bytes | None = None
    """Value of option 61 with its type octet, 1..255 octets."""
    relay_info: bytes | None = None
    """Value of option 82 with its sub-options, 1..255 octets."""
    parameters: bytes | None = None
    """Option 55, the codes that the client asks for; None = absent, so it asks for all."""
    max_size: int = 0
    """Option 57, the longest IP datagram that the client takes in octets; 0 = absent."""
    host_name: bytes = b""
    """Option 12 as sent (RFC 3396: parts joined); a stranger's octets, see `values.printable`."""


def parse(area: bytes) -> Options | Counter:
    """Walk the octets behind the magic cookie up to END.

    Returns `PASS_OPTIONS` where the area breaks a rule of the specification; never raises. A
    value that reaches beyond the area ends the walk without END, which is such a breach. Costs
    at most one step per octet of `MAX_AREA`.
    """
    end = len(area)
    if end > MAX_AREA:
        return Counter.PASS_OPTIONS
    single: dict[int, bytes] = {}
    host_name = b""
    at = count = 0
    while at < end:
        code = area[at]
        if code == codes.PAD:
            at += 1
            continue
        if code == codes.END:
            return _recognise(single, host_name)
        value = at + 2
        count += 1
        if value > end or count > MAX_OPTIONS:
            break
        at = value + area[value - 1]
        if code in _SINGLE:
            if code in single:
                break
            single[code] = area[value:at]
        elif code == codes.HOST_NAME:
            host_name += area[value:at]
    return Counter.PASS_OPTIONS


def _recognise(single: dict[int, bytes], host_name: bytes) -> Options | Counter:
    """Check the lengths of what the walk collected and read the numbers (network order)."""
    get = single.get
    message_type = get(codes.MESSAGE_TYPE)
    requested_ip = get(codes.REQUESTED_IP)
    server_id = get(codes.SERVER_ID)
    client_id = get(codes.CLIENT_ID)
    relay_info = get(codes.RELAY_INFO)
    max_size = get(codes.MAX_SIZE)
    if (
        (message_type is not None and len(message_type) != 1)
        or (requested_ip is not None and len(requested_ip) != 4)
        or (server_id is not None and len(server_id) != 4)
        or (max_size is not None and len(max_size) != 2)
        or b"" in (client_id, relay_info)
        or codes.OVERLOAD in single
    ):
        return Counter.PASS_OPTIONS
    return Options(
        message_type[0] if message_type else 0,
        _ip(requested_ip) if requested_ip else None,
        _ip(server_id) if server_id else None,
        client_id,
        relay_info,
        get(codes.PARAMETERS),
        int.from_bytes(max_size or b"", "big"),
        host_name,
    )


def parse_lenient(area: bytes, file: bytes, sname: bytes) -> Options | Counter:
    """Walk a message whose options are split or overloaded, as the agent may (not the kernel).

    Parts of an option are joined (RFC 3396 7) in the order options, `file`, `sname`, of which the
    latter two are read if option 52 says so (RFC 2132 9.3). Returns `PASS_OPTIONS` where a value
    is cut, has a wrong length when joined, or is longer than one option of the reply can echo;
    and where option 82 is not there whole and once, since a client may have written a part of it.
    Never raises; costs a step per octet.
    """
    parts: dict[int, list[bytes]] = {}
    if not _collect(area, parts):
        return Counter.PASS_OPTIONS
    overload = b"".join(parts.pop(codes.OVERLOAD, ()))
    if overload not in _OVERLOADED:
        return Counter.PASS_OPTIONS
    relay_parts = len(parts.get(codes.RELAY_INFO, ()))
    for field in _OVERLOADED[overload]:
        if not _collect((file, sname)[field], parts):
            return Counter.PASS_OPTIONS
    if codes.OVERLOAD in parts or not relay_parts == len(parts.get(codes.RELAY_INFO, ())) <= 1:
        return Counter.PASS_OPTIONS
    joined = {code: b"".join(values) for code, values in parts.items()}
    if len(joined.get(codes.CLIENT_ID, b"")) > MAX_VALUE:
        return Counter.PASS_OPTIONS
    return _recognise(joined, joined.get(codes.HOST_NAME, b""))


def _collect(field: bytes, parts: dict[int, list[bytes]]) -> bool:
    """Add the options of one field to `parts`, up to END or the field's end; False = cut."""
    at, end = 0, len(field)
    while at < end and field[at] != codes.END:
        code = field[at]
        at += 1
        if code == codes.PAD:
            continue
        if at == end:
            return False
        value, at = at + 1, at + 1 + field[at]
        if at > end:
            return False
        parts.setdefault(code, []).append(field[value:at])
    return True


def _ip(octets: bytes) -> Ipv4:
    return Ipv4(int.from_bytes(octets, "big"))


def option(code: int, value: bytes) -> bytes:
    """Encode one option (RFC 2132 2).

    Raises:
        ValueError: the value is longer than one option can hold; the caller's fault.
    """
    if len(value) > MAX_VALUE:
        raise ValueError(f"option {code} has {len(value)} octets, at most {MAX_VALUE} fit")
    return bytes((code, len(value))) + value
