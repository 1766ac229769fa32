"""BPF_PROG_TEST_RUN some ten thousand times a second: buffers made once, and bare reads."""

import ctypes
from typing import Final

from edge_agent.datapath import libbpf, pins
from edge_agent.datapath.xdp import XdpDatapath
from tests.kernel.lab import IFINDEX

_POSSIBLE: Final = "/sys/devices/system/cpu/possible"


def _processors() -> int:
    """How many values a per-CPU entry has."""
    with open(_POSSIBLE) as words:  # noqa: PTH123 - no path of ours
        return int(words.read().strip().split("-")[-1]) + 1


class Runner:
    """The loaded program, asked frame by frame on the port `IFINDEX`."""

    def __init__(self, datapath: XdpDatapath) -> None:
        self._promises = datapath._promises._octets
        self._test_run = datapath.test_run
        lib = libbpf.library()
        self._lookup = lib.bpf_map_lookup_elem
        self._lookup.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._stats = datapath._maps["stats_map"]
        self._words = len(pins.counter_names())
        self._per_cpu = (ctypes.c_uint64 * (self._words * _processors()))()
        self._key = ctypes.c_uint32(0)
        self._key_at, self._per_cpu_at = ctypes.byref(self._key), ctypes.byref(self._per_cpu)

    def ask(self, frame: bytes) -> tuple[int, bytes]:
        """XDP action, and the frame as it was left."""
        return self._test_run(frame, IFINDEX)

    def counters(self) -> list[int]:
        """Verdicts so far in the order of `Counter`, summed over processors."""
        self._lookup(self._stats, self._key_at, self._per_cpu_at)
        values, words = self._per_cpu[:], self._words
        if len(values) == words:
            return values
        cpus = (values[at : at + words] for at in range(0, len(values), words))
        return [sum(counts) for counts in zip(*cpus, strict=True)]

    def promises(self, slots: int) -> bytes:
        """The first records of `promises`, 16 octets each."""
        return self._promises[: 16 * slots].tobytes()
