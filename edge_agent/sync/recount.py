"""Recount: whether the digest that follows events is still the tables'.

It rides on a sweep that reads every entry anyway. Who else changed the tables shows by it: a sum
that follows events alone would go on telling what they should say.
"""

import structlog

from edge_agent.datapath.columns import Rows
from edge_agent.sync.projection import Projection
from lease_core.domain.columns import BindingsDigest
from lease_core.domain.mixing import Words

RECOUNT_NS = 60_000_000_000


class Recount:
    def __init__(self, projection: Projection) -> None:
        self._projection = projection
        self._audit = structlog.get_logger("edge")
        self._due_ns = 0
        self._sum: BindingsDigest | None = None
        self._applied = 0

    def begin(self, now_ns: int) -> None:
        """A sweep begins; the next one that is due counts."""
        is_due = now_ns >= self._due_ns
        self._sum = BindingsDigest() if is_due else None
        self._applied = self._cursor()

    def see(self, keys: Words, rows: Rows) -> None:
        if self._sum is not None:
            self._projection.census.add_to(self._sum, keys, rows)

    def end(self, now_ns: int) -> None:
        """Take over what was counted, unless an event changed the tables meanwhile."""
        counted, self._sum = self._sum, None
        if counted is None or self._cursor() != self._applied:
            return
        self._due_ns = now_ns + RECOUNT_NS
        if counted.text() != self._projection.census.digest.text():
            self._audit.critical("table.changed", seq=self._applied)
            self._projection.census.digest = counted

    def _cursor(self) -> int:
        return self._projection.datapath.state().cursor_lo
