"""Events, commands and answers as flat, readable Redis stream fields, and the hash chain.

Flow: dataclass -> `Flat` -> Redis -> `Flat` -> dataclass. A changed meaning gets a new
`VERSION`; `former` keeps the old layout and what it means today. Only the present one is written;
events about leases are also written as version 1, for edges that read no other. An attribute with
a default is left out with it, so a class may grow by one and older programs read what does not use
it.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from lease_core.domain.commands import Answer, Command, Sent
from lease_core.domain.events import LEASE_VERSION, Event, Record
from lease_core.domain.values import InvalidValueError, printable
from lease_core.log.converters import read_int, read_word, write_int
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.hashes import chain
from lease_core.log.layout import MAX_VALUE_OCTETS, TAB, Flat, Written
from lease_core.log.tables import (
    ANSWER_WRITERS,
    ANSWERS,
    COMMAND_WRITERS,
    COMMANDS,
    EVENTS,
    event_writers,
    shape_of,
)

MAX_ROWS: Final = 64
"""Commands of one entry."""

_ENTRY_ID: Final = re.compile(rb"(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})")


def encode_event(event: Event, *, epoch: int, by: str, h: str, reads: int = LEASE_VERSION) -> Flat:
    """Write an event with its envelope, see `EventEncoder`.

    Raises:
        ValueError: a value that no reader would accept; the fault of whoever made the event.
    """
    writer = event_writers(reads)[type(event)]
    behind = (by,) if writer.says_by else ()
    form, values, _ = writer.write(event, (write_int(epoch),), behind)
    values.insert(form.h_at, writer.h.write(bytes.fromhex(h)))
    return Written(form.names, values).flat()


class EventEncoder:
    """Writes and chains the events of one batch: all by the same writer, in one millisecond."""

    def __init__(self, h: str, *, epoch: int, by: str, commit_ms: int, reads: int) -> None:
        """`h` is the hash before the first event, `reads` the version of leases that is read.

        Raises:
            ValueError: a value that no reader would accept.
        """
        self._before, self._behind = (write_int(epoch),), (by,)
        self._epoch, self._by, self._ms = epoch, by, commit_ms
        self._id = f"{write_int(commit_ms)}-".encode()
        self._previous = bytes.fromhex(h)
        self._writers = event_writers(reads)

    def encode(self, seq: int, event: Event) -> tuple[Record, Written]:
        """The event as it will be read, and its entry.

        Raises:
            ValueError: a value that no reader would accept; the fault of whoever made the event.
        """
        writer = self._writers[type(event)]
        by, behind = (self._by, self._behind) if writer.says_by else ("", ())
        form, values, told = writer.write(event, self._before, behind)
        octets = b"%b%d\0%b\0%b" % (self._id, seq, form.hashed_names, told)
        h = self._previous = chain(self._previous, octets)
        make: Any = Record  # values in their order: names cost time
        record = make(seq, self._ms, self._epoch, by, h.hex(), event, octets)
        values.insert(form.h_at, writer.h.write(h))
        return record, Written(form.names, values)


def decode_event(entry_id: bytes, flat: Flat) -> Record:
    """Read an event of the log.

    Raises:
        UnreadableEntryError: unknown type or version, or anything malformed.
    """
    try:
        values = flat[1::2]
        shape = shape_of(tuple(flat[::2]), values, EVENTS)
        octets = shape.hashed(entry_id, values)
        event = shape.read(values)
        h = shape.h.read(values[shape.h_at])
        commit_ms, seq = parse_id(entry_id)
        epoch = read_int(values[2])
        by = read_word(values[shape.by_at]) if shape.by_at else ""
    except ValueError as error:
        raise _unreadable(entry_id, flat[1::2], error) from error
    return Record(seq=seq, commit_ms=commit_ms, epoch=epoch, by=by, h=h, event=event, octets=octets)


def encode_commands(commands: Sequence[Command], by: str) -> list[Flat]:
    """Write commands and who sends them: rows, so many in an entry, see `rows_of`.

    Raises:
        ValueError: a value that no reader would accept; the fault of the sender.
    """
    rows = [COMMAND_WRITERS[type(command)].write_row(command, (by,)) for command in commands]
    return [
        [part for row in rows[at : at + MAX_ROWS] for part in row]
        for at in range(0, len(rows), MAX_ROWS)
    ]


def rows_of(flat: Flat) -> Iterator[tuple[tuple[bytes, ...], list[bytes]]]:
    """The commands of an entry: of each the names of its fields, and their values.

    The name of a field of the entry is all names of a command, its value all their values. A former
    edge sent each command as an entry of its own, by its fields.
    """
    if flat[:1] == [b"v"]:
        yield tuple(flat[::2]), flat[1::2]
        return
    for header, row in zip(flat[::2], flat[1::2], strict=True):
        yield _names(header[:MAX_VALUE_OCTETS]), row.split(TAB)


@lru_cache(maxsize=256)
def _names(header: bytes) -> tuple[bytes, ...]:
    return tuple(header.split(b" "))


def decode_command(entry_id: bytes, names: tuple[bytes, ...], values: list[bytes]) -> Sent:
    """Read a command.

    Raises:
        UnreadableEntryError: the fault of its sender; refuse and count it.
    """
    try:
        if len(names) != len(values):
            raise InvalidValueError("it has not as many values as names")
        command = shape_of(names, values, COMMANDS).read(values)
        return Sent(entry_id=entry_id.decode(), by=read_word(values[2]), command=command)
    except ValueError as error:
        raise _unreadable(entry_id, values, error) from error


def encode_answer(answer: Answer) -> Written:
    """Write an answer.

    Raises:
        ValueError: a value that no reader would accept; the fault of the allocator.
    """
    form, values, _ = ANSWER_WRITERS[type(answer)].write(answer)
    return Written(form.names, values)


def decode_answer(entry_id: bytes, flat: Flat) -> Answer:
    """Read an answer.

    Raises:
        UnreadableEntryError: the fault of its writer; count it.
    """
    try:
        values = flat[1::2]
        return shape_of(tuple(flat[::2]), values, ANSWERS).read(values)
    except ValueError as error:
        raise _unreadable(entry_id, flat[1::2], error) from error


def parse_id(entry_id: bytes) -> tuple[int, int]:
    """Split `<ms>-<number>`. Raises InvalidValueError for anything else."""
    match = _ENTRY_ID.fullmatch(entry_id)
    if not match:
        raise InvalidValueError(f"{printable(entry_id)!r} is no entry id")
    return int(match[1]), int(match[2])


def _unreadable(
    entry_id: bytes, values: Sequence[bytes], error: ValueError
) -> UnreadableEntryError:
    version, kind = (printable(octets) for octets in (*values[:2], b"?", b"?")[:2])
    return UnreadableEntryError(printable(entry_id), kind, version, str(error))
