"""When a leader renews: regularly; after a doubt soon, and then ever less often again.

Whoever was taken for dead and came back leads on until another claims what was his. That may be a
moment later, so one look is not enough.
"""

import math
import time


class Renewal:
    def __init__(self, soon_s: float) -> None:
        """`soon_s` is the first pause after a doubt."""
        self._soon_s = soon_s
        self._pause_s = math.inf
        self._due_at = 0.0

    @property
    def in_s(self) -> float:
        """Seconds until the next is due; not above 0 = now."""
        return self._due_at - time.monotonic()

    def done(self, every_s: float) -> None:
        """The leadership stands; the next time is in `every_s`, and sooner after a doubt."""
        self._pause_s = min(self._pause_s, every_s)
        self._due_at = time.monotonic() + self._pause_s
        self._pause_s *= 2

    def doubt(self) -> None:
        """Renew now, and soon again."""
        self._pause_s, self._due_at = self._soon_s, 0.0
