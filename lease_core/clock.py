"""The two clocks that safety may use. Neither is wall time."""

import time


def elapsed_ns() -> int:
    """Nanoseconds since some start: MONOTONIC_RAW plus the time the machine was suspended.

    Slewing by a time daemon does not touch it, so its rate is the crystal's.
    """
    suspended = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(
        time.CLOCK_MONOTONIC
    )
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + suspended


def boot_ns() -> int:
    """CLOCK_BOOTTIME in nanoseconds: the clock that the kernel program reads."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
