"""How the attributes of a dataclass stand in a flat entry: converters, order, strict reading.

Everything is resolved once per class. Reading is strict: fields in their order, none unknown,
each value in its one canonical form. So what was read encodes to the very octets that were
stored, and a hash checked over records is a hash checked over what is stored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final, Generic, TypeVar, get_type_hints

from lease_core.domain.values import (
    InvalidValueError,
    Ipv4,
    Mac,
    ip_text,
    mac_text,
    printable,
)

Fields = dict[bytes, bytes]
"""The fields of one entry in wire order."""

MAX_VALUE_OCTETS: Final = 2048
_MAX_DIGITS: Final = 18
_FIRST_ATTRIBUTES: Final = ("mac", "ip", "pool", "line", "cause", "req")
_WIRE_MAC: Final = re.compile(rb"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")

_OCTETS: Final = {b"%d" % octet: octet for octet in range(256)}

T = TypeVar("T")


def write_int(value: int) -> bytes:
    """Raises InvalidValueError for what `read_int` would refuse."""
    if not 0 <= value < 10**_MAX_DIGITS:
        raise InvalidValueError(f"{value} is out of range; entries hold 0..10^{_MAX_DIGITS}-1")
    return b"%d" % value


def read_int(octets: bytes) -> int:
    """Raises InvalidValueError for all but plain digits without leading zeros."""
    if not octets.isdigit() or len(octets) > _MAX_DIGITS or (octets[0] == 0x30 and len(octets) > 1):
        raise InvalidValueError(f"{printable(octets)!r} is no number")
    return int(octets)


def write_text(value: str) -> bytes:
    """Raises ValueError for text that is too long or has no UTF-8 form."""
    octets = value.encode()
    if len(octets) > MAX_VALUE_OCTETS:
        raise InvalidValueError(f"{len(octets)} octets of text; {MAX_VALUE_OCTETS} are allowed")
    return octets


def _write_mac(value: Mac) -> bytes:
    if not 0 <= value < 1 << 48:
        raise InvalidValueError(f"{value} is no MAC address")
    return mac_text(value).encode()


def _read_mac(octets: bytes) -> Mac:
    if not _WIRE_MAC.fullmatch(octets):
        raise InvalidValueError(f"{printable(octets)!r} is no MAC address in lower case")
    return Mac(int(octets.replace(b":", b""), 16))


def _write_ip(value: Ipv4) -> bytes:
    if not 0 <= value < 1 << 32:
        raise InvalidValueError(f"{value} is no IPv4 address")
    return ip_text(value).encode()


def _read_ip(octets: bytes) -> Ipv4:
    try:
        a, b, c, d = (_OCTETS[part] for part in octets.split(b"."))
    except (KeyError, ValueError):
        raise InvalidValueError(f"{printable(octets)!r} is no IPv4 address") from None
    return Ipv4(a << 24 | b << 16 | c << 8 | d)


_CONVERTERS: Final[dict[object, tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]] = {
    Mac: (_write_mac, _read_mac),
    Ipv4: (_write_ip, _read_ip),
    int: (write_int, read_int),
    str: (write_text, bytes.decode),
}


class Cursor:
    """Takes the fields of one entry in order."""

    __slots__ = ("_pairs", "name", "value")

    def __init__(self, entry: Mapping[bytes, bytes]) -> None:
        self._pairs = iter(entry.items())
        self.name, self.value = next(self._pairs, (b"", b""))

    def take(self, name: bytes) -> bytes:
        """Return the value of the next field, which must be `name`.

        Raises:
            InvalidValueError: another field stands there, or the value is too long.
        """
        if self.name != name:
            raise InvalidValueError(f"field {name.decode()} expected, not {printable(self.name)!r}")
        value = self.value
        if len(value) > MAX_VALUE_OCTETS:
            raise InvalidValueError(f"field {name.decode()} has {len(value)} octets")
        self.name, self.value = next(self._pairs, (b"", b""))
        return value

    def finish(self) -> None:
        """Raises InvalidValueError if fields are left."""
        if self.name:
            raise InvalidValueError(f"unknown field {printable(self.name)!r}")


@dataclass(frozen=True, slots=True)
class Attribute:
    """How one attribute stands in an entry; it is left out when it has its default."""

    wire_name: bytes
    name: str
    default: object
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """One version of one class: `first` are the attributes every entry shows first."""

    make: Callable[..., T]
    kind: bytes
    version: bytes
    first: tuple[Attribute, ...]
    rest: tuple[Attribute, ...]


def layout_of(cls: type[T]) -> Layout[T]:
    """Resolve the converters and the order of a class with a `VERSION`."""
    hints = get_type_hints(cls)
    attributes = {
        field.name: Attribute(
            field.name.encode(), field.name, field.default, *_CONVERTERS[hints[field.name]]
        )
        for field in fields(cls)  # type: ignore[arg-type]
    }
    first = tuple(attributes.pop(name) for name in _FIRST_ATTRIBUTES if name in attributes)
    version = write_int(cls.VERSION)  # type: ignore[attr-defined]
    return Layout(cls, cls.__name__.encode(), version, first, tuple(attributes.values()))


def put(source: object, attributes: tuple[Attribute, ...], entry: Fields) -> None:
    """Write `attributes` of `source` into `entry`.

    Raises:
        ValueError: a value that could not be read back; the fault of whoever made it.
    """
    for attribute in attributes:
        value = getattr(source, attribute.name)
        if value != attribute.default:
            entry[attribute.wire_name] = attribute.write(value)


def take(cursor: Cursor, attributes: tuple[Attribute, ...], values: dict[str, Any]) -> None:
    """Read `attributes` into `values`; one that is left out stays out, it has a default.

    Raises:
        ValueError: a field is missing, misplaced or malformed.
    """
    for attribute in attributes:
        if cursor.name == attribute.wire_name:
            value = attribute.read(cursor.take(attribute.wire_name))
            if value == attribute.default:
                raise InvalidValueError(f"field {attribute.name} spells out its default")
            values[attribute.name] = value
        elif attribute.default is MISSING:
            cursor.take(attribute.wire_name)
