"""The servers that are compared, each on a wire of its own."""

from scripts.benchmark import kea
from scripts.benchmark.network import BenchLab, Wire, is_installed

EDGE_PREFIX = "100.64.0.0/12"
KEA_SUBNET = "100.80.0.0/12"
KEA_POOL = "100.80.0.2-100.95.255.200"
KEA_ROUTER = "100.80.0.1"
KEA_RELAY = "100.95.255.254/12"

NOT_RELAYED = "perfdhcp is a relay, and the edge takes no relayed requests yet"


def add_kea(lab: BenchLab) -> Wire | None:
    """Kea on a wire, None where it is not installed."""
    if not is_installed(kea.PROGRAM):
        return None
    wire = lab.add_wire("kea", f"{KEA_ROUTER}/12")
    kea.start(lab, wire, KEA_SUBNET, KEA_POOL, KEA_ROUTER)
    return wire
