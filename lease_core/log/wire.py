"""Events, commands and answers as flat, readable Redis stream fields, and the hash chain.

Flow: dataclass -> ordered `Fields` -> Redis, and back. A changed meaning gets a new `VERSION`;
the tables below then list old and new class, and an upcaster turns the old into the new.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, Final, TypeVar

from lease_core.domain import commands, events
from lease_core.domain.commands import Answer, Command, Sent
from lease_core.domain.events import Event, Record
from lease_core.domain.values import InvalidValueError, printable
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.layout import (
    Cursor,
    Fields,
    Layout,
    layout_of,
    put,
    read_int,
    take,
    write_int,
    write_text,
)

T = TypeVar("T")
_Table = dict[tuple[bytes, bytes], Layout[T]]

_ENTRY_ID: Final = re.compile(rb"(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})")
_HASH: Final = re.compile(rb"[0-9a-f]{16}")


def _table(classes: Iterable[type[T]]) -> _Table[T]:
    layouts = map(layout_of, classes)
    return {(layout.kind, layout.version): layout for layout in layouts}


EVENTS: Final[_Table[Event]] = _table(
    (
        events.EpochStarted,
        events.PoolAdded,
        events.PoolOptionsSet,
        events.HorizonGranted,
        events.LeaseAssigned,
        events.LeaseReleased,
        events.LeaseExpired,
        events.LeaseRevoked,
        events.AddressDeclined,
        events.RemovalAcked,
        events.AddressFreed,
        events.SnapshotTaken,
        events.SnapshotVerified,
        events.SiteAdded,
        events.PrefixPlanned,
        events.OptionsPlanned,
    )
)
COMMANDS: Final[_Table[Command]] = _table(
    (
        commands.RequestOffer,
        commands.RequestLease,
        commands.ReleaseLease,
        commands.DeclineAddress,
        commands.ReportExpiry,
        commands.AckRemoval,
        commands.RevokeLease,
        commands.Heartbeat,
        commands.ConfirmSnapshot,
    )
)
ANSWERS: Final[_Table[Answer]] = _table((commands.Offered, commands.Held, commands.Refused))

_EVENT_LAYOUTS: Final = {layout.make: layout for layout in EVENTS.values()}
_COMMAND_LAYOUTS: Final = {layout.make: layout for layout in COMMANDS.values()}
_ANSWER_LAYOUTS: Final = {layout.make: layout for layout in ANSWERS.values()}


def chain(previous: bytes, entry_id: str, entry: Mapping[bytes, bytes]) -> bytes:
    """Hash an event onto the hash before it: 8 octets over its id and all fields but `h`.

    Every part goes in behind its length, so that no two entries look alike.
    """
    octets = entry_id.encode()
    parts = [previous, len(octets).to_bytes(4, "big"), octets]
    for name, value in entry.items():
        if name != b"h":
            parts += (
                len(name).to_bytes(4, "big"),
                name,
                len(value).to_bytes(4, "big"),
                value,
            )
    return blake2b(b"".join(parts), digest_size=8).digest()


def encode_event(event: Event, *, epoch: int, by: str, h: str) -> Fields:
    """Write an event with its envelope; `h` may be "" until it is known.

    Raises:
        ValueError: a value that no reader would accept; the fault of whoever made the event.
    """
    layout = _EVENT_LAYOUTS[type(event)]
    entry = {b"v": layout.version, b"type": layout.kind, b"ep": write_int(epoch)}
    put(event, layout.first, entry)
    entry[b"by"] = write_text(by)
    entry[b"h"] = h.encode()
    put(event, layout.rest, entry)
    return entry


def decode_event(entry_id: bytes, entry: Mapping[bytes, bytes]) -> Record:
    """Read an event of the log.

    Raises:
        UnreadableEntryError: unknown type or version, or anything malformed.
    """
    try:
        cursor, layout = _open(entry, b"type", EVENTS)
        values: dict[str, Any] = {}
        epoch = read_int(cursor.take(b"ep"))
        take(cursor, layout.first, values)
        by = cursor.take(b"by").decode()
        h = cursor.take(b"h")
        if not _HASH.fullmatch(h):
            raise InvalidValueError(f"{printable(h)!r} is no hash")
        take(cursor, layout.rest, values)
        cursor.finish()
        commit_ms, seq = parse_id(entry_id)
    except ValueError as error:
        raise _unreadable(entry_id, entry, b"type", error) from error
    return Record(
        seq=seq, commit_ms=commit_ms, epoch=epoch, by=by, h=h.decode(), event=layout.make(**values)
    )


def expected_hash(previous_h: str, record: Record) -> str:
    """The `h` that `record` must carry after a record with hash `previous_h`."""
    entry = encode_event(record.event, epoch=record.epoch, by=record.by, h=record.h)
    return chain(bytes.fromhex(previous_h), record.entry_id, entry).hex()


def encode_command(command: Command, by: str) -> Fields:
    """Write a command and who sends it.

    Raises:
        ValueError: a value that no reader would accept; the fault of the sender.
    """
    layout = _COMMAND_LAYOUTS[type(command)]
    entry = {b"v": layout.version, b"cmd": layout.kind, b"by": write_text(by)}
    put(command, layout.first, entry)
    put(command, layout.rest, entry)
    return entry


def decode_command(entry_id: bytes, entry: Mapping[bytes, bytes]) -> Sent:
    """Read a command.

    Raises:
        UnreadableEntryError: the fault of its sender; refuse and count it.
    """
    try:
        cursor, layout = _open(entry, b"cmd", COMMANDS)
        by = cursor.take(b"by").decode()
        command = _rest(cursor, layout)
    except ValueError as error:
        raise _unreadable(entry_id, entry, b"cmd", error) from error
    return Sent(entry_id=entry_id.decode(), by=by, command=command)


def encode_answer(answer: Answer) -> Fields:
    """Write an answer.

    Raises:
        ValueError: a value that no reader would accept; the fault of the allocator.
    """
    layout = _ANSWER_LAYOUTS[type(answer)]
    entry = {b"v": layout.version, b"answer": layout.kind}
    put(answer, layout.first, entry)
    put(answer, layout.rest, entry)
    return entry


def decode_answer(entry_id: bytes, entry: Mapping[bytes, bytes]) -> Answer:
    """Read an answer.

    Raises:
        UnreadableEntryError: the fault of its writer; count it.
    """
    try:
        return _rest(*_open(entry, b"answer", ANSWERS))
    except ValueError as error:
        raise _unreadable(entry_id, entry, b"answer", error) from error


def parse_id(entry_id: bytes) -> tuple[int, int]:
    """Split `<ms>-<number>`. Raises InvalidValueError for anything else."""
    match = _ENTRY_ID.fullmatch(entry_id)
    if not match:
        raise InvalidValueError(f"{printable(entry_id)!r} is no entry id")
    return int(match[1]), int(match[2])


def _open(
    entry: Mapping[bytes, bytes], kind_field: bytes, table: _Table[T]
) -> tuple[Cursor, Layout[T]]:
    """Read version and kind, which every entry begins with, and look its layout up."""
    cursor = Cursor(entry)
    version = cursor.take(b"v")
    layout = table.get((cursor.take(kind_field), version))
    if layout is None:
        raise InvalidValueError("this program does not know it; it was written by a newer one")
    return cursor, layout


def _rest(cursor: Cursor, layout: Layout[T]) -> T:
    values: dict[str, Any] = {}
    take(cursor, layout.first, values)
    take(cursor, layout.rest, values)
    cursor.finish()
    return layout.make(**values)


def _unreadable(
    entry_id: bytes, entry: Mapping[bytes, bytes], kind_field: bytes, error: ValueError
) -> UnreadableEntryError:
    kind, version = printable(entry.get(kind_field, b"?")), printable(entry.get(b"v", b"?"))
    return UnreadableEntryError(printable(entry_id), kind, version, str(error))
