"""Memory-mapped arrays: 64-bit words shared with the kernel program, read and written whole."""

import ctypes
import errno
import mmap
import os
import platform
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.datapath.errors import FastPathError

_MEMBARRIER: Final = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_CMD_GLOBAL: Final = 1


class Words:
    """The words of a mapped array by number; each access is one aligned 64-bit access."""

    def __init__(self, fd: int, octets: int, *, read_only: bool = False) -> None:
        """`octets` is the size of all values together; `fd` stays the caller's."""
        protection = mmap.PROT_READ if read_only else mmap.PROT_READ | mmap.PROT_WRITE
        rounded = -(-octets // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(fd, rounded, mmap.MAP_SHARED, protection)
        self._octets = memoryview(self._map)
        self._words = self._octets.cast("Q")

    @property
    def octets(self) -> memoryview:
        """All of it; gone with `close`."""
        return self._octets

    @property
    def words(self) -> memoryview:
        """All of it as numbers; gone with `close`."""
        return self._words

    def __getitem__(self, index: int) -> int:
        return self._words[index]

    def __setitem__(self, index: int, word: int) -> None:
        self._words[index] = word

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The words at these places."""
        return np.frombuffer(self._words, np.uint64)[indices]

    def put(self, indices: NDArray[np.int64], words: NDArray[np.uint64]) -> None:
        """Write the words at these places, each whole."""
        np.frombuffer(self._words, np.uint64)[indices] = words

    def copy(self, words: int) -> bytes:
        """The first words as octets, each word read whole."""
        return b"".join(self._words[i].to_bytes(8, "little") for i in range(words))

    def close(self) -> None:
        self._words.release()
        self._octets.release()
        self._map.close()


def wait_for_programs() -> None:
    """Return when every program that runs now has ended: membarrier(2), an RCU grace period.

    Takes some milliseconds to some tens of milliseconds.

    Raises:
        FastPathError: the kernel cannot (it runs with `nohz_full`), so an end cannot be known.
    """
    number = _MEMBARRIER.get(platform.machine())
    if number is None:
        raise FastPathError(f"membarrier: its number on {platform.machine()} is not known")
    if ctypes.CDLL(None, use_errno=True).syscall(number, _MEMBARRIER_CMD_GLOBAL, 0, 0):
        error = ctypes.get_errno()
        hint = " (boot without nohz_full)" if error == errno.EINVAL else ""
        raise FastPathError(f"membarrier: {os.strerror(error)}{hint}")
