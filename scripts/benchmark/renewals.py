"""Subscribers who go on with their lease: request/reply pairs, against Kea and an empty echo."""

from dataclasses import dataclass, field
from typing import Final

from scripts.benchmark import kea
from scripts.benchmark.measure import Series, Table, at_least, run_rounds
from scripts.benchmark.network import BenchLab, Wire
from scripts.benchmark.peers import Kea

SUBSCRIBERS: Final = 20_000
WINDOW: Final = 128
SECONDS: Final = 2.0
CPU: Final = 1
"""The blaster's; a server that is a process runs beside it."""
ECHO: Final = "bare XDP_TX echo"
KEA: Final = "Kea"
EDGE: Final = "edge"
GOAL: Final = at_least(20)


@dataclass(slots=True)
class Pairs:
    """Runs of the blaster against a server in the kernel, or in the process `server`."""

    lab: BenchLab
    wire: Wire
    mode: str
    clients: int
    server: int | None = None
    per_cpu_s: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    """The share of the time that the process worked."""

    def run(self) -> float:
        """Pairs per second; what a processor second did is kept."""
        found = self.lab.blast(
            self.wire, self.mode, clients=self.clients, window=WINDOW, seconds=SECONDS, cpu=CPU,
            server=self.server,
        )  # fmt: skip
        self.per_cpu_s.append(found.done / (found.cpu_s + found.server_s))
        self.busy.append(found.server_s / found.seconds)
        return found.per_s


def compared(lab: BenchLab, echo: Wire, edge: Wire, peer: Kea | None, rounds: int) -> list[Table]:
    """Two tables: by the clock, where Kea has a processor of its own, and by processor time."""
    runs = {ECHO: Pairs(lab, echo, "discover", 1), EDGE: Pairs(lab, edge, "renew", SUBSCRIBERS)}
    if peer:
        runs[KEA] = Pairs(lab, peer.wire, "renew", SUBSCRIBERS, peer.pid)
    by_clock = run_rounds({name: run.run for name, run in runs.items()}, rounds)
    by_cpu = {name: Series(tuple(run.per_cpu_s)) for name, run in runs.items()}
    busy = Series(tuple(runs[KEA].busy)).median if peer else 0.0
    title = f"Renewals of {SUBSCRIBERS:,} subscribers over veth"
    return [
        _table(title, "request/reply pairs/s", by_clock, busy),
        _table(title, "request/reply pairs per processor second", by_cpu, busy),
    ]


def _table(title: str, unit: str, found: dict[str, Series], busy: float) -> Table:
    table = Table(title, unit)
    if KEA not in found:
        table.skip(KEA, kea.WHY_ABSENT)
        table.add(ECHO, found[ECHO])
        table.add(EDGE, found[EDGE], ECHO)
        return table
    table.add(KEA, found[KEA], note=f"memfile, persist; busy {busy:.0%} of the time")
    table.add(ECHO, found[ECHO], KEA, note="as many as there can be here")
    table.add(EDGE, found[EDGE], KEA, GOAL)
    return table
