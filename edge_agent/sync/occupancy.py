"""Occupancy: how many subscribers are bound on each line, where that is limited (I12)."""

from collections.abc import Collection

from edge_agent.dhcp.tables import Line


class Occupancy:
    """Counts bindings of lines on the interfaces `limited`; about 90 octets for each line."""

    def __init__(self, limited: Collection[int] = ()) -> None:
        self._limited = limited
        self._bound: dict[int, int] = {}

    @property
    def counts_any(self) -> bool:
        return bool(self._limited)

    def clear(self) -> None:
        self._bound.clear()

    def of(self, line: Line) -> int:
        return self._bound.get(hash(line), 0)

    def add(self, line: Line, count: int = 1) -> None:
        if line.ifindex in self._limited:
            self._bound[hash(line)] = self.of(line) + count

    def discard(self, line: Line) -> None:
        left = self.of(line) - 1
        if left > 0:
            self._bound[hash(line)] = left
        else:
            self._bound.pop(hash(line), None)
