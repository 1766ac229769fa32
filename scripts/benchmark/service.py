"""New subscribers through agent, Redis (every write on disk) and allocator, against Kea."""

from collections.abc import Callable, Mapping
from itertools import count

from scripts.benchmark import perfdhcp
from scripts.benchmark.measure import Series, Table, at_least, at_most, run_rounds
from scripts.benchmark.network import BenchLab, Wire, is_installed, require
from scripts.benchmark.peers import (
    Edge,
    Kea,
    add_edge,
    add_kea,
    compared,
    load_on_edge,
    load_on_kea,
)

NEWCOMERS = 8_000
WINDOW = 128
SECONDS_MAX = 60.0
DELAY_RATE = 1000
DELAY_GOAL_US = 2000
TIMES_KEA = 1.5
FIRST_RATE = 500
"""Low enough for both."""


def measure(rounds: int) -> list[Table]:
    require("redis-server", "cc")
    with BenchLab("xdp") as lab:
        edge = add_edge(lab)
        cases = _cases(lab, edge, add_kea(lab))
        found = run_rounds(cases, rounds)
    title = f"New subscribers over veth ({WINDOW} under way in the closed loop)"
    return [compared(title, found, at_least(TIMES_KEA)), _delays(found)]


def _delays(found: Mapping[str, Series]) -> Table:
    table = Table(f"Mean time of a reply, perfdhcp at {DELAY_RATE:,} exchanges/s", "us")
    for name, goals in (("Kea", ()), ("edge", (at_most(DELAY_GOAL_US, "us"),))):
        figure = found.get(f"{name.lower()} delay")
        if figure:
            table.add(name, figure, "", *goals)
        else:
            table.skip(name, perfdhcp.WHY_ABSENT)
    return table


def _cases(lab: BenchLab, edge: Edge, peer: Kea | None) -> dict[str, Callable[[], float]]:
    numbers = count(step=NEWCOMERS)

    def new(wire: Wire) -> float:
        return lab.blast(
            wire, "new", clients=NEWCOMERS, window=WINDOW, seconds=SECONDS_MAX, first=next(numbers)
        ).per_s

    cases = {"edge": lambda: new(edge.wire)}
    if is_installed(perfdhcp.PROGRAM):
        edge_load = load_on_edge(edge)
        cases["edge delay"] = lambda: edge_load.mean_delay_us(DELAY_RATE)
        cases["edge perfdhcp"] = lambda: edge_load.highest_rate(FIRST_RATE)
    if peer:
        cases["kea"] = lambda: new(peer.wire)
    if peer and is_installed(perfdhcp.PROGRAM):
        kea_load = load_on_kea(peer)
        cases["kea delay"] = lambda: kea_load.mean_delay_us(DELAY_RATE)
        cases["kea perfdhcp"] = lambda: kea_load.highest_rate(FIRST_RATE)
    return cases
