"""How the attributes of a dataclass stand in a flat entry: order, and strict reading.

Everything is resolved once: converters for a class, which attributes stand where for a sequence
of field names. Reading is strict: fields in their order, none unknown, each value in its one
canonical form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Generic, NamedTuple, TypeVar, get_type_hints

from lease_core.domain.values import InvalidValueError, printable
from lease_core.log.converters import CONVERTERS, read_word, write_int
from lease_core.log.hashes import HEX, HashForm

Flat = list[bytes]
"""Names and values of one entry in turn, in wire order: as it is written and read."""


class Written(NamedTuple):
    """An entry as it is made: many have the same names."""

    names: tuple[bytes, ...]
    values: list[bytes]

    def flat(self) -> Flat:
        """The same as it is read."""
        return [part for pair in zip(self.names, self.values, strict=True) for part in pair]


Fields = dict[bytes, bytes]
"""The same, by name."""

NUL: Final = b"\0"
TAB: Final = b"\t"
MAX_VALUE_OCTETS: Final = 2048
_FIRST_ATTRIBUTES: Final = ("mac", "ip", "pool", "line", "cause", "req")
_WORDS: Final = ("pool", "line", "cause")

T = TypeVar("T")


def by_name(entry: Flat) -> Fields:
    """The fields of an entry."""
    return dict(zip(entry[::2], entry[1::2], strict=True))


def flat_of(fields: Mapping[T, T]) -> list[T]:
    """Names and values in turn."""
    return [part for pair in fields.items() for part in pair]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields that an entry has besides those of its object."""

    before: tuple[bytes, ...]
    """Names of those before the first attributes; version and kind begin."""
    behind: tuple[bytes, ...] = ()
    """Names of those between the first attributes and the others."""
    h: HashForm = HEX
    """How `h` stands there."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """How one attribute stands in an entry; it is left out when it has its default."""

    wire_name: bytes
    name: str
    default: object
    write: Callable[[Any], str]
    """`str` leaves a text as it is."""
    read: Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """What the values of an entry are, by the names that it has."""

    make: Callable[..., T]
    reads: tuple[tuple[int, Callable[[bytes], Any]], ...]
    """For each attribute of the class in turn: at which place its value stands, and its reading."""
    defaults: tuple[tuple[int, bytes], ...]
    """Values that are told by being left out, by place."""
    names: bytes
    """Of all fields but `h`, with NUL between."""
    h_at: int
    """Where `h` stands; 0 = nowhere."""
    by_at: int
    """Where `by` stands; 0 = nowhere."""
    h: HashForm

    def read(self, values: Sequence[bytes]) -> T:
        """Make the object that the values of an entry of this shape describe.

        Raises:
            ValueError: a value is malformed, or spells out its default.
        """
        for place, octets in self.defaults:
            if values[place] == octets:
                raise InvalidValueError("a field spells out its default")
        return self.make(*[read(values[place]) for place, read in self.reads])

    def hashed(self, entry_id: bytes, values: Sequence[bytes]) -> bytes:
        """What an event's hash is over, but for the hash before: all but `h`, with NUL between.

        That is its id, then the names of the fields, then their values. No part holds NUL, so no
        two entries look alike.

        Raises:
            InvalidValueError: one does.
        """
        at = self.h_at
        octets = NUL.join((entry_id, self.names, *values[:at], *values[at + 1 :]))
        if octets.count(NUL) != 2 * (len(values) - 1):
            raise InvalidValueError("a field holds NUL")
        return octets


@dataclass(frozen=True, slots=True)
class Layout(Generic[T]):
    """One version of one class: `first` are the attributes every entry shows first."""

    make: Callable[..., T]
    kind: bytes
    version: bytes
    first: tuple[Attribute, ...]
    rest: tuple[Attribute, ...]
    names: tuple[str, ...]
    """Of all attributes, in the order of the class."""
    envelope: Envelope
    _shapes: dict[tuple[bytes, ...], Shape[T]] = field(init=False, default_factory=dict)

    def shape(self, names: tuple[bytes, ...]) -> Shape[T]:
        """The shape of entries that have these fields, the envelope's among them.

        Raises:
            InvalidValueError: a field is missing, misplaced or unknown.
        """
        known = self._shapes.get(names)
        if known is None:
            known = self._shapes[names] = self._resolve(names)
        return known

    def _resolve(self, names: tuple[bytes, ...]) -> Shape[T]:
        around = self.envelope
        begin: tuple[bytes | Attribute, ...] = (*around.before, *self.first)
        expected = (*begin, *around.behind, *self.rest)
        places: dict[str, int] = {}
        at = 0
        for part in expected:
            wire_name = part if isinstance(part, bytes) else part.wire_name
            if names[at : at + 1] == (wire_name,):
                if not isinstance(part, bytes):
                    places[part.name] = at
                at += 1
            elif isinstance(part, bytes) or part.default is MISSING:
                found = printable(b"".join(names[at : at + 1]))
                raise InvalidValueError(f"field {wire_name.decode()} expected, not {found!r}")
        if at < len(names):
            raise InvalidValueError(f"unknown field {printable(names[at])!r}")
        attributes = {each.name: each for each in (*self.first, *self.rest)}
        shown = [(attributes[name], place) for name, place in places.items()]
        return Shape(
            self.make,
            tuple(_reading(attributes[name], places.get(name)) for name in self.names),
            tuple(
                (place, a.write(a.default).encode())
                for a, place in shown
                if a.default is not MISSING
            ),
            NUL.join(name for name in names if name != b"h"),
            place_of(b"h", names),
            place_of(b"by", names),
            around.h,
        )


def _reading(attribute: Attribute, place: int | None) -> tuple[int, Callable[[bytes], Any]]:
    """Where and how to read an attribute; one that is left out has its default."""
    return (0, lambda _: attribute.default) if place is None else (place, attribute.read)


def place_of(name: bytes, names: Sequence[bytes]) -> int:
    """Where a field of the envelope stands; 0 = nowhere."""
    return names.index(name) if name in names else 0


def layout_of(cls: type[T], envelope: Envelope) -> Layout[T]:
    """Resolve the converters and the order of a class with a `VERSION`."""
    hints = get_type_hints(cls)
    attributes = {}
    for each in fields(cls):  # type: ignore[arg-type]
        write, read = CONVERTERS[hints[each.name]]
        read = read_word if each.name in _WORDS else read
        attributes[each.name] = Attribute(each.name.encode(), each.name, each.default, write, read)
    first = tuple(attributes.pop(name) for name in _FIRST_ATTRIBUTES if name in attributes)
    version = write_int(cls.VERSION).encode()  # type: ignore[attr-defined]
    names = tuple(each.name for each in fields(cls))  # type: ignore[arg-type]
    rest = tuple(attributes.values())
    return Layout(cls, cls.__name__.encode(), version, first, rest, names, envelope)
