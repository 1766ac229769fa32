"""Round trips over a veth pair: the edge's answers against an empty echo, and against Kea."""

import os

from edge_agent.datapath import libbpf
from scripts.benchmark import build, kea
from scripts.benchmark.measure import Table, at_least, run_rounds, say
from scripts.benchmark.network import BenchLab, Wire, require
from scripts.benchmark.peers import EDGE_PREFIX, NOT_RELAYED, add_kea

SUBSCRIBERS = 20_000
MAX_SUBSCRIBERS = 1_000_000
WINDOW = 128
SECONDS = 2.0
CPU = 1
ECHO = "bare XDP_TX echo"
KEA_BLASTED = "Kea, blaster"


def measure(rounds: int) -> list[Table]:
    require("redis-server", "bpftool", "taskset", "cc", "clang")
    with BenchLab("xdp") as lab:
        edge = _edge(lab)
        tables = [_round_trips(lab, edge, _echo(lab), rounds)]
        tables.append(_known(lab, edge, add_kea(lab), rounds))
    return tables


def _edge(lab: BenchLab) -> Wire:
    """A site that knows its subscribers, because they went through all of it once."""
    lab.start_redis()
    lab.start_allocator()
    site, wire = lab.add_quiet_site("ams01", EDGE_PREFIX, MAX_SUBSCRIBERS)
    lab.start_edge(site)
    say(f"{SUBSCRIBERS:,} subscribers get their first lease")
    lab.blast(wire, "new", clients=SUBSCRIBERS, window=WINDOW, seconds=120)
    return wire


def _echo(lab: BenchLab) -> Wire:
    wire = lab.add_wire("echo", "100.96.0.1/16")
    program = libbpf.load(build.harness(lab.directory), "bench_echo", {}, {})
    pin = lab.pin_directory() / "echo"
    libbpf.pin(program, pin)
    os.close(program)
    lab.attach(wire, pin)
    return wire


def _round_trips(lab: BenchLab, edge: Wire, echo: Wire, rounds: int) -> Table:
    def trips(wire: Wire, clients: int) -> float:
        return lab.blast(
            wire, "discover", clients=clients, window=WINDOW, seconds=SECONDS, cpu=CPU
        ).per_s

    found = run_rounds(
        {
            "echo": lambda: trips(echo, 1),
            "hot": lambda: trips(edge, 1),
            "known": lambda: trips(edge, SUBSCRIBERS),
        },
        rounds,
    )
    title = f"Over veth, {WINDOW} requests under way, blaster and answers on one processor"
    table = Table(title, "round trips/s")
    table.add(ECHO, found["echo"])
    table.add("edge, DISCOVER of one subscriber", found["hot"], ECHO, at_least(0.9))
    table.add(f"edge, DISCOVER of {SUBSCRIBERS:,} subscribers", found["known"], ECHO)
    return table


def _known(lab: BenchLab, edge: Wire, peer: Wire | None, rounds: int) -> Table:
    """DISCOVER, OFFER, REQUEST, ACK of subscribers who have a lease."""

    def again(wire: Wire) -> float:
        return lab.blast(wire, "again", clients=SUBSCRIBERS, window=WINDOW, seconds=SECONDS).per_s

    table = Table("Subscribers who have a lease already, over veth", "four-way exchanges/s")
    cases = {"edge": lambda: again(edge)}
    if peer:
        cases["kea"] = lambda: again(peer)
    found = run_rounds(cases, rounds)
    if peer:
        table.add(KEA_BLASTED, found["kea"])
        table.add("edge, blaster", found["edge"], KEA_BLASTED)
    else:
        table.skip(KEA_BLASTED, kea.WHY_ABSENT)
        table.add("edge, blaster", found["edge"])
    table.skip("edge, perfdhcp", NOT_RELAYED)
    return table
