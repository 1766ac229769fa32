"""Runs: events with the same fields are read field by field, a thousand at a time.

Everything that an event is refused for is looked for when its run is made, but the objects are made
when somebody asks for them: who puts a thousand leases into tables needs columns. What a run is
refused for, its events are refused for one by one; nobody but `wire` says why.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, repeat
from typing import Any, Final, NamedTuple, overload

import numpy as np

from lease_core.domain.columns import Bindings, columns_of
from lease_core.domain.events import Event, LeaseAssigned, Record
from lease_core.domain.values import InvalidValueError, Ipv4
from lease_core.log.column_reading import Column, is_one, read_all, split_ids
from lease_core.log.converters import read_int, read_word
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.hashes import OCTETS, chained
from lease_core.log.layout import MAX_VALUE_OCTETS, NUL, Flat, Shape
from lease_core.log.tables import EVENTS, shape_of
from lease_core.log.wire import decode_event

Entry = tuple[bytes, Flat]

SHORTEST: Final = 8
"""Fewer events are decoded one by one: that is as fast."""


class Granted(NamedTuple):
    """What somebody who asked for a lease wants to know of it."""

    ip: Ipv4
    req: str
    cause: str
    entry_id: str


class Run(Sequence[Record]):
    """Events of one kind and epoch without a gap between them."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Raises ValueError: one of the entries is malformed, or does not belong to the run."""
        ids = [entry_id for entry_id, _ in entries]
        names, values = _fields([flat for _, flat in entries])
        shape = shape_of(names, [column[0] for column in values], EVENTS)
        self._octets = _hashed(shape, ids, values)
        if any(default in values[place] for place, default in shape.defaults):
            raise InvalidValueError("a field spells out its default")
        self.seq, self._commits_ms = split_ids(ids)
        self.epoch = read_int(values[2][0])
        self._writers = read_all(values[shape.by_at], read_word) if shape.by_at else [""] * len(ids)
        self._digests = shape.h.read_all(values[shape.h_at])
        self._make: Any = shape.make
        self._columns: list[Any] = [read_all(values[place], read) for place, read in shape.reads]

    def __len__(self) -> int:
        return len(self._octets)

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | Sequence[Record]:
        numbers = range(len(self))[at]
        if isinstance(numbers, int):
            return next(self._records(numbers, numbers + 1))
        is_whole = numbers.step == 1
        return list(self._records(numbers.start, numbers.stop)) if is_whole else list(self)[at]

    def __iter__(self) -> Iterator[Record]:
        return self._records(0, len(self))

    def _records(self, start: int, stop: int) -> Iterator[Record]:
        part = slice(start, stop)
        columns = [_plain(column[part]) for column in self._columns]
        told = self._digests[OCTETS * start : OCTETS * stop].hex()
        make: Any = Record  # values in their order: names cost time
        return map(
            make,
            range(self.seq + start, self.seq + stop),
            self._commits_ms[part],
            repeat(self.epoch),
            self._writers[part],
            (told[at : at + 2 * OCTETS] for at in range(0, len(told), 2 * OCTETS)),
            map(self._make, *columns),
            self._octets[part],
        )

    @property
    def kind(self) -> type[Event]:
        return self._make  # type: ignore[no-any-return]

    def following(self, h: bytes) -> int:
        """How many of the events continue the chain behind hash `h`."""
        found = chained(h, self._octets)
        if found == self._digests:
            return len(self)
        ends = range(OCTETS, len(found) + 1, OCTETS)
        return next(n for n, end in enumerate(ends) if found[:end] != self._digests[:end])

    def bindings(self) -> Bindings:
        """What its events bind, which are `LeaseAssigned`."""
        shown = self._shown()
        seqs = range(self.seq, self.seq + len(self))
        return columns_of(shown["mac"], shown["line"], shown["ip"], shown["pool"], seqs)

    def granted(self) -> Iterator[Granted]:
        """What its events say to those who asked, which are `LeaseAssigned`."""
        shown = self._shown()
        entry_ids = (f"{ms}-{n}" for n, ms in enumerate(self._commits_ms, self.seq))
        return map(Granted, _plain(shown["ip"]), shown["req"], shown["cause"], entry_ids)

    def _shown(self) -> dict[str, Any]:
        assert self.kind is LeaseAssigned
        return dict(zip(LeaseAssigned.__match_args__, self._columns, strict=True))


