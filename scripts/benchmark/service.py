"""New subscribers through agent, Redis (every write on disk) and allocator, against Kea."""

from itertools import count

from scripts.benchmark import kea, perfdhcp
from scripts.benchmark.measure import Table, run_rounds
from scripts.benchmark.network import BenchLab, Wire, is_installed, require
from scripts.benchmark.peers import EDGE_PREFIX, KEA_RELAY, KEA_ROUTER, NOT_RELAYED, add_kea

NEWCOMERS = 8_000
WINDOW = 128
SECONDS_MAX = 60.0
FIRST_RATE = 2000
MAX_SUBSCRIBERS = 1_000_000
KEA_BLASTED = "Kea, blaster"
KEA_PERFDHCP = "Kea, perfdhcp, highest rate without loss"
EDGE_PERFDHCP = "edge and allocator, perfdhcp, highest rate without loss"


def measure(rounds: int) -> list[Table]:
    require("redis-server", "cc")
    with BenchLab("xdp") as lab:
        lab.start_redis()
        lab.start_allocator()
        site, edge = lab.add_quiet_site("ams01", EDGE_PREFIX, MAX_SUBSCRIBERS)
        lab.start_edge(site)
        return [_newcomers(lab, edge, add_kea(lab), rounds)]


def _newcomers(lab: BenchLab, edge: Wire, peer: Wire | None, rounds: int) -> Table:
    numbers = count(step=NEWCOMERS)

    def new(wire: Wire) -> float:
        return lab.blast(
            wire, "new", clients=NEWCOMERS, window=WINDOW, seconds=SECONDS_MAX, first=next(numbers)
        ).per_s

    cases = {"edge": lambda: new(edge)}
    if peer:
        cases["kea"] = lambda: new(peer)
        if is_installed(perfdhcp.PROGRAM):
            load = perfdhcp.Perfdhcp(peer, KEA_RELAY, KEA_ROUTER)
            cases["kea perfdhcp"] = lambda: load.highest_rate(FIRST_RATE)
    found = run_rounds(cases, rounds)
    title = f"New subscribers over veth, {WINDOW} under way, everything on the same processors"
    table = Table(title, "four-way exchanges/s")
    if peer:
        table.add(KEA_BLASTED, found["kea"], note="memfile, persist")
        table.add("edge and allocator, blaster", found["edge"], KEA_BLASTED)
    else:
        table.skip(KEA_BLASTED, kea.WHY_ABSENT)
        table.add("edge and allocator, blaster", found["edge"])
    if "kea perfdhcp" in found:
        table.add(KEA_PERFDHCP, found["kea perfdhcp"], note="memfile, persist")
    else:
        table.skip(KEA_PERFDHCP, f"{kea.WHY_ABSENT}, or {perfdhcp.WHY_ABSENT}")
    table.skip(EDGE_PERFDHCP, NOT_RELAYED)
    return table
