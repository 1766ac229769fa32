"""Rationing of audit lines: so many in a while, and one for all that got none (I12)."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS


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


@dataclass(slots=True)
class _Untold:
    """Events of one logger and stage, one behind the other."""

    log: Any
    stage: str
    first: int | str
    last: int | str
    counts: Counter[str]

    def tell(self) -> None:
        self.log.info("events", stage=self.stage, first=self.first, last=self.last, **self.counts)


class EventLines:
    """Lines about events: one each while the quota lasts; those beyond it share one later."""

    def __init__(self, quota: Quota) -> None:
        """`quota` is per stage."""
        self._quota = quota
        self._untold: dict[tuple[int, str], _Untold] = {}

    def allows(self, log: Any, stage: str, count: int) -> bool:
        """Whether so many events may be told one by one now; never before those left earlier."""
        return not count or ((id(log), stage) not in self._untold and self._may(stage, count))

    def leave(
        self, log: Any, stage: str, counts: Mapping[str, int], first: int | str, last: int | str
    ) -> None:
        """Have events told in one line with those around them."""
        untold = self._untold.get((id(log), stage))
        if untold is None:
            self._untold[id(log), stage] = _Untold(log, stage, first, last, Counter(counts))
        else:
            untold.last = last
            untold.counts.update(counts)

    def tell(self) -> None:
        """Tell what was left, as far as the quota goes; to be called about once a second."""
        for key, untold in list(self._untold.items()):
            if self._may(untold.stage, 1):
                del self._untold[key]
                untold.tell()

    def tell_all(self) -> None:
        """Tell what was left: nothing comes behind it."""
        for untold in self._untold.values():
            untold.tell()
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._untold.clear()
        self._quota.clear()

    def _may(self, stage: str, lines: int) -> bool:
        return self._quota.allows(stage, time.monotonic_ns(), lines)
