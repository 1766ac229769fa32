"""Every event, command and answer that can stand in an entry, former versions among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from lease_core.domain import commands, events
from lease_core.domain.commands import Answer, Command
from lease_core.domain.events import LEASE_VERSION, Event
from lease_core.domain.values import InvalidValueError
from lease_core.log import former
from lease_core.log.converters import write_int
from lease_core.log.forms import Writer
from lease_core.log.hashes import DECIMAL
from lease_core.log.layout import MAX_VALUE_OCTETS, Envelope, Layout, Shape, layout_of

T = TypeVar("T")
Table = Mapping[tuple[bytes, bytes], Layout[T]]
"""Layouts by kind and version."""
Writers = Mapping[object, Writer[T]]
"""By class."""

_EVENT: Final = Envelope((b"v", b"type", b"ep"), (b"by", b"h"))
_LEASE: Final = Envelope((b"v", b"type", b"ep"), (b"h",), DECIMAL)
"""Most of a log has it, so it is short: who wrote is who began the epoch."""
_COMMAND: Final = Envelope((b"v", b"cmd", b"by"))
_ANSWER: Final = Envelope((b"v", b"answer"))

_OF_LEASES: Final = (
    events.LeaseAssigned,
    events.LeaseReleased,
    events.LeaseExpired,
    events.LeaseRevoked,
    events.AddressDeclined,
    events.RemovalAcked,
    events.AddressFreed,
    events.LeaseAdopted,
)
_OTHERS: Final = (
    events.EpochStarted,
    events.PoolAdded,
    events.PoolOptionsSet,
    events.HorizonGranted,
    events.RecoveryStarted,
    events.RecoveryEnded,
    events.SnapshotTaken,
    events.SnapshotVerified,
    events.SiteAdded,
    events.PrefixPlanned,
    events.OptionsPlanned,
)


_COMMANDS: Final = (
    commands.RequestOffer,
    commands.RequestLease,
    commands.RequestStock,
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
)
_ANSWERS: Final = (commands.Offered, commands.Stocked, commands.Held, commands.Refused)


def _table(
    classes: Iterable[type[T]], envelope: Envelope, version: int | None = None
) -> dict[tuple[bytes, bytes], Layout[T]]:
    """Layouts of classes, as their version says or as of another that differs by its envelope."""
    layouts: list[Layout[T]] = [layout_of(cls, envelope) for cls in classes]
    if version is not None:
        layouts = [replace(layout, version=write_int(version).encode()) for layout in layouts]
    return {(layout.kind, layout.version): layout for layout in layouts}


def _upcast(layout: Layout[Any]) -> Layout[Any]:
    """The layout of a former version, read as what it means today."""
    return replace(layout, make=lambda *values: layout.make(*values).today())


def _writers(layouts: Iterable[Layout[T]]) -> Writers[T]:
    return {layout.make: Writer(layout) for layout in layouts}


_others: Final[Table[Event]] = _table(_OTHERS, _EVENT)
_leases: Final[Table[Event]] = _table(_OF_LEASES, _LEASE)
_former_leases: Final[Table[Event]] = _table(_OF_LEASES, _EVENT, 1)
_commands: Final[Table[Command]] = _table(_COMMANDS, _COMMAND)
_former_commands: Final[Table[Any]] = _table(former.COMMANDS, _COMMAND)

EVENTS: Final[Table[Event]] = {**_former_leases, **_leases, **_others}
COMMANDS: Final[Table[Command]] = {
    **_commands,
    **{key: _upcast(layout) for key, layout in _former_commands.items()},
}
ANSWERS: Final[Table[Answer]] = _table(_ANSWERS, _ANSWER)

COMMAND_WRITERS: Final = _writers(_commands.values())
ANSWER_WRITERS: Final = _writers(ANSWERS.values())
_EVENT_WRITERS: Final = _writers((*_others.values(), *_leases.values()))
_FORMER_EVENT_WRITERS: Final = _writers((*_others.values(), *_former_leases.values()))


def event_writers(reads: int) -> Writers[Event]:
    """Writers of what is read by who reads version `reads` of events about leases."""
    return _EVENT_WRITERS if reads >= LEASE_VERSION else _FORMER_EVENT_WRITERS


def shape_of(names: tuple[bytes, ...], values: Sequence[bytes], table: Table[T]) -> Shape[T]:
    """What the fields of an entry are: by version and kind, with which it begins.

    Raises:
        InvalidValueError: nothing that is known.
    """
    layout = table.get((values[1], values[0])) if len(values) > 1 else None
    if layout is None:
        raise InvalidValueError("this program does not know it; it was written by a newer one")
    if max(map(len, values)) > MAX_VALUE_OCTETS:
        raise InvalidValueError(f"a field has more than {MAX_VALUE_OCTETS} octets")
    return layout.shape(names)
