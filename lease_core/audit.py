"""Audit lines: one JSON object per line for everything decided, appended, applied and answered.

Event names are `noun.verb` with the domain event's stem (`lease.assigned`); `stage` says where in
the life of the event the line was written. JSON quoting makes it impossible for a client's bytes
to forge a line.
"""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, TextIO

import structlog

from lease_core.domain.events import Event, Record
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from lease_core.log.runs import kinds_of
from lease_core.outlet import Outlet

LINES_A_SECOND = 32
"""Events of one stage are told one by one up to so many; of more, those that came together share
a line."""
SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS


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
    ONE_BY_ONE.clear()
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=lambda *_: SINK,
        cache_logger_on_first_use=True,
    )


def tell_events(
    log: structlog.typing.FilteringBoundLogger,
    stage: str,
    told: Sequence[tuple[Event, int | str]],
    key: str,
) -> None:
    """Write a line for each event with its `key`, or one line for all where there are many.

    A line costs more than deciding what it tells, and the log has every event anyway.
    """
    if _are_few(stage, len(told)):
        _tell_each(log, stage, told, key)
        return
    kinds = Counter(type(event) for event, _ in told)
    _tell_many(log, stage, kinds, told[0][1], told[-1][1])


def tell_records(
    log: structlog.typing.FilteringBoundLogger, stage: str, records: Sequence[Record]
) -> None:
    """`tell_events` of records, with their entry ids."""
    if _are_few(stage, len(records)):
        told = [(record.event, record.entry_id) for record in records]
        _tell_each(log, stage, told, "event_id")
        return
    _tell_many(log, stage, kinds_of(records), records[0].entry_id, records[-1].entry_id)


def _are_few(stage: str, count: int) -> bool:
    return not count or ONE_BY_ONE.allows(stage, time.monotonic_ns(), count)


def _tell_each(
    log: structlog.typing.FilteringBoundLogger,
    stage: str,
    told: Sequence[tuple[Event, int | str]],
    key: str,
) -> None:
    for event, number in told:
        log.info(event_name(event), **(fields_of(event) | {"stage": stage, key: number}))


def _tell_many(
    log: structlog.typing.FilteringBoundLogger,
    stage: str,
    kinds: Mapping[type[Event], int],
    first: int | str,
    last: int | str,
) -> None:
    counts = {_name_of(kind.__name__): count for kind, count in kinds.items()}
    log.info("events", stage=stage, first=first, last=last, **counts)


class Quota:
    """At most `limit` lines a minute, or other window, of one kind; others are counted (I12).

    A stranger who sends a thousand frames a second must not fill the disk with what we say of
    them. Counters go on counting; only the line is left out.
    """

    def __init__(self, limit: int, window_ns: int = MINUTE_NS) -> None:
        self.left_out = 0
        self._limit = limit
        self._window_ns = window_ns
        self._window = -1
        self._used: dict[str, int] = {}

    def allows(self, kind: str, now_ns: int, lines: int = 1) -> bool:
        """Whether lines of `kind` may be written now; `kind` is one of a few words of ours."""
        window = now_ns // self._window_ns
        if window != self._window:
            self._window = window
            self._used.clear()
        used = self._used[kind] = self._used.get(kind, 0) + lines
        if used > self._limit:
            self.left_out += lines
        return used <= self._limit

    def clear(self) -> None:
        """Begin a new window."""
        self._window = -1


ONE_BY_ONE: Final = Quota(LINES_A_SECOND, SECOND_NS)


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
