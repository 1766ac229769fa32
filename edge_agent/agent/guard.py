"""The guard: what one line may ask of the allocator, so that no line starves the others (I12).

Nothing is sent for what it refuses. On an interface with a limit a line is a subscriber's own, and
is judged as a whole; elsewhere many share it, so each client is judged alone.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Mac

INTERVAL_NS = 200_000_000
BURST = 20
"""So many at once, then one each `INTERVAL_NS`."""
NEWCOMER_NS = 60_000_000_000
"""How long who asked without becoming bound counts: as long as an offer is kept for it."""
MAX_TRACKED = 65_536


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
        self._due: OrderedDict[Line | tuple[Mac, Line], int] = OrderedDict()
        self._newcomers: OrderedDict[Line, dict[Mac, int]] = OrderedDict()

    def allows_another(self, mac: Mac, line: Line, now_ns: int) -> bool:
        """Whether the line, or the client on a shared one, does not ask too often."""
        asker = line if line.ifindex in self._limits else (mac, line)
        due_ns = max(self._due.pop(asker, 0), now_ns)
        is_early = due_ns - now_ns > (BURST - 1) * INTERVAL_NS
        self._due[asker] = due_ns if is_early else due_ns + INTERVAL_NS
        _forget_longest(self._due)
        return not is_early

    def has_room(self, mac: Mac, line: Line, now_ns: int) -> bool:
        """Whether a client may become another subscriber of its line; if so it counts as one."""
        limit = self._limits.get(line.ifindex)
        if limit is None:
            return True
        newcomers = {
            other: asked_ns
            for other, asked_ns in self._newcomers.pop(line, {}).items()
            if now_ns - asked_ns < NEWCOMER_NS and not self._is_bound(other, line)
        }
        self._newcomers[line] = newcomers
        _forget_longest(self._newcomers)
        if mac not in newcomers and self._bound(line) + len(newcomers) >= limit:
            return False
        newcomers[mac] = now_ns
        return True


def _forget_longest(seen: OrderedDict[Any, Any]) -> None:
    """Whoever was not heard of for longest is forgotten where too many were.

    A plain dict would look for its first key past all that were deleted before it.
    """
    if len(seen) > MAX_TRACKED:
        seen.popitem(last=False)
