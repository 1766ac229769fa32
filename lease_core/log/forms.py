"""How an object becomes the fields of an entry.

What depends on its class alone, or on which of its attributes it shows, is resolved once: an
allocator writes a hundred thousand events a second.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter, ne
from typing import Any, Generic, TypeVar

from lease_core.domain.values import InvalidValueError
from lease_core.log.layout import MAX_VALUE_OCTETS, NUL, Layout, place_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form:
    """What entries of one class that show the same attributes have in common."""

    names: tuple[bytes, ...]
    """Of all fields, in wire order."""
    hashed_names: bytes
    """Of all fields but `h`, with NUL between."""
    h_at: int
    """Where `h` stands; 0 = nowhere."""
    first: int
    """How many attributes stand before the second part of the envelope."""
    writes: tuple[Callable[[Any], bytes], ...]


class Writer(Generic[T]):
    """Writes the objects of one class."""

    def __init__(self, layout: Layout[T]) -> None:
        self._envelope = layout.envelope
        self.h = layout.envelope.h
        self.says_by = b"by" in layout.envelope.behind
        self._begin = (layout.version, layout.kind)
        self._first = len(layout.first)
        self._attributes = (*layout.first, *layout.rest)
        self._defaults = tuple(attribute.default for attribute in self._attributes)
        names = [attribute.name for attribute in self._attributes]
        self._get: Callable[[T], tuple[Any, ...]] = (
            attrgetter(*names) if len(names) > 1 else lambda source: (getattr(source, names[0]),)
        )
        self._forms: dict[tuple[bool, ...], Form] = {}

    def write(
        self, source: T, before: tuple[bytes, ...] = (), behind: tuple[bytes, ...] = ()
    ) -> tuple[Form, list[bytes], bytes]:
        """The form of the entry, its values without `h`, and these with NUL between.

        `before` and `behind` are what the envelope holds besides version and kind: before the
        first attributes, and between them and the others. An attribute that has its default is
        left out.

        Raises:
            ValueError: a value that could not be read back; the fault of whoever made it.
        """
        values = self._get(source)
        shows = tuple(map(ne, values, self._defaults))
        form = self._forms.get(shows)
        if form is None:
            form = self._forms[shows] = self._resolve(shows)
        shown = [
            write(value) for write, value in zip(form.writes, compress(values, shows), strict=True)
        ]
        at = form.first
        entry = [*self._begin, *before, *shown[:at], *behind, *shown[at:]]
        octets = NUL.join(entry)
        if octets.count(NUL) >= len(entry):
            raise InvalidValueError("a field would hold NUL")
        if len(octets) > MAX_VALUE_OCTETS < max(map(len, entry)):
            raise InvalidValueError(f"a field would have more than {MAX_VALUE_OCTETS} octets")
        return form, entry, octets

    def _resolve(self, shows: tuple[bool, ...]) -> Form:
        first = sum(shows[: self._first])
        shown = tuple(compress(self._attributes, shows))
        attributes = [attribute.wire_name for attribute in shown]
        around = self._envelope
        names = (*around.before, *attributes[:first], *around.behind, *attributes[first:])
        return Form(
            names,
            NUL.join(name for name in names if name != b"h"),
            place_of(b"h", names),
            first,
            tuple(attribute.write for attribute in shown),
        )
