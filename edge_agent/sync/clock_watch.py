"""Whether the kernel's clock and ours still go together, look by look.

The kernel reads CLOCK_BOOTTIME, E is kept on the elapsed clock. A time daemon may slew the former
by a twelfth; anything beyond is a clock that was stepped, stopped or replaced under us.
"""

SLEW_DIVISOR = 11
"""CLOCK_BOOTTIME shows at most an eleventh more or less: chrony slews it by 1/12 (8.3 %)."""
TOLERANCE_NS = 100_000_000
"""Two clocks are not read in the same instant."""
PAUSED_NS = 5_000_000_000


class ClockWatch:
    """Times: CLOCK_BOOTTIME and elapsed clock, nanoseconds."""

    def __init__(self, boot_ns: int, elapsed_ns: int) -> None:
        self._boot_ns, self._elapsed_ns = boot_ns, elapsed_ns
        self.step_ns = 0
        """By how much CLOCK_BOOTTIME went ahead of the elapsed clock since the look before."""
        self.paused_ns = 0
        """How long nobody looked, if that was long."""

    def are_steady(self, boot_ns: int, elapsed_ns: int) -> bool:
        """Compare with the look before; False = times on one clock say nothing about the other."""
        went_ns = elapsed_ns - self._elapsed_ns
        self.step_ns = boot_ns - self._boot_ns - went_ns
        self.paused_ns = went_ns if went_ns >= PAUSED_NS else 0
        self._boot_ns, self._elapsed_ns = boot_ns, elapsed_ns
        return went_ns >= 0 and abs(self.step_ns) <= went_ns // SLEW_DIVISOR + TOLERANCE_NS
