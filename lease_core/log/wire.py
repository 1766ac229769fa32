"""Events, commands and answers as flat, readable Redis stream fields, and the hash chain.

Flow: dataclass -> ordered `Fields` -> Redis -> `Flat` -> dataclass. A changed meaning gets a new
`VERSION`; `former` keeps the old layout and what it means today. Only the present one is written.
An attribute with a default is left out with it, so a class may grow by one and older programs read
what does not use it.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final, Protocol, TypeVar

from lease_core.domain import commands, events
from lease_core.domain.commands import Answer, Command, Sent
from lease_core.domain.events import Event, Record
from lease_core.domain.values import InvalidValueError, printable
from lease_core.log import former
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.forms import Form, Writer
from lease_core.log.layout import (
    MAX_VALUE_OCTETS,
    Envelope,
    Fields,
    Flat,
    Layout,
    Shape,
    layout_of,
    read_int,
    read_word,
    write_int,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_Table = dict[tuple[bytes, bytes], Layout[T]]

_ENTRY_ID: Final = re.compile(rb"(0|[1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})")
_HASH: Final = re.compile(rb"[0-9a-f]{16}")


class Former(Protocol[T_co]):
    """A value of a former version."""

    def today(self) -> T_co: ...


def _table(classes: Iterable[type[T]], before: Iterable[type[Former[T]]] = ()) -> _Table[T]:
    layouts = [*map(layout_of, classes), *map(_upcast, before)]
    return {(layout.kind, layout.version): layout for layout in layouts}


def _upcast(cls: type[Former[T]]) -> Layout[T]:
    """The layout of a former version, read as what it means today."""
    layout = layout_of(cls)
    return Layout(
        lambda *values: layout.make(*values).today(),
        *(layout.kind, layout.version, layout.first, layout.rest, layout.names),
    )


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
        events.RecoveryStarted,
        events.LeaseAdopted,
        events.RecoveryEnded,
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
        commands.ReportLoss,
        commands.ReportBinding,
        commands.StartRecovery,
        commands.EndRecovery,
        commands.ConfirmSnapshot,
    ),
    former.COMMANDS,
)
ANSWERS: Final[_Table[Answer]] = _table((commands.Offered, commands.Held, commands.Refused))

_EVENT_ENVELOPE: Final = ((b"v", b"type", b"ep"), (b"by", b"h"))
_COMMAND_ENVELOPE: Final = ((b"v", b"cmd", b"by"), ())
_ANSWER_ENVELOPE: Final = ((b"v", b"answer"), ())


def _writers(table: _Table[T], envelope: Envelope) -> dict[object, Writer[T]]:
    """Writers by class; a former version is only read."""
    return {layout.make: Writer(layout, envelope) for layout in table.values()}


_EVENT_WRITERS: Final = _writers(EVENTS, _EVENT_ENVELOPE)
_COMMAND_WRITERS: Final = _writers(COMMANDS, _COMMAND_ENVELOPE)
_ANSWER_WRITERS: Final = _writers(ANSWERS, _ANSWER_ENVELOPE)


def chain(previous: bytes, octets: bytes) -> bytes:
    """Hash the octets of an event onto the hash before it: 8 octets."""
    return blake2b(previous + octets, digest_size=8).digest()


def event_shape(names: tuple[bytes, ...], values: Sequence[bytes]) -> Shape[Event]:
    """What the values of an event are that has these names. Raises InvalidValueError: nothing."""
    return _shape(names, values, EVENTS, _EVENT_ENVELOPE)


def encode_event(event: Event, *, epoch: int, by: str, h: str) -> Fields:
    """Write an event with its envelope.

    Raises:
        ValueError: a value that no reader would accept; the fault of whoever made the event.
    """
    form, values, _ = _EVENT_WRITERS[type(event)].write(event, (write_int(epoch),), (by.encode(),))
    return _with_hash(form, values, h)


class EventEncoder:
    """Writes and chains the events of one batch: all by the same writer, in one millisecond."""

    def __init__(self, h: str, *, epoch: int, by: str, commit_ms: int) -> None:
        """`h` is the hash before the first event.

        Raises:
            ValueError: a value that no reader would accept.
        """
        self._before, self._behind = (write_int(epoch),), (by.encode(),)
        self._commit_ms = write_int(commit_ms)
        self._previous = bytes.fromhex(h)

    def encode(self, seq: int, event: Event) -> tuple[bytes, str, Fields]:
        """What the hash of the event is over but for the hash before, the hash, and the entry.

        Raises:
            ValueError: a value that no reader would accept; the fault of whoever made the event.
        """
        form, values, told = _EVENT_WRITERS[type(event)].write(event, self._before, self._behind)
        octets = b"%b-%d\0%b\0%b" % (self._commit_ms, seq, form.hashed_names, told)
        self._previous = chain(self._previous, octets)
        h = self._previous.hex()
        return octets, h, _with_hash(form, values, h)


def _with_hash(form: Form, values: list[bytes], h: str) -> Fields:
    values.insert(form.h_at, h.encode())
    return dict(zip(form.names, values, strict=True))


def decode_event(entry_id: bytes, flat: Flat) -> Record:
    """Read an event of the log.

    Raises:
        UnreadableEntryError: unknown type or version, or anything malformed.
    """
    try:
        values = flat[1::2]
        shape = event_shape(tuple(flat[::2]), values)
        octets = shape.hashed(entry_id, values)
        event = shape.read(values)
        h = values[shape.h_at]
        if not _HASH.fullmatch(h):
            raise InvalidValueError(f"{printable(h)!r} is no hash")
        commit_ms, seq = parse_id(entry_id)
        epoch, by = read_int(values[2]), read_word(values[shape.h_at - 1])
    except ValueError as error:
        raise _unreadable(entry_id, flat, error) from error
    return Record(
        seq=seq, commit_ms=commit_ms, epoch=epoch, by=by, h=h.decode(), event=event, octets=octets
    )


def encode_command(command: Command, by: str) -> Fields:
    """Write a command and who sends it.

    Raises:
        ValueError: a value that no reader would accept; the fault of the sender.
    """
    form, values, _ = _COMMAND_WRITERS[type(command)].write(command, (by.encode(),))
    return dict(zip(form.names, values, strict=True))


def decode_command(entry_id: bytes, flat: Flat) -> Sent:
    """Read a command.

    Raises:
        UnreadableEntryError: the fault of its sender; refuse and count it.
    """
    try:
        values = flat[1::2]
        command = _shape(tuple(flat[::2]), values, COMMANDS, _COMMAND_ENVELOPE).read(values)
        return Sent(entry_id=entry_id.decode(), by=read_word(values[2]), command=command)
    except ValueError as error:
        raise _unreadable(entry_id, flat, error) from error


def encode_answer(answer: Answer) -> Fields:
    """Write an answer.

    Raises:
        ValueError: a value that no reader would accept; the fault of the allocator.
    """
    form, values, _ = _ANSWER_WRITERS[type(answer)].write(answer)
    return dict(zip(form.names, values, strict=True))


def decode_answer(entry_id: bytes, flat: Flat) -> Answer:
    """Read an answer.

    Raises:
        UnreadableEntryError: the fault of its writer; count it.
    """
    try:
        values = flat[1::2]
        return _shape(tuple(flat[::2]), values, ANSWERS, _ANSWER_ENVELOPE).read(values)
    except ValueError as error:
        raise _unreadable(entry_id, flat, error) from error


def parse_id(entry_id: bytes) -> tuple[int, int]:
    """Split `<ms>-<number>`. Raises InvalidValueError for anything else."""
    match = _ENTRY_ID.fullmatch(entry_id)
    if not match:
        raise InvalidValueError(f"{printable(entry_id)!r} is no entry id")
    return int(match[1]), int(match[2])


def _shape(
    names: tuple[bytes, ...], values: Sequence[bytes], table: _Table[T], envelope: Envelope
) -> Shape[T]:
    """Look up what the fields of an entry are: by version and kind, with which it begins."""
    layout = table.get((values[1], values[0])) if len(values) > 1 else None
    if layout is None:
        raise InvalidValueError("this program does not know it; it was written by a newer one")
    if max(map(len, values)) > MAX_VALUE_OCTETS:
        raise InvalidValueError(f"a field has more than {MAX_VALUE_OCTETS} octets")
    return layout.shape(names, envelope)


def _unreadable(entry_id: bytes, flat: Flat, error: ValueError) -> UnreadableEntryError:
    version, kind = (printable(octets) for octets in (*flat[1:4:2], b"?", b"?")[:2])
    return UnreadableEntryError(printable(entry_id), kind, version, str(error))
