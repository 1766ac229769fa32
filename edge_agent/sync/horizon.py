"""The horizon: until when this edge may promise anything (DESIGN section 2).

It is counted from the moment a heartbeat was SENT, on the elapsed clock, which no time daemon
slews. The kernel reads CLOCK_BOOTTIME, so the end is converted anew every second.
"""

from lease_core.domain.events import HorizonGranted

SECOND_NS = 1_000_000_000
RATE_ERROR = 1e-3
MAX_PENDING = 16


class Horizon:
    """E of this edge. Times: `elapsed` = elapsed clock, `boot` = CLOCK_BOOTTIME, nanoseconds."""

    def __init__(self) -> None:
        self._end_elapsed_ns = 0
        self._sent: dict[str, int] = {}

    def resume(self, end_boot_ns: int, touched_boot_ns: int, touched_elapsed_ns: int) -> None:
        """Take over E as this edge's former process last wrote it, with what both clocks said."""
        self._end_elapsed_ns = max(0, touched_elapsed_ns + end_boot_ns - touched_boot_ns)

    def beat(self, nonce: str, elapsed_ns: int) -> None:
        """Remember when the heartbeat `nonce` is sent; call it before sending."""
        self._sent[nonce] = elapsed_ns
        while len(self._sent) > MAX_PENDING:
            del self._sent[next(iter(self._sent))]

    def sent_ns(self, nonce: str) -> int | None:
        """When the heartbeat `nonce` was sent, if its answer is awaited."""
        return self._sent.get(nonce)

    def grant(self, event: HorizonGranted) -> bool:
        """Apply a grant in log order; False = not the answer to a heartbeat of this process."""
        sent_ns = self._sent.pop(event.nonce, None)
        if sent_ns is None:
            return False
        usable_ns = int(event.horizon_s * SECOND_NS * (1 - RATE_ERROR))
        self._end_elapsed_ns = max(self._end_elapsed_ns, sent_ns + usable_ns)
        return True

    def forfeit(self) -> int:
        """Promise nothing more; returns E until now, on the elapsed clock."""
        end_ns, self._end_elapsed_ns = self._end_elapsed_ns, 0
        self._sent.clear()
        return end_ns

    def end_boot_ns(self, boot_ns: int, elapsed_ns: int) -> int:
        """E on the kernel's clock as the two clocks stand now."""
        return max(0, boot_ns + self._end_elapsed_ns - elapsed_ns)

    def remaining_s(self, elapsed_ns: int) -> float:
        return max(0, self._end_elapsed_ns - elapsed_ns) / SECOND_NS
