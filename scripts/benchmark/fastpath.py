"""What the kernel program costs a packet, by BPF_PROG_TEST_RUN."""

import os
from collections.abc import Callable
from contextlib import ExitStack

from edge_agent.datapath.dry_run import XDP_PASS, XDP_TX
from scripts.benchmark.harness import (
    FIRST_ADDRESS,
    SERVER,
    Harness,
    address_of,
    datapath_of,
    entries,
    mac_of,
    open_site,
)
from scripts.benchmark.measure import Series, Table, at_most, run_rounds, say
from tests.packets import DISCOVER, REQUEST, Client, dhclient, ip, udhcpc

SUBSCRIBERS = 1_000_000
REPEAT = 1_000_000
HOT = 17

DISCOVER_FRAME = dhclient(DISCOVER, mac=mac_of(HOT)).frame()
REQUEST_FRAME = udhcpc(
    REQUEST, (50, ip(address_of(HOT))), (54, ip(SERVER)), mac=mac_of(HOT)
).frame()
RENEWAL_FRAME = dhclient(REQUEST, mac=mac_of(HOT)).but(ciaddr=address_of(HOT)).frame()
MISS_FRAME = dhclient(DISCOVER, mac=mac_of(SUBSCRIBERS + 1)).frame()

HEADERS = Client().frame()[:34]
TCP_FRAME = (HEADERS[:23] + b"\x06" + HEADERS[24:]).ljust(66, b"\0")
UDP_FRAME = Client(dst_port=53).frame()
ARP_FRAME = (HEADERS[:12] + b"\x08\x06" + bytes((0, 1, 8, 0, 6, 4, 0, 1))).ljust(60, b"\0")

RANDOM_KEY = "bare hash hit, random key of 1 M"

Case = Callable[[], float]


def measure(rounds: int) -> list[Table]:
    """Load a million subscribers and measure every kind of packet."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with ExitStack() as stack:
        datapath = stack.enter_context(datapath_of(SUBSCRIBERS))
        harness = Harness(datapath.directory, SUBSCRIBERS, stack)
        say(f"writing {SUBSCRIBERS:,} subscribers")
        datapath.put_many(list(entries(SUBSCRIBERS)))
        open_site(datapath)
        counted = datapath.counters()
        table = _measure(harness, rounds)
        _check_counters(counted, datapath.counters())
    return [table]


def _measure(harness: Harness, rounds: int) -> Table:
    frame = DISCOVER_FRAME
    random = {"clients": SUBSCRIBERS}
    renewing = {"clients": SUBSCRIBERS, "first_address": FIRST_ADDRESS}

    def direct(program: str, octets: bytes, action: int = XDP_PASS) -> Case:
        return lambda: harness.direct_ns(program, octets, action, REPEAT)

    def restored(program: str, octets: bytes, action: int, **how: int) -> Case:
        return lambda: harness.restored_ns(program, octets, action, REPEAT, **how)

    raw = run_rounds(
        {
            "pass": direct("bench_pass", frame),
            "tx": direct("bench_tx", frame, XDP_TX),
            "tcp": direct("dhcp_fastpath", TCP_FRAME),
            "arp": direct("dhcp_fastpath", ARP_FRAME),
            "udp": direct("dhcp_fastpath", UDP_FRAME),
            "miss": direct("dhcp_fastpath", MISS_FRAME),
            "restore": restored("bench_pass", frame, XDP_PASS),
            "restore request": restored("bench_pass", REQUEST_FRAME, XDP_PASS),
            "restore random": restored("bench_pass", frame, XDP_PASS, **random),
            "restore renewal": restored("bench_pass", RENEWAL_FRAME, XDP_PASS, **renewing),
            "lookup": restored("bench_lookup", frame, XDP_PASS),
            "offer": restored("dhcp_fastpath", frame, XDP_TX),
            "ack": restored("dhcp_fastpath", REQUEST_FRAME, XDP_TX),
            "lookup random": restored("bench_lookup", frame, XDP_PASS, **random),
            "offer random": restored("dhcp_fastpath", frame, XDP_TX, **random),
            "ack random": restored("dhcp_fastpath", RENEWAL_FRAME, XDP_TX, **renewing),
        },
        rounds,
    )

    def net(case: str, wrapper: str) -> Series:
        """Without what restoring costs; the floor of a test run stays in, as in `pass`."""
        return raw[case].minus(raw[wrapper].minus(raw["pass"]))

    table = Table("Kernel program, one processor", "ns per packet")
    table.add("bare XDP_PASS", raw["pass"])
    table.add("bare XDP_TX", raw["tx"], "bare XDP_PASS")
    for name, case in (("TCP", "tcp"), ("ARP", "arp"), ("other UDP", "udp")):
        table.add(f"not DHCP: {name}", raw[case], "bare XDP_PASS", at_most(1.3))
    table.add("DHCP, unknown client (miss)", raw["miss"], "bare XDP_PASS")
    table.add("bare hash hit, hot", net("lookup", "restore"))
    table.add("OFFER, hot", net("offer", "restore"), "bare hash hit, hot")
    table.add("ACK with option 61, hot", net("ack", "restore request"), "bare hash hit, hot")
    table.add(RANDOM_KEY, net("lookup random", "restore random"))
    goal = at_most(1.6)
    table.add("OFFER, random key", net("offer random", "restore random"), RANDOM_KEY, goal)
    renewals = net("ack random", "restore renewal")
    note = "a renewal also writes a random slot of promises"
    table.add("ACK, random key", renewals, RANDOM_KEY, goal, note)
    return table


def _check_counters(before: dict[str, int], after: dict[str, int]) -> None:
    """Every measured DHCP frame must have met the verdict that its row names."""
    moved = {name for name, count in after.items() if count != before[name]}
    assert moved == {"offer", "ack", "pass_unknown_client"}, moved
