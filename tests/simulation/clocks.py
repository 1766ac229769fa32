"""Clocks of machines, each with a rate of its own.

Wall time may be stepped, boot time slewed, and all of them stop while a virtual machine is paused.
"""

from dataclasses import dataclass, field

from edge_agent.agent.answering import Now
from tests.simulation.loop import SimLoop

SECOND = 1_000_000_000
WALL_START_S = 1_760_000_000.0


@dataclass(slots=True)
class Clock:
    """`rate` is of the crystal, within rho; `slew` is what a time daemon does to CLOCK_BOOTTIME."""

    loop: SimLoop
    rate: float
    started_s: float = 0.0
    wall_step_s: float = 0.0
    slew: float = 1.0
    was_slewed: bool = False
    _boot_base_ns: int = field(default=1_000 * SECOND)
    _boot_at_s: float = 0.0
    _stopped_at_s: float | None = None
    _lost_s: float = 0.0

    def stop(self) -> None:
        if self._stopped_at_s is None:
            self._stopped_at_s = self.loop.now_s

    def go_on(self) -> None:
        if self._stopped_at_s is not None:
            self._lost_s += self.loop.now_s - self._stopped_at_s
            self._stopped_at_s = None

    def _real_s(self) -> float:
        """The real time in which this clock ran."""
        until_s = self.loop.now_s if self._stopped_at_s is None else self._stopped_at_s
        return until_s - self._lost_s

    def elapsed_ns(self) -> int:
        return int((500.0 + (self._real_s() - self.started_s) * self.rate) * SECOND)

    def boot_ns(self) -> int:
        ran_s = (self._real_s() - self._boot_at_s) * self.rate * self.slew
        return self._boot_base_ns + int(ran_s * SECOND)

    def now(self) -> Now:
        return Now(self.boot_ns(), self.elapsed_ns())

    def set_slew(self, slew: float) -> None:
        self._boot_base_ns = self.boot_ns()
        self._boot_at_s = self._real_s()
        self.was_slewed = self.was_slewed or slew != 1.0
        self.slew = slew

    def step_boot(self, by_s: float) -> None:
        self._boot_base_ns += int(by_s * SECOND)

    def reboot(self) -> None:
        """Both clocks that safety may use begin anew."""
        self.started_s = self._boot_at_s = self._real_s()
        self._boot_base_ns, self.slew = 10 * SECOND, 1.0
        self.was_slewed = False

    def monotonic_s(self) -> float:
        return self.elapsed_ns() / SECOND

    def wall_ns(self) -> int:
        return int((WALL_START_S + self._real_s() * self.rate + self.wall_step_s) * SECOND)
