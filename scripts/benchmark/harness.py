"""A site with a million subscribers in the kernel, and the programs that measure against it."""

import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_agent.datapath import dry_run, libbpf, pins
from edge_agent.datapath.maps import Table
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import (
    Assignment,
    Line,
    PoolOptions,
    Port,
    SiteState,
    SubscriberKey,
    subscriber_key,
)
from edge_agent.sync.slots import Slots
from lease_core.clock import boot_ns
from lease_core.domain.values import NO_IP, Ipv4, Mac
from scripts.benchmark import build

BPFFS = Path("/sys/fs/bpf")
IFINDEX = 1
"""The loopback interface: test runs name it, nothing is attached to it."""

SERVER = Ipv4(0x64400001)
NETMASK = Ipv4(0xFFC00000)
FIRST_ADDRESS = Ipv4(0x64400002)
FIRST_MAC = 0x02BE00000000
PORT_MAC = Mac(0x02AA00000001)
POOL = 1
POOL_ON_REQUEST = 2
OPTIONS_ON_REQUEST = {
    15: b"isp.example",
    26: (1492).to_bytes(2, "big"),
    42: bytes((192, 0, 2, 123)),
    43: b"\x01\x10acs.isp.example/",
    121: bytes((12, 100, 64, 0, 0, 0, 0, 0, 100, 64, 0, 1)),
}
"""Of the second pool; who asks for it gets domain, MTU, NTP, vendor's own and routes."""
LEASE_S = 3600
HOUR_NS = 3600 * 10**9

_FRAME = struct.Struct("<IIII640s")


def mac_of(number: int) -> Mac:
    """The client's MAC, as harness.bpf.c makes it."""
    return Mac(FIRST_MAC | number)


def address_of(number: int) -> Ipv4:
    return Ipv4(FIRST_ADDRESS + number)


def entries(count: int, slots: Slots) -> Iterator[tuple[SubscriberKey, Assignment]]:
    """A binding for every client."""
    line = Line(IFINDEX)
    keys = [subscriber_key(mac_of(number)) for number in range(count)]
    taken = slots.take_many(np.array(keys, np.uint64)).tolist()
    for number, (key, slot) in enumerate(zip(keys, taken, strict=True)):
        yield key, Assignment(address_of(number), POOL, slot, line, seq=number + 1)


def open_site(datapath: XdpDatapath) -> None:
    """Let the program answer: two pools, one port, hours of horizon, an agent that is alive."""
    for number, extra in ((POOL, {}), (POOL_ON_REQUEST, OPTIONS_ON_REQUEST)):
        options = render_pool_options(SERVER, NETMASK, (SERVER,), (Ipv4(0x08080808),), extra)
        pool = PoolOptions(Ipv4(0x64400000), NETMASK, SERVER, LEASE_S, options.always)
        datapath.put_pool(number, replace(pool, on_request=options.on_request))
    datapath.put_port(IFINDEX, Port(PORT_MAC))
    touch(datapath)


def promise_all(datapath: XdpDatapath, slots: int) -> None:
    """Everybody has had an ACK before, as who renews has: a first one is told to the agent."""
    end_boot_ns = boot_ns() + HOUR_NS
    ends = np.full(slots, end_boot_ns, np.uint64)
    datapath.raise_promises(np.arange(slots, dtype=np.uint32), ends)


def touch(datapath: XdpDatapath) -> None:
    now_ns = boot_ns()
    end_ns = now_ns + 4 * HOUR_NS
    state = SiteState(
        gate=True,
        horizon_boot_ns=end_ns,
        touched_boot_ns=now_ns,
        current_until_boot_ns=end_ns,
    )
    datapath.set_state(state)


def set_aside(datapath: XdpDatapath) -> None:
    """An address for whichever stranger asks first."""
    end_ns = boot_ns() + 4 * HOUR_NS
    datapath.stock.put(0, address_of(0), POOL, NO_IP, end_ns)
    datapath.set_stock_groups(1)


@contextmanager
def datapath_of(
    subscribers: int, name: str = "tables", *, has_circuits: bool = False
) -> Iterator[XdpDatapath]:
    """Empty tables of their own, gone at the end."""
    directory = BPFFS / f"lease-bench-{os.getpid()}-{name}"
    try:
        with XdpDatapath.open(directory, subscribers, has_circuits=has_circuits) as opened:
            yield opened
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Harness:
    """Measures programs on frames; `directory` holds the pins of a datapath."""

    PROGRAMS = ("bench_restore", "bench_pass", "bench_tx", "bench_lookup", "bench_echo")

    def __init__(self, directory: Path, subscribers: int, stack: ExitStack) -> None:
        """Load the programs on the datapath's own maps; `stack` closes what is opened."""
        names = ("bench_frame", "bench_target", "subscriber_pools")
        pinned = {name: directory / name for name in names}
        sizes = {"subscriber_pools": subscribers}
        with tempfile.TemporaryDirectory() as folder:
            compiled = build.harness(Path(folder))
            self.programs = {
                name: libbpf.load(compiled, name, pinned, sizes) for name in self.PROGRAMS
            }
        self.programs["dhcp_fastpath"] = libbpf.open_pin(directory / pins.PROGRAM_PIN)
        maps = {name: libbpf.open_pin(pinned[name]) for name in names[:2]}
        for fd in (*self.programs.values(), *maps.values()):
            stack.callback(os.close, fd)
        self._frame = _array(maps["bench_frame"], _FRAME.size)
        self._target = _array(maps["bench_target"], 4)

    def direct_ns(self, program: str, frame: bytes, action: int, repeat: int) -> float:
        """Nanoseconds a run of a program that leaves its frame as it is."""
        return self._run(program, frame, action, repeat)

    def restored_ns(
        self,
        program: str,
        frame: bytes,
        action: int,
        repeat: int,
        *,
        clients: int = 0,
        first_address: int = 0,
    ) -> float:
        """The same with the frame written anew before each run, that included."""
        self._frame.set(0, _FRAME.pack(len(frame), clients, first_address, 0, frame))
        self._target.set(0, self.programs[program].to_bytes(4, "little"))
        return self._run("bench_restore", frame, action, repeat)

    def _run(self, program: str, frame: bytes, action: int, repeat: int) -> float:
        found, _, ns = dry_run.DryRun(self.programs[program])(frame, IFINDEX, repeat)
        assert found == action, f"{program} gave XDP action {found}, not {action}"
        return float(ns)


def _array(fd: int, value_octets: int) -> Table:
    return Table(fd, key_octets=4, value_octets=value_octets, max_entries=1, is_array=True)
