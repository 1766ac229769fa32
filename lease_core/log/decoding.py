"""What a reader makes of raw entries: a bad event halts it, a bad command or answer is told."""

from collections.abc import Sequence

from lease_core.domain.commands import Sent
from lease_core.domain.events import Record
from lease_core.domain.values import printable
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.layout import Fields
from lease_core.log.port import Answered, Unreadable
from lease_core.log.wire import decode_answer, decode_command, decode_event

Entries = Sequence[tuple[bytes, Fields]]
"""Entry ids and fields, in order."""


def records_of(entries: Entries) -> list[Record]:
    """Decode events up to the first unreadable one, so that what stands before it is applied.

    Raises:
        UnreadableEntryError: the first cannot be read.
    """
    records: list[Record] = []
    for entry_id, entry in entries:
        try:
            records.append(decode_event(entry_id, entry))
        except UnreadableEntryError:
            if not records:
                raise
            break
    return records


def sent_of(entries: Entries) -> list[Sent | Unreadable]:
    return [_sent(entry_id, entry) for entry_id, entry in entries]


def answered_of(entries: Entries) -> list[Answered | Unreadable]:
    return [_answered(entry_id, entry) for entry_id, entry in entries]


def _sent(entry_id: bytes, entry: Fields) -> Sent | Unreadable:
    try:
        return decode_command(entry_id, entry)
    except UnreadableEntryError as error:
        return _unreadable(entry_id, entry, error)


def _answered(entry_id: bytes, entry: Fields) -> Answered | Unreadable:
    try:
        return Answered(entry_id=entry_id.decode(), answer=decode_answer(entry_id, entry))
    except UnreadableEntryError as error:
        return _unreadable(entry_id, entry, error)


def _unreadable(entry_id: bytes, entry: Fields, error: UnreadableEntryError) -> Unreadable:
    return Unreadable(
        entry_id=entry_id.decode(), by=printable(entry.get(b"by", b"")), reason=str(error)
    )
