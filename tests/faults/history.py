"""What wire and log tell, in the words of the checkers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

Message = Mapping[str, object]
Event = Mapping[str, object]
GIVEN = {"LeaseAssigned", "LeaseAdopted"}
ENDS = {"LeaseReleased", "LeaseExpired", "LeaseRevoked", "AddressDeclined"}


class Who(NamedTuple):
    """A subscriber: one MAC on two lines is two."""

    mac: str
    line: str


@dataclass
class Promise:
    """What a client may believe: `ip` is its own from `since_ms` to `until_ms`, wall time."""

    ip: str
    who: Who
    since_ms: float
    until_ms: float
    told_until_ms: float
    """As the ACK said, even if a RELEASE ended it sooner."""
    before: "Promise | None" = None
    """The one that the client heard before and did not end."""


@dataclass
class Hold:
    """By the log `ip` was the subscriber's for so long, wall time."""

    ip: str
    who: Who
    since_ms: int
    until_ms: float = math.inf


def who_of(told: Message | Event) -> Who:
    return Who(str(told["mac"]), str(told["line"]))


def number(value: object) -> int:
    return int(str(value))


def commit_ms(event: Event) -> int:
    return number(str(event["id"]).split("-")[0])


def seq(event: Event) -> int:
    return number(str(event["id"]).split("-")[1])
