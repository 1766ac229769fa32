"""What the kernel program costs a packet, by BPF_PROG_TEST_RUN."""

import os
from collections.abc import Callable
from contextlib import ExitStack

from edge_agent.datapath.columns import packed
from edge_agent.datapath.dry_run import XDP_PASS, XDP_TX
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import Port
from scripts.benchmark.frames import (
    ANSWERED,
    BARE,
    BARE_FRAME,
    BARE_HOT,
    BARE_RANDOM,
    NOT_DHCP,
    STRANGER,
    SUBSCRIBERS,
    TABLE_ENTRIES,
    UNKNOWN_FRAME,
    Answered,
    bindings,
    circuit_binding,
)
from scripts.benchmark.harness import (
    IFINDEX,
    PORT_MAC,
    Harness,
    datapath_of,
    open_site,
    promise_all,
    set_aside,
)
from scripts.benchmark.measure import Series, Table, at_most, run_rounds, say

REPEAT = 1_000_000
BARE_PASS = "bare XDP_PASS"
BARE_TX = "bare XDP_TX"
MISS = "DHCP, unknown client (miss)"
RESTORED = "restored: "

HOT_GOALS = (at_most(200, "ns"),)
RANDOM_GOALS = (at_most(1.6),)
NOTES = {
    "ACK, random key": "a renewal also reads and writes a random slot of promises",
    STRANGER: "a repeated DISCOVER; a look into the table in vain goes before",
}

Case = Callable[[], float]


def measure(rounds: int) -> list[Table]:
    """Load a million subscribers and measure every kind of packet."""
    processors = os.sched_getaffinity(0)
    with ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, processors)
        os.sched_setaffinity(0, {max(processors)})
        datapath = stack.enter_context(datapath_of(TABLE_ENTRIES, has_circuits=True))
        harness = Harness(datapath.directory, TABLE_ENTRIES, stack)
        say(f"writing {SUBSCRIBERS:,} subscribers")
        datapath.put_rows(*packed(bindings()))
        datapath.put(*circuit_binding())
        promise_all(datapath, TABLE_ENTRIES)
        open_site(datapath)
        set_aside(datapath)
        counted = datapath.counters()
        raw = run_rounds(cases(harness, datapath), rounds)
        _check_counters(counted, datapath.counters())
    return [_table(raw)]


def cases(harness: Harness, datapath: XdpDatapath) -> dict[str, Case]:
    """Every figure that is taken; what restoring a frame costs stands beside its case."""

    def direct(program: str, octets: bytes, action: int = XDP_PASS) -> Case:
        return lambda: harness.direct_ns(program, octets, action, REPEAT)

    def restored(case: Answered, program: str, action: int) -> Case:
        def run() -> float:
            port = Port(PORT_MAC, case.relays, case.key, offers_stock=case.offers_stock)
            datapath.put_port(IFINDEX, port)
            clients = SUBSCRIBERS if case.is_random else 0
            return harness.restored_ns(
                program, case.frame, action, REPEAT,
                clients=clients, first_address=case.first_address,
            )  # fmt: skip

        return run

    found = {
        BARE_PASS: direct("bench_pass", BARE_FRAME),
        BARE_TX: direct("bench_tx", BARE_FRAME, XDP_TX),
        **{name: direct("dhcp_fastpath", frame) for name, frame in NOT_DHCP.items()},
        MISS: direct("dhcp_fastpath", UNKNOWN_FRAME),
    }
    for name, case in (BARE | ANSWERED).items():
        found[RESTORED + name] = restored(case, "bench_pass", XDP_PASS)
        found[name] = restored(case, case.program, case.action)
    return found


def net(raw: dict[str, Series], name: str) -> Series:
    """Without what restoring costs; the floor of a test run stays in, as in `BARE_PASS`."""
    return raw[name].minus(raw[RESTORED + name].minus(raw[BARE_PASS]))


def _table(raw: dict[str, Series]) -> Table:
    table = Table("Kernel program, one processor", "ns per packet")
    table.add(BARE_PASS, raw[BARE_PASS])
    table.add(BARE_TX, raw[BARE_TX], BARE_PASS)
    for name in NOT_DHCP:
        table.add(f"not DHCP: {name}", raw[name], BARE_PASS, at_most(1.3))
    table.add(MISS, raw[MISS], BARE_PASS)
    for name in BARE:
        table.add(name, net(raw, name))
    for name, case in ANSWERED.items():
        peer, goals = (BARE_RANDOM, RANDOM_GOALS) if case.is_random else (BARE_HOT, HOT_GOALS)
        goals = () if case.offers_stock else goals
        table.add(name, net(raw, name), peer, *goals, note=NOTES.get(name, ""))
    return table


def _check_counters(before: dict[str, int], after: dict[str, int]) -> None:
    """Every measured DHCP frame must have met the verdict that its row names."""
    moved = {name for name, count in after.items() if count != before[name]}
    assert moved == {"offer", "ack", "pass_unknown_client"}, moved
