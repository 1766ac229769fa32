"""The servers that are compared, each on wires of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark import kea, perfdhcp
from scripts.benchmark.measure import Goal, Series, Table
from scripts.benchmark.network import BenchLab, Wire, is_installed
from scripts.benchmark.perfdhcp import Perfdhcp

EDGE_PREFIX = "100.64.0.0/12"
EDGE_ADDRESS = "100.64.0.1"
EDGE_RELAY = "100.79.255.254"
KEA_SUBNET = "100.80.0.0/12"
KEA_POOL = "100.80.0.2-100.95.255.200"
KEA_ROUTER = "100.80.0.1"
KEA_RELAY = "100.95.255.254/12"

MAX_SUBSCRIBERS = 1_000_000


@dataclass(frozen=True, slots=True)
class Edge:
    """The whole service: Redis (appendfsync always), allocator and one edge."""

    wire: Wire
    relayed: Wire
    pids: Mapping[str, int]
    """Its processes."""


def add_edge(lab: BenchLab) -> Edge:
    """Start the service and wait until it answers."""
    redis, allocator = lab.start_redis(), lab.start_allocator()
    site, wire, relayed = lab.add_quiet_site("ams01", EDGE_PREFIX, MAX_SUBSCRIBERS, EDGE_RELAY)
    agent = lab.start_edge(site)
    pids = {"agent": agent.pid, "allocator": allocator.pid, "Redis": redis.pid}
    return Edge(wire, relayed, pids)


@dataclass(frozen=True, slots=True)
class Kea:
    """Kea on a wire, and its process."""

    wire: Wire
    pid: int


def add_kea(lab: BenchLab, name: str = "kea", preload: Path | None = None) -> Kea | None:
    """None where it is not installed."""
    if not is_installed(kea.PROGRAM):
        return None
    wire = lab.add_wire(name, f"{KEA_ROUTER}/12")
    return Kea(wire, kea.start(lab, wire, KEA_SUBNET, KEA_POOL, KEA_ROUTER, name, preload))


def loads_on(lab: BenchLab, edge: Edge, peer: Kea | None) -> dict[str, Perfdhcp]:
    """perfdhcp on the wires of `edge` and of `kea` if there is one; none where it is absent."""
    if not is_installed(perfdhcp.PROGRAM):
        return {}
    loads = {"edge": Perfdhcp(edge.relayed, f"{EDGE_RELAY}/12", EDGE_ADDRESS, lab.roomy)}
    if peer:
        loads["kea"] = load_on_kea(lab, peer)
    return loads


def load_on_kea(lab: BenchLab, peer: Kea) -> Perfdhcp:
    return Perfdhcp(peer.wire, KEA_RELAY, KEA_ROUTER, lab.roomy)


def compared(title: str, found: Mapping[str, Series], *goals: Goal) -> Table:
    """A table of `edge` and `kea` in a closed loop, and of both with perfdhcp, as far as found."""
    table = Table(title, "four-way exchanges/s")
    for how, suffix in (("closed loop", ""), ("perfdhcp, highest rate without loss", " perfdhcp")):
        kea_name, edge_name = f"Kea, {how}", f"edge, {how}"
        reason = perfdhcp.WHY_ABSENT if suffix and not is_installed(perfdhcp.PROGRAM) else ""
        peer = found.get(f"kea{suffix}")
        if peer:
            table.add(kea_name, peer, note="memfile, persist")
        else:
            table.skip(kea_name, reason or kea.WHY_ABSENT)
        ours = found.get(f"edge{suffix}")
        if ours:
            table.add(edge_name, ours, kea_name if peer else "", *(goals if peer else ()))
        else:
            table.skip(edge_name, reason)
    return table
