"""The guard: what one line may ask of the allocator, so that no line starves the others (I12).

Nothing is sent for what it refuses. On an interface with a limit a line is a subscriber's own, and
is judged as a whole; elsewhere many share it, so each client is judged alone.
"""

from collections.abc import Callable, Mapping

from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Mac

INTERVAL_NS = 200_000_000
BURST = 20
"""So many at once, then one each `INTERVAL_NS`."""
NEWCOMER_NS = 60_000_000_000
"""How long who asked without becoming bound counts: as long as an offer is kept for it."""
MAX_TRACKED = 65_536


class _Seen:
    __slots__ = ("due_ns", "newcomers")

    def __init__(self) -> None:
        self.due_ns = 0
        self.newcomers: dict[Mac, int] = {}


class Guard:
    """`limits` are subscribers per line by ifindex; `bound` counts those bound on a line,
    `is_bound` tells whether one is. Times are the elapsed clock."""

    def __init__(
        self,
        limits: Mapping[int, int],
        bound: Callable[[Line], int],
        is_bound: Callable[[Mac, Line], bool],
    ) -> None:
        self._limits = limits
        self._bound = bound
        self._is_bound = is_bound
        self._seen: dict[Line | tuple[Mac, Line], _Seen] = {}

    def allows_another(self, mac: Mac, line: Line, now_ns: int) -> bool:
        """Whether the line, or the client on a shared one, does not ask too often."""
        seen = self._look_up(line if line.ifindex in self._limits else (mac, line))
        if seen.due_ns - now_ns > (BURST - 1) * INTERVAL_NS:
            return False
        seen.due_ns = max(seen.due_ns, now_ns) + INTERVAL_NS
        return True

    def has_room(self, mac: Mac, line: Line, now_ns: int) -> bool:
        """Whether a client may become another subscriber of its line; if so it counts as one."""
        limit = self._limits.get(line.ifindex)
        if limit is None:
            return True
        seen = self._look_up(line)
        seen.newcomers = {
            other: asked_ns
            for other, asked_ns in seen.newcomers.items()
            if now_ns - asked_ns < NEWCOMER_NS and not self._is_bound(other, line)
        }
        if mac not in seen.newcomers and self._bound(line) + len(seen.newcomers) >= limit:
            return False
        seen.newcomers[mac] = now_ns
        return True

    def _look_up(self, key: Line | tuple[Mac, Line]) -> _Seen:
        """What is known of a line; whoever was not heard of for longest is forgotten."""
        seen = self._seen.pop(key, None) or _Seen()
        self._seen[key] = seen
        if len(self._seen) > MAX_TRACKED:
            del self._seen[next(iter(self._seen))]
        return seen
