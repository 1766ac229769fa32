"""The two clocks that safety may use. Neither is wall time."""

import time
from pathlib import Path


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


def boot_offset_s(offsets: Path = Path("/proc/self/timens_offsets")) -> int:
    """By how much a time namespace shifts our CLOCK_BOOTTIME against the kernel's, seconds.

    0 outside of one; see time_namespaces(7).
    """
    try:
        rows = [line.split() for line in offsets.read_text().splitlines()]
    except OSError:  # a kernel without time namespaces
        return 0
    return next((int(row[1]) for row in rows if row and row[0] in ("boottime", "7")), 0)
