"""Runs: events with the same fields are decoded field by field, a thousand at a time.

What a run is refused for, its events are refused for one by one; nobody but `wire` says why.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, repeat
from operator import methodcaller
from typing import Any, Final

from lease_core.domain.events import Record
from lease_core.domain.values import InvalidValueError
from lease_core.log.layout import (
    MAX_DIGITS,
    MAX_VALUE_OCTETS,
    OCTETS,
    Flat,
    read_int,
    read_ip,
    read_mac,
    read_word,
)
from lease_core.log.tables import EVENTS, shape_of
from lease_core.log.wire import decode_event

Entry = tuple[bytes, Flat]
Column = Sequence[bytes]

SHORTEST: Final = 8
"""Fewer events are decoded one by one: that is as fast."""
_NO_MAC_PART: Final = re.compile(rb"[^0-9a-f:]")
_COLONS: Final = b":" * 5


def decode_events(entries: Iterable[Entry]) -> Iterator[Record]:
    """Read events of the log, in order.

    Raises:
        UnreadableEntryError: the next one cannot be read.
    """
    for _, group in groupby(entries, _kind):
        run = list(group)
        if len(run) >= SHORTEST:
            try:
                yield from _decode_run(run)
                continue
            except ValueError:
                pass
        for entry_id, flat in run:
            yield decode_event(entry_id, flat)


def _kind(entry: Entry) -> tuple[Flat, Flat]:
    """The names of the fields, and the values that say version and class."""
    return entry[1][::2], entry[1][1:5:2]


def _decode_run(run: Sequence[Entry]) -> list[Record]:
    """Read events that have the same fields. Raises ValueError: one of them is malformed."""
    ids = [entry_id for entry_id, _ in run]
    rows = [flat[1::2] for _, flat in run]
    columns = list(zip(*rows, strict=True))
    shape = shape_of(tuple(run[0][1][::2]), rows[0], EVENTS)
    octets = list(map(shape.hashed, ids, rows))
    if max(map(len, octets)) > MAX_VALUE_OCTETS:  # perhaps of several values together
        raise InvalidValueError("a field may be too long")
    if any(default in columns[place] for place, default in shape.defaults):
        raise InvalidValueError("a field spells out its default")
    events = map(shape.make, *(_read(columns[place], read) for place, read in shape.reads))
    commits_ms, seqs = _split_ids(ids)
    epochs = _read(columns[2], read_int)
    writers = _read(columns[shape.by_at], read_word) if shape.by_at else repeat("")
    hashes = list(map(shape.h.read, columns[shape.h_at]))
    return list(map(Record, seqs, commits_ms, epochs, writers, hashes, events, octets))


def _read(column: Column, read: Callable[[bytes], Any]) -> Iterable[Any]:
    """What `read` gives for each value, and raises for any."""
    if column.count(column[0]) == len(column):
        return repeat(read(column[0]), len(column))
    read_all = _READ_ALL.get(read)
    return read_all(column) if read_all else map(read, column)


def _ints(column: Column) -> list[int]:
    are_plain = all(map(bytes.isdigit, column)) and max(map(len, column)) <= MAX_DIGITS
    if not are_plain or any(map(methodcaller("startswith", b"0"), column)):
        return list(map(read_int, column))
    return list(map(int, column))


def _macs(column: Column) -> list[int]:
    joined = b"".join(column)
    colons = [value[2::3] for value in column]
    if (
        set(map(len, column)) != {17}
        or colons.count(_COLONS) != len(colons)
        or joined.count(b":") != 5 * len(column)
        or _NO_MAC_PART.search(joined)
    ):
        raise InvalidValueError("a MAC address is malformed")
    octets = bytes.fromhex(joined.replace(b":", b"").decode())
    return [high << 32 | low for high, low in struct.iter_unpack(">HI", octets)]


def _ips(column: Column) -> tuple[int, ...]:
    if set(map(methodcaller("count", b"."), column)) != {3}:
        raise InvalidValueError("an address is malformed")
    try:
        octets = bytes(map(OCTETS.__getitem__, b".".join(column).split(b".")))
    except KeyError:
        raise InvalidValueError("an address is malformed") from None
    return struct.unpack(f">{len(column)}I", octets)


def _split_ids(ids: Sequence[bytes]) -> tuple[Iterable[int], list[int]]:
    """Times and numbers, see `wire.parse_id`."""
    if set(map(methodcaller("count", b"-"), ids)) != {1}:
        raise InvalidValueError("an entry id is malformed")
    parts = b"-".join(ids).split(b"-")
    return _read(parts[::2], read_int), _ints(parts[1::2])


_READ_ALL: Final[dict[Callable[[bytes], Any], Callable[[Column], Iterable[Any]]]] = {
    read_int: _ints,
    read_mac: _macs,
    read_ip: _ips,
}
