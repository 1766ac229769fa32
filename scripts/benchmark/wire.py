"""Round trips over a veth pair: the edge's answers against an empty echo, and against Kea."""

import os
from functools import partial

from edge_agent.datapath import libbpf
from scripts.benchmark import build, renewals
from scripts.benchmark.measure import Table, at_least, run_rounds, say
from scripts.benchmark.network import BenchLab, Wire, require
from scripts.benchmark.peers import (
    Edge,
    Kea,
    add_edge,
    add_kea,
    compared,
    loads_on,
)
from scripts.benchmark.perfdhcp import Perfdhcp
from scripts.benchmark.renewals import CPU, ECHO, SUBSCRIBERS, WINDOW

RELAYED = 2_000
FIRST_RATE = 3_000
SECONDS = 2.0
SLICE_S = 0.5
SLICES = 4
"""Short and many: echo and edge then meet the same neighbours on the machine."""


def measure(rounds: int) -> list[Table]:
    require("redis-server", "bpftool", "taskset", "cc", "clang")
    with BenchLab("xdp") as lab:
        edge = add_edge(lab)
        say(f"{SUBSCRIBERS:,} subscribers get their first lease")
        lab.blast(edge.wire, "new", clients=SUBSCRIBERS, window=WINDOW, seconds=120)
        echo, kea = _echo(lab), add_kea(lab)
        return [
            _round_trips(lab, edge.wire, echo, rounds),
            *renewals.compared(lab, echo, edge.wire, kea, rounds),
            _known(lab, edge, kea, rounds),
        ]


def _echo(lab: BenchLab) -> Wire:
    wire = lab.add_wire("echo", "100.96.0.1/16")
    program = libbpf.load(build.harness(lab.directory), "bench_echo", {}, {})
    pin = lab.pin_directory() / "echo"
    libbpf.pin(program, pin)
    os.close(program)
    lab.attach(wire, pin)
    return wire


def _round_trips(lab: BenchLab, edge: Wire, echo: Wire, rounds: int) -> Table:
    """By processor time: request, program and reply are all worked off in the blaster's, so the
    neighbours on the machine do not count.
    """

    def trips(wire: Wire, clients: int) -> float:
        found = lab.blast(
            wire, "discover", clients=clients, window=WINDOW, seconds=SLICE_S, cpu=CPU
        )
        return found.done / found.cpu_s

    found = run_rounds(
        {
            "echo": lambda: trips(echo, 1),
            "hot": lambda: trips(edge, 1),
            "known": lambda: trips(edge, SUBSCRIBERS),
        },
        rounds * SLICES,
    )
    table = Table(f"Over veth, {WINDOW} requests under way", "round trips per processor second")
    table.add(ECHO, found["echo"])
    table.add("edge, DISCOVER of one subscriber", found["hot"], ECHO, at_least(0.9))
    table.add(f"edge, DISCOVER of {SUBSCRIBERS:,} subscribers", found["known"], ECHO)
    return table


def _known(lab: BenchLab, edge: Edge, peer: Kea | None, rounds: int) -> Table:
    """DISCOVER, OFFER, REQUEST, ACK of subscribers who have a lease."""
    cases = {"edge": lambda: _again(lab, edge.wire)}
    if peer:
        cases["kea"] = lambda: _again(lab, peer.wire)
    for name, load in loads_on(lab, edge, peer).items():
        _make_known(load)
        cases[f"{name} perfdhcp"] = partial(_highest, load)
    return compared("Subscribers who have a lease already, over veth", run_rounds(cases, rounds))


def _again(lab: BenchLab, wire: Wire) -> float:
    return lab.blast(wire, "again", clients=SUBSCRIBERS, window=WINDOW, seconds=SECONDS).per_s


def _make_known(load: Perfdhcp) -> None:
    """At a rate that everybody keeps up with."""
    load.run(RELAYED // 4, RELAYED, stay=True, seconds=5)


def _highest(load: Perfdhcp) -> float:
    return load.highest_rate(FIRST_RATE, stay=True, clients=RELAYED)
