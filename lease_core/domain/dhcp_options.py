"""DHCP options of a pool as an operator writes and reads them: `mtu=1500; 43=hex:0104c0000201`.

Flow: text -> code and octets (RFC 2132), and back. The text is what logs hold; every option has
one form in it, so that equal options are equal text.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from lease_core.domain.values import InvalidValueError, Ipv4, ip_from_text, ip_text

SUBNET_MASK: Final = 1
ROUTERS: Final = 3
DNS: Final = 6
MAX_VALUE: Final = 255
ALWAYS: Final = frozenset((SUBNET_MASK, ROUTERS, DNS))
"""What every client is sent, whether it asks or not."""
MAX_OCTETS: Final = 485
MAX_ALWAYS_OCTETS: Final = 229
MAX_OWN: Final = 32
"""What an edge has room for: octets with code and length of each option, those of `ALWAYS`, and
how many others. An edge that meets more halts, so the plan never says more."""

_RESERVED: Final = frozenset((0, *range(50, 60), 61, 82, 255))
"""Codes that the service writes itself or that only clients and relays send."""

_TEXT: Final = re.compile(r"[ -:<-~]+")
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_HEX: Final = "hex:"


class _Kind(NamedTuple):
    """How values of some options are written; both functions raise ValueError for others."""

    read: Callable[[str], bytes]
    show: Callable[[bytes], str]


def _read_addresses(text: str) -> bytes:
    return b"".join(ip_from_text(part.strip()).to_bytes(4, "big") for part in text.split(","))


def _show_addresses(value: bytes) -> str:
    return ",".join(ip_text(Ipv4(int.from_bytes(four, "big"))) for four in _in_fours(value))


def _in_fours(value: bytes) -> list[bytes]:
    if not value or len(value) % 4:
        raise ValueError("not whole addresses")
    return [value[at : at + 4] for at in range(0, len(value), 4)]


def _read_address(text: str) -> bytes:
    return ip_from_text(text).to_bytes(4, "big")


def _number(octets: int, low: int = 0) -> _Kind:
    high = (1 << 8 * octets) - 1

    def read(text: str) -> bytes:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise InvalidValueError(f"{text!r} is no number of {low}..{high}")
        return int(text).to_bytes(octets, "big")

    return _Kind(read, lambda value: str(int.from_bytes(value, "big")))


def _read_text(text: str) -> bytes:
    if not _TEXT.fullmatch(text):
        raise InvalidValueError(f"{text!r} is not printable ASCII without ';'")
    return text.encode()


def _read_names(text: str) -> bytes:
    """RFC 3397, each name written out."""
    encoded = b""
    for name in text.split(","):
        labels = name.strip().removesuffix(".").split(".")
        if not all(map(_LABEL.fullmatch, labels)) or sum(map(len, labels)) + len(labels) > 254:
            raise InvalidValueError(f"{name.strip()!r} is no domain name")
        encoded += b"".join(bytes((len(label),)) + label.encode() for label in labels) + b"\0"
    return encoded


def _show_names(value: bytes) -> str:
    names, at = [], 0
    while at < len(value):
        labels = []
        while length := value[at]:
            labels.append(value[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        names.append(".".join(labels))
        at += 1
    return ",".join(names)


def _read_routes(text: str) -> bytes:
    """RFC 3442: length of the prefix, the octets of it that count, the router."""
    encoded = b""
    for route in text.split(","):
        prefix, _, router = route.partition(" via ")
        try:
            network = ipaddress.IPv4Network(prefix.strip())
        except ValueError as error:
            raise InvalidValueError(
                f"{route.strip()!r} is no route; write it like 10.0.0.0/8 via 192.0.2.1"
            ) from error
        used = -(-network.prefixlen // 8)
        encoded += bytes((network.prefixlen,)) + network.network_address.packed[:used]
        encoded += ip_from_text(router.strip()).to_bytes(4, "big")
    return encoded


def _show_routes(value: bytes) -> str:
    routes, at = [], 0
    while at < len(value):
        length = value[at]
        used = -(-length // 8)
        network = ipaddress.IPv4Address(value[at + 1 : at + 1 + used].ljust(4, b"\0"))
        at += 1 + used + 4
        routes.append(f"{network}/{length} via {_show_addresses(value[at - 4 : at])}")
    return ",".join(routes)


_ADDRESSES: Final = _Kind(_read_addresses, _show_addresses)
_ADDRESS: Final = _Kind(_read_address, _show_addresses)
_STRING: Final = _Kind(_read_text, lambda value: value.decode("ascii"))
_NAMED: Final[dict[str, tuple[int, _Kind]]] = {
    "mask": (SUBNET_MASK, _ADDRESS),
    "routers": (ROUTERS, _ADDRESSES),
    "dns": (DNS, _ADDRESSES),
    "log-servers": (7, _ADDRESSES),
    "domain": (15, _STRING),
    "mtu": (26, _number(2, low=68)),
    "broadcast": (28, _ADDRESS),
    "ntp": (42, _ADDRESSES),
    "tftp-server": (66, _STRING),
    "boot-file": (67, _STRING),
    "posix-timezone": (100, _STRING),
    "timezone": (101, _STRING),
    "ipv6-only": (108, _number(4)),
    "captive-portal": (114, _STRING),
    "domain-search": (119, _Kind(_read_names, _show_names)),
    "routes": (121, _Kind(_read_routes, _show_routes)),
    "tftp-addresses": (150, _ADDRESSES),
}
_BY_CODE: Final = {code: (name, kind) for name, (code, kind) in _NAMED.items()}


def read_options(text: str) -> dict[int, bytes]:
    """Read `name=value; name=value`: code to value in network order, by code.

    A name is one that `show_options` writes, or a code. A value that begins with `hex:` is raw
    octets, and is the only kind for codes without a name.

    Raises:
        InvalidValueError: names the option, what is wrong with it and the remedy.
    """
    values: dict[int, bytes] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, equals, written = (piece.strip() for piece in part.partition("="))
        code = code_of(name)
        if not equals:
            raise InvalidValueError(f"option {name!r} has no value; write {name}=VALUE")
        if code in values:
            raise InvalidValueError(f"option {name} is named twice; name it once")
        values[code] = _read_value(name, code, written)
    return dict(sorted(values.items()))


def code_of(name: str) -> int:
    """The code of an option, given by name or code.

    Raises:
        InvalidValueError: there is no such option, or it is not for operators.
    """
    if name in _NAMED:
        return _NAMED[name][0]
    if not (name.isascii() and name.isdigit() and len(name) <= 3 and int(name) <= 255):
        raise InvalidValueError(
            f"{name!r} is no option; name one of {', '.join(_NAMED)}, or a code from 1 to 254"
        )
    if int(name) in _RESERVED:
        raise InvalidValueError(f"option {name} is the service's own; leave it out")
    return int(name)


def _read_value(name: str, code: int, written: str) -> bytes:
    try:
        if written.startswith(_HEX):
            value = bytes.fromhex(written.removeprefix(_HEX))
        elif code in _BY_CODE:
            value = _BY_CODE[code][1].read(written)
        else:
            raise InvalidValueError(f"its form is not known; write {name}=hex:0a0b0c")
    except ValueError as error:
        raise InvalidValueError(f"option {name}: {error}") from error
    if not 1 <= len(value) <= MAX_VALUE:
        raise InvalidValueError(f"option {name} has {len(value)} octets; 1 to {MAX_VALUE} are sent")
    return value


def show_options(values: Mapping[int, bytes]) -> str:
    """Write options in their one form; `read_options` gives the same values back."""
    return "; ".join(_show(code, values[code]) for code in sorted(values))


def _show(code: int, value: bytes) -> str:
    name, kind = _BY_CODE.get(code, (str(code), None))
    raw = _HEX + value.hex()
    if kind is None:
        return f"{name}={raw}"
    try:
        written = kind.show(value)
        is_same = _read_value(name, code, written.strip()) == value
    except (ValueError, IndexError):
        is_same = False
    return f"{name}={written if is_same else raw}"


def size_of(values: Mapping[int, bytes]) -> int:
    """Octets that options take in a reply."""
    return sum(2 + len(value) for value in values.values())
