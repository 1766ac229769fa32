"""Figures of several rounds, and ratios taken within one round: speeds drift, ratios hardly do."""

import os
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Series:
    """One figure, a value for each round."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def over(self, other: "Series") -> "Series":
        """The ratio of each round."""
        return Series(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    def minus(self, other: "Series") -> "Series":
        """The difference of each round."""
        return Series(tuple(a - b for a, b in zip(self.values, other.values, strict=True)))


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio should be at most, or at least; with a `unit`, what the figure itself should."""

    limit: float
    at_least: bool
    unit: str = ""

    def __str__(self) -> str:
        limit = f"{self.limit:,.0f} {self.unit}" if self.unit else f"{self.limit:.2f}"
        return f"{'>=' if self.at_least else '<='} {limit}"

    def is_met(self, row: "Row") -> bool:
        measured = row.figure if self.unit else row.ratio
        assert measured, f"{row.name}: no figure for {self}"
        median = measured.median
        return median >= self.limit if self.at_least else median <= self.limit


def at_least(limit: float) -> Goal:
    return Goal(limit, at_least=True)


def at_most(limit: float, unit: str = "") -> Goal:
    return Goal(limit, at_least=False, unit=unit)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; `figure` None = not measured, for the reason in `note`."""

    name: str
    figure: Series | None
    unit: str = ""
    ratio: Series | None = None
    to: str = ""
    goals: tuple[Goal, ...] = ()
    note: str = ""

    @property
    def missed(self) -> tuple[Goal, ...]:
        return tuple(goal for goal in self.goals if not goal.is_met(self))


@dataclass(slots=True)
class Table:
    """The rows of one subcommand in one unit; rows added later may name earlier ones as peers."""

    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, figure: Series, to: str = "", *goals: Goal, note: str = "") -> None:
        """Add a figure; `to` names the row that its ratio is taken to."""
        ratio = figure.over(self._figure_of(to)) if to else None
        self.rows.append(Row(name, figure, self.unit, ratio, to, goals, note))

    def skip(self, name: str, reason: str) -> None:
        """Say why a figure is not there."""
        self.rows.append(Row(name, None, note=reason))

    def _figure_of(self, name: str) -> Series:
        figure = next(row.figure for row in self.rows if row.name == name)
        assert figure, f"{name} was not measured"
        return figure


def run_rounds(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Series]:
    """Measure every case once per round, so that all of a round meet the same machine."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(1, rounds + 1):
        for name, measure in cases.items():
            value = measure()
            found[name].append(value)
            say(f"round {number}/{rounds}  {name}: {value:,.0f}")
    return {name: Series(tuple(values)) for name, values in found.items()}


def spent_s(pid: int) -> float:
    """Processor time that a process took until now."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICKS_PER_S
