"""What a reader makes of commands and answers: a bad one is told. Of events see `runs`."""

from collections.abc import Iterable, Sequence
from itertools import chain

from lease_core.domain.commands import Sent
from lease_core.domain.values import printable
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.layout import Flat
from lease_core.log.port import Answered, Unreadable
from lease_core.log.runs import Entry
from lease_core.log.wire import MAX_ROWS, decode_answer, decode_command, rows_of

Entries = Sequence[Entry]
"""Entry ids, each with its fields, in order."""


def sent_of(entries: Entries) -> list[Sent | Unreadable]:
    return list(chain.from_iterable(_sent(entry_id, flat) for entry_id, flat in entries))


def answered_of(entries: Entries) -> list[Answered | Unreadable]:
    return [_answered(entry_id, flat) for entry_id, flat in entries]


def _sent(entry_id: bytes, flat: Flat) -> Iterable[Sent | Unreadable]:
    """The commands of an entry; a bad one costs no other."""
    if not 0 < len(flat) <= 2 * MAX_ROWS:
        reason = f"entry {entry_id.decode()} holds no command, or more than {MAX_ROWS}"
        return [_unreadable(entry_id, b"", reason)]
    return [_row(entry_id, names, values) for names, values in rows_of(flat)]


def _row(entry_id: bytes, names: tuple[bytes, ...], values: list[bytes]) -> Sent | Unreadable:
    try:
        return decode_command(entry_id, names, values)
    except UnreadableEntryError as error:
        return _unreadable(entry_id, dict(zip(names, values, strict=False)).get(b"by", b""), error)


def _answered(entry_id: bytes, flat: Flat) -> Answered | Unreadable:
    try:
        return Answered(entry_id=entry_id.decode(), answer=decode_answer(entry_id, flat))
    except UnreadableEntryError as error:
        return _unreadable(entry_id, b"", error)


def _unreadable(entry_id: bytes, by: bytes, reason: UnreadableEntryError | str) -> Unreadable:
    return Unreadable(entry_id=entry_id.decode(), by=printable(by), reason=str(reason))
