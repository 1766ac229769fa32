"""Audit lines: one JSON object per line for everything decided, appended, applied and answered.

Event names are `noun.verb` with the domain event's stem (`lease.assigned`); `stage` says where in
the life of the event the line was written. JSON quoting makes it impossible for a client's bytes
to forge a line.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, TextIO

import structlog

from lease_core.domain.events import Event, Record
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from lease_core.log.runs import kinds_of
from lease_core.outlet import Outlet
from lease_core.rationing import SECOND_NS, EventLines, Quota

LINES_A_SECOND = 32
"""Lines about events of one stage."""

Log = structlog.typing.FilteringBoundLogger


class Sink:
    """Where lines go. A sink that cannot be written costs lines, counted, and never the service."""

    def __init__(self) -> None:
        self.stream: TextIO | Outlet | None = None
        """None = standard output, whatever that is at the time."""
        self.dropped = 0

    def msg(self, line: str) -> None:
        try:
            stream = self.stream or sys.stdout
            stream.write(f"{line}\n")
            stream.flush()
        except OSError:
            self.dropped += 1

    debug = info = warning = error = critical = msg


SINK = Sink()
_ENCODER: Final = json.JSONEncoder(default=repr)
"""Made once: `json.dumps` makes another for each line that says what to do with objects."""

_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    lambda _logger, _level, line: _ENCODER.encode(line),
]


def configure(stream: TextIO | Outlet | None = None) -> None:
    """Write audit lines to `stream` (standard output unless told), one JSON object each.

    May be called again: loggers keep processors and sink, which are always the same.
    """
    SINK.stream = stream
    EVENT_LINES.clear()
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=lambda *_: SINK,
        cache_logger_on_first_use=True,
    )


@contextmanager
def written_out() -> Iterator[None]:
    """Write audit lines to standard output, and never wait for who reads them."""
    with Outlet() as outlet:
        configure(outlet)
        try:
            yield
        finally:
            EVENT_LINES.tell_all()


def tell_events(log: Log, stage: str, told: Sequence[tuple[Event, int | str]], key: str) -> None:
    """Write a line for each event with its `key`; where there are too many, leave them to one line.

    A line costs more than deciding what it tells, and the log has every event anyway.
    """
    if EVENT_LINES.allows(log, stage, len(told)):
        _tell_each(log, stage, told, key)
    else:
        kinds = Counter(type(event) for event, _ in told)
        EVENT_LINES.leave(log, stage, _named(kinds), told[0][1], told[-1][1])


def tell_records(log: Log, stage: str, records: Sequence[Record]) -> None:
    """`tell_events` of records, with their entry ids."""
    if EVENT_LINES.allows(log, stage, len(records)):
        told = [(record.event, record.entry_id) for record in records]
        _tell_each(log, stage, told, "event_id")
    else:
        kinds = _named(kinds_of(records))
        EVENT_LINES.leave(log, stage, kinds, records[0].entry_id, records[-1].entry_id)


def _tell_each(log: Log, stage: str, told: Sequence[tuple[Event, int | str]], key: str) -> None:
    for event, number in told:
        log.info(event_name(event), **(fields_of(event) | {"stage": stage, key: number}))


def _named(kinds: Mapping[type[Event], int]) -> dict[str, int]:
    return {_name_of(kind.__name__): count for kind, count in kinds.items()}


EVENT_LINES: Final = EventLines(Quota(LINES_A_SECOND, SECOND_NS))


def event_name(event: Event) -> str:
    """The line's name for an event: `LeaseAssigned` -> `lease.assigned`."""
    return _name_of(type(event).__name__)


@cache
def _name_of(class_name: str) -> str:
    words = re.findall(r"[A-Z][a-z0-9]*", class_name)
    return f"{'-'.join(words[:-1])}.{words[-1]}".lower()


def fields_of(event: Event) -> dict[str, Any]:
    """The event's fields as a line shows them."""
    shown: dict[str, Any] = {}
    names: tuple[str, ...] = event.__match_args__
    for name in names:
        value = getattr(event, name)
        if name == "mac":
            shown[name] = mac_text(Mac(value))
        elif name in {"ip", "gateway", "first", "last"}:
            shown[name] = ip_text(Ipv4(value))
        elif value != "":
            shown[name] = value
    return shown
