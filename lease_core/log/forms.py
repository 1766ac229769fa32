"""How an object becomes the fields of an entry.

What depends on its class alone, or on which of its attributes it shows, is resolved once: an
allocator writes a hundred thousand events a second.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass
from itertools import compress
from operator import attrgetter, not_
from typing import Any, Generic, TypeVar

from lease_core.domain.values import InvalidValueError
from lease_core.log.layout import MAX_VALUE_OCTETS, NUL, TAB, Layout, place_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form:
    """What entries of one class that show the same attributes have in common."""

    names: tuple[bytes, ...]
    """Of all fields."""
    hashed_names: bytes
    """Of all fields but `h`, with NUL between."""
    header: bytes
    """The same for people, with blanks between."""
    h_at: int
    """Where `h` stands; 0 = nowhere."""
    first: int
    """How many attributes stand before the second part of the envelope."""
    get: Callable[[Any], tuple[Any, ...]]
    """The attributes that they show, in wire order."""
    writes: tuple[tuple[int, Callable[[Any], str]], ...]
    """How those of them that are no texts are written, by place."""
    values: int
    """How many there are but for `h`."""
    text: str
    """What the envelope and the attributes are put into: all values but `h`, with NUL between."""


class Writer(Generic[T]):
    """Writes the objects of one class."""

    def __init__(self, layout: Layout[T]) -> None:
        self._envelope = layout.envelope
        self.h = layout.envelope.h
        self.says_by = b"by" in layout.envelope.behind
        self._begin = (layout.version.decode(), layout.kind.decode())
        self._first = frozenset(layout.first)
        self._attributes = (*layout.first, *layout.rest)
        self._optional = [
            (attribute.name, attribute.default)
            for attribute in self._attributes
            if attribute.default is not MISSING
        ]
        self._forms: dict[tuple[bool, ...], Form] = {}

    def write(
        self, source: T, before: tuple[str, ...] = (), behind: tuple[str, ...] = ()
    ) -> tuple[Form, list[bytes], bytes]:
        """The form of the entry, its values without `h`, and these with NUL between.

        `before` and `behind` are what the envelope holds besides version and kind: before the
        first attributes, and between them and the others. An attribute that has its default is
        left out.

        Raises:
            ValueError: a value that could not be read back; the fault of whoever made it.
        """
        form, octets = self._tell(source, before, behind)
        entry = octets.split(NUL)
        if len(entry) != form.values:
            raise InvalidValueError("a field would hold NUL")
        if len(octets) > MAX_VALUE_OCTETS < max(map(len, entry)):
            raise InvalidValueError(f"a field would have more than {MAX_VALUE_OCTETS} octets")
        return form, entry, octets

    def write_row(self, source: T, before: tuple[str, ...]) -> tuple[bytes, bytes]:
        """The names of the fields with blanks between, and their values with TAB between.

        Raises:
            ValueError: as `write`.
        """
        form, octets = self._tell(source, before, ())
        row = octets.replace(NUL, TAB)
        if row.count(TAB) != form.values - 1:
            raise InvalidValueError("a field would hold NUL or TAB")
        if len(row) > MAX_VALUE_OCTETS:
            raise InvalidValueError(f"its fields would have more than {MAX_VALUE_OCTETS} octets")
        return form.header, row

    def _tell(
        self, source: T, before: tuple[str, ...], behind: tuple[str, ...]
    ) -> tuple[Form, bytes]:
        shows = tuple([getattr(source, name) != default for name, default in self._optional])
        form = self._forms.get(shows)
        if form is None:
            form = self._forms[shows] = self._resolve(shows)
        shown = [*form.get(source)]
        for place, write in form.writes:
            shown[place] = write(shown[place])
        at = form.first
        return form, (form.text % (*before, *shown[:at], *behind, *shown[at:])).encode()

    def _resolve(self, shows: tuple[bool, ...]) -> Form:
        hidden = {name for name, _ in compress(self._optional, map(not_, shows))}
        shown = [attribute for attribute in self._attributes if attribute.name not in hidden]
        first = sum(attribute in self._first for attribute in shown)
        attributes = [attribute.wire_name for attribute in shown]
        around = self._envelope
        names = (*around.before, *attributes[:first], *around.behind, *attributes[first:])
        hashed = [name for name in names if name != b"h"]
        return Form(
            names=names,
            hashed_names=NUL.join(hashed),
            header=b" ".join(hashed),
            h_at=place_of(b"h", names),
            first=first,
            get=_getter([attribute.name for attribute in shown]),
            writes=tuple((n, a.write) for n, a in enumerate(shown) if a.write is not str),
            text="\0".join((*self._begin, *["%s"] * (len(hashed) - len(self._begin)))),
            values=len(hashed),
        )


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda source: (getattr(source, names[0]),)
