"""What a reader makes of commands and answers: a bad one is told. Of events see `runs`."""

from collections.abc import Sequence

from lease_core.domain.commands import Sent
from lease_core.domain.values import printable
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.layout import Flat
from lease_core.log.port import Answered, Unreadable
from lease_core.log.runs import Entry
from lease_core.log.wire import decode_answer, decode_command

Entries = Sequence[Entry]
"""Entry ids, each with its fields, in order."""


def sent_of(entries: Entries) -> list[Sent | Unreadable]:
    return [_sent(entry_id, flat) for entry_id, flat in entries]


def answered_of(entries: Entries) -> list[Answered | Unreadable]:
    return [_answered(entry_id, flat) for entry_id, flat in entries]


def _sent(entry_id: bytes, flat: Flat) -> Sent | Unreadable:
    try:
        return decode_command(entry_id, flat)
    except UnreadableEntryError as error:
        return _unreadable(entry_id, flat, error)


def _answered(entry_id: bytes, flat: Flat) -> Answered | Unreadable:
    try:
        return Answered(entry_id=entry_id.decode(), answer=decode_answer(entry_id, flat))
    except UnreadableEntryError as error:
        return _unreadable(entry_id, flat, error)


def _unreadable(entry_id: bytes, flat: Flat, error: UnreadableEntryError) -> Unreadable:
    return Unreadable(entry_id=entry_id.decode(), by=printable(_sender(flat)), reason=str(error))


def _sender(flat: Flat) -> bytes:
    return dict(zip(flat[::2], flat[1::2], strict=False)).get(b"by", b"")