class Records(Sequence[Record]):
    """Events in their order: runs, and others between them."""

    def __init__(self, parts: Sequence[Sequence[Record]]) -> None:
        self.parts = [part for part in parts if part]
        self._length = sum(map(len, self.parts))

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Record]: ...
    def __getitem__(self, at: int | slice) -> Record | Sequence[Record]:
        if isinstance(at, slice):
            return list(self)[at]
        number = range(len(self))[at]
        for part in self.parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise AssertionError(at)

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def parts_of(records: Sequence[Record]) -> Sequence[Sequence[Record]]:
    """The runs among records, and what stands between them."""
    return records.parts if isinstance(records, Records) else (records,)


def kinds_of(records: Sequence[Record]) -> Counter[type[Event]]:
    """How many events there are of each kind."""
    kinds: Counter[type[Event]] = Counter()
    for part in parts_of(records):
        if isinstance(part, Run):
            kinds[part.kind] += len(part)
        else:
            kinds.update(type(record.event) for record in part)
    return kinds


def granted_of(records: Sequence[Record]) -> Iterator[Granted]:
    """What those who asked want to know of the leases among records."""
    for part in parts_of(records):
        if isinstance(part, Run):
            yield from part.granted() if part.kind is LeaseAssigned else ()
            continue
        for record in part:
            event = record.event
            if isinstance(event, LeaseAssigned):
                yield Granted(event.ip, event.req, event.cause, record.entry_id)


def records_of(entries: Sequence[Entry]) -> Records:
    """Decode events up to the first unreadable one, so that what stands before it is applied.

    Raises:
        UnreadableEntryError: the first cannot be read.
    """
    if whole := _run_of(entries):
        return Records([whole])
    parts: list[Sequence[Record]] = []
    singles: list[Record] = []
    try:
        for _, group in groupby(entries, _kind):
            found = list(group)
            run = _run_of(found)
            if run:
                parts += [singles, run]
                singles = []
            else:
                singles.extend(decode_event(entry_id, flat) for entry_id, flat in found)
    except UnreadableEntryError:
        if not (parts or singles):
            raise
    return Records([*parts, singles])


def _run_of(entries: Sequence[Entry]) -> Run | None:
    """None where the entries are to be read one by one."""
    try:
        return Run(entries) if len(entries) >= SHORTEST else None
    except ValueError:
        return None


def _plain(column: Any) -> Sequence[Any]:
    """What a column holds as objects of Python's own."""
    return column.tolist() if isinstance(column, np.ndarray) else column  # type: ignore[no-any-return]


def _kind(entry: Entry) -> tuple[int, Flat]:
    """How many fields there are, and what says class and epoch."""
    return len(entry[1]), entry[1][3:6:2]


def _fields(flats: Sequence[Flat]) -> tuple[tuple[bytes, ...], list[Column]]:
    """The names of fields that all have, and what each says; the first three say one thing.

    Raises:
        InvalidValueError: they differ.
    """
    width = len(flats[0])
    every = list(chain.from_iterable(flats))
    names = flats[0][::2]
    values: list[Column] = [every[at::width] for at in range(1, width, 2)]
    if NUL.join(every[::2]) + NUL != (NUL.join(names) + NUL) * len(flats):
        raise InvalidValueError("a field has another name")
    if set(map(len, flats)) != {width} or not all(map(is_one, values[:3])):
        raise InvalidValueError("an entry is of another kind or epoch")
    return tuple(names), values


def _hashed(shape: Shape[Any], ids: Column, values: Sequence[Column]) -> list[bytes]:
    """See `Shape.hashed`."""
    told = [*values[: shape.h_at], *values[shape.h_at + 1 :]]
    octets = list(map(NUL.join, zip(ids, repeat(shape.names), *told, strict=False)))
    found = np.frombuffer(b"".join(octets), np.uint8) == 0
    if np.count_nonzero(found) != 2 * (len(values) - 1) * len(ids):
        raise InvalidValueError("a field holds NUL")
    if max(map(len, octets)) > MAX_VALUE_OCTETS:  # perhaps of several values together
        raise InvalidValueError("a field may be too long")
    return octets
