"""New subscribers through agent, Redis (every write on disk) and allocator, against Kea."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from scripts.benchmark import kea, perfdhcp
from scripts.benchmark.measure import Series, Table, at_least, at_most, run_rounds, spent_s
from scripts.benchmark.network import BenchLab, Wire, require
from scripts.benchmark.peers import (
    Edge,
    Kea,
    add_edge,
    add_kea,
    compared,
    load_on_kea,
    loads_on,
)
from scripts.benchmark.perfdhcp import Perfdhcp

NEWCOMERS = 8_000
WINDOW = 128
SECONDS_MAX = 60.0
DELAY_RATE = 1000
DELAY_GOAL_US = 2000
TIMES_KEA = 1.5
KEA = "Kea"
ROOMY = "roomy-kea"
"""Another Kea, with as large a buffer for what comes in as perfdhcp has."""
FIRST_RATE = 500
"""Low enough for both."""


@dataclass(slots=True)
class Newcomers:
    """Runs of new subscribers over a wire; `spent` is what each took of the processes, us."""

    lab: BenchLab
    wire: Wire
    pids: Mapping[str, int]
    spent: dict[str, list[float]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(step=NEWCOMERS))

    def run(self) -> float:
        """Exchanges per second."""
        before = {name: spent_s(pid) for name, pid in self.pids.items()}
        found = self.lab.blast(
            self.wire, "new", clients=NEWCOMERS, window=WINDOW, seconds=SECONDS_MAX,
            first=next(self._numbers),
        )  # fmt: skip
        for name, pid in self.pids.items():
            each_us = 1e6 * (spent_s(pid) - before[name]) / found.done
            self.spent.setdefault(name, []).append(each_us)
        return found.per_s


def measure(rounds: int) -> list[Table]:
    require("redis-server", "cc")
    with BenchLab("xdp") as lab:
        edge, peer = add_edge(lab), add_kea(lab)
        ours = Newcomers(lab, edge.wire, edge.pids)
        keas = Newcomers(lab, peer.wire, {KEA: peer.pid}) if peer else None
        found = run_rounds(_cases(ours, keas, _loads(lab, edge, peer)), rounds)
    return [_newcomers(found), _spent(ours, keas), _delays(found)]


def _newcomers(found: Mapping[str, Series]) -> Table:
    title = f"New subscribers over veth ({WINDOW} under way in the closed loop)"
    table = compared(title, found, at_least(TIMES_KEA))
    if roomy := found.get(f"{ROOMY} perfdhcp"):
        table.add("Kea with room in its socket, perfdhcp", roomy, table.rows[-1].name)
    return table


def _spent(ours: Newcomers, keas: Newcomers | None) -> Table:
    table = Table("Processor time of a new subscriber in the closed loop", "us")
    if keas:
        table.add(KEA, Series(tuple(keas.spent[KEA])), note="memfile, persist")
    else:
        table.skip(KEA, kea.WHY_ABSENT)
    for name, spent in ours.spent.items():
        table.add(name, Series(tuple(spent)))
    together = Series(tuple(map(sum, zip(*ours.spent.values(), strict=True))))
    table.add("agent, allocator and Redis", together, KEA if keas else "")
    return table


def _delays(found: Mapping[str, Series]) -> Table:
    table = Table(f"Mean time of a reply, perfdhcp at {DELAY_RATE:,} exchanges/s", "us")
    for name, goals in (("Kea", ()), ("edge", (at_most(DELAY_GOAL_US, "us"),))):
        figure = found.get(f"{name.lower()} delay")
        if figure:
            table.add(name, figure, "", *goals)
        else:
            table.skip(name, perfdhcp.WHY_ABSENT)
    return table


def _loads(lab: BenchLab, edge: Edge, peer: Kea | None) -> dict[str, Perfdhcp]:
    """As `loads_on`, and on the wire of another Kea."""
    loads = loads_on(lab, edge, peer)
    if "kea" in loads and (roomy := add_kea(lab, ROOMY, lab.roomy)):
        loads[ROOMY] = load_on_kea(lab, roomy)
    return loads


def _cases(
    ours: Newcomers, keas: Newcomers | None, loads: Mapping[str, Perfdhcp]
) -> dict[str, Callable[[], float]]:
    """Each figure of ours with its peer's right behind it: this machine's speed drifts."""
    cases = {"edge": ours.run}
    if keas:
        cases["kea"] = keas.run
    for name, load in loads.items():
        if name != ROOMY:
            cases[f"{name} delay"] = partial(load.mean_delay_us, DELAY_RATE)
    for name, load in loads.items():
        cases[f"{name} perfdhcp"] = partial(load.highest_rate, FIRST_RATE)
    return cases
