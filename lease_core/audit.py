"""Audit lines: one JSON object per line for everything decided, appended, applied and answered.

Event names are `noun.verb` with the domain event's stem (`lease.assigned`); `stage` says where in
the life of the event the line was written. JSON quoting makes it impossible for a client's bytes
to forge a line.
"""

import re
import sys
from functools import cache
from typing import Any, TextIO

import structlog

from lease_core.domain.events import Event
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text


def configure(stream: TextIO | None = None) -> None:
    """Write audit lines to `stream` (standard output unless told), one JSON object each."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stdout),
        cache_logger_on_first_use=True,
    )


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
    for name in event.__dataclass_fields__:
        value = getattr(event, name)
        if name == "mac":
            shown[name] = mac_text(Mac(value))
        elif name in {"ip", "gateway", "first", "last"}:
            shown[name] = ip_text(Ipv4(value))
        elif value != "":
            shown[name] = value
    return shown
