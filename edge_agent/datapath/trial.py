"""A trial: the program loaded once more, on the site's tables, but with nothing else of the site.

It has counters, buckets, promises and a ring of its own, and a copy of the stock. So a verdict is
the frame's alone, whatever comes in meanwhile, and a trial neither promises, nor takes a token or
an address, nor counts, nor is told.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from edge_agent.datapath import libbpf, pins
from edge_agent.datapath.attach import PROGRAM
from edge_agent.datapath.dry_run import DryRun
from edge_agent.datapath.mapped import Words
from edge_agent.datapath.maps import Counters

TABLES: Final = (
    "subscriber_pools", "circuits", "ip_pools", "access_ports", "known_macs", "site_state"
)  # fmt: skip
"""What the program only reads."""


class Judged(NamedTuple):
    """What the program made of a frame."""

    counter: str | None
    """None = not counted: no DHCP."""
    action: int
    frame: bytes


class Trial:
    """A second load of this agent's program; memory for as many promises as the site has."""

    def __init__(self, directory: Path, subscribers: int, circuits: int, stock: memoryview) -> None:
        """Load it on the tables pinned in `directory`, which have these sizes, and this stock.

        Raises:
            LoadError: the object is missing or was refused.
        """
        self._program, maps = libbpf.load_with_maps(
            pins.object_file(),
            PROGRAM,
            {name: directory / name for name in TABLES},
            {"subscriber_pools": subscribers, "promises": subscribers, "circuits": circuits},
            ("stats_map", "stock"),
        )
        self._run = DryRun(self._program)
        self._stats = maps["stats_map"]
        _copy(stock, maps["stock"])
        self._counters = Counters(self._stats, pins.counter_names())
        self.tag = libbpf.program_info(self._program).tag

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._program)
        os.close(self._stats)

    def judge(self, frame: bytes, ifindex: int) -> Judged:
        """Judge a frame as if it had come in on an interface of this host.

        Raises:
            FastPathError: there is no such interface, or the frame is shorter than 14 octets.
        """
        before = self._counters.read()
        action, answer, _ = self._run(frame, ifindex)
        moved = (name for name, number in self._counters.read().items() if number > before[name])
        return Judged(next(moved, None), action, answer)


def _copy(octets: memoryview, fd: int) -> None:
    """Write the content of one mapped array into another one, whose descriptor is closed."""
    words = Words(fd, len(octets))
    words.octets[: len(octets)] = octets
    words.close()
    os.close(fd)
