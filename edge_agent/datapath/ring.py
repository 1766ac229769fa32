"""A ring of the kernel program's (BPF_MAP_TYPE_RINGBUF), read from mapped memory.

A ring has one consumer, and that is the agent: it `take`s records, which makes room for others.
Whoever else wants to see them may `look`, which moves nothing and may miss some.

The ring's memory: a page with the octets consumed so far, a page with those produced so far, then
the data, mapped twice in a row so that a record never ends at its end. Before each record stands
its length with two flags. All records of a ring are of one size, so the two numbers count records
as well.
"""

import mmap
from typing import Final

from edge_agent.datapath.mapped import Words

_HEADER: Final = 8
_BUSY: Final = 1 << 31
"""The record is being written."""


class Ring:
    """One ring, mapped; `read_only` maps nothing for writing."""

    def __init__(
        self, fd: int, *, octets: int, record_octets: int, read_only: bool = False
    ) -> None:
        """`fd` stays the caller's; a record's octets are a multiple of 8."""
        self._size = octets
        self._step = _HEADER + record_octets
        page = mmap.PAGESIZE
        self._consumed = Words(fd, page, read_only=read_only)
        produced_and_data = page + 2 * octets
        self._map = mmap.mmap(fd, produced_and_data, mmap.MAP_SHARED, mmap.PROT_READ, offset=page)
        self._octets = memoryview(self._map)
        self._produced = self._octets[:8].cast("Q")
        self._headers = self._octets[page:].cast("I")
        self._data = self._octets[page:]

    @property
    def consumed(self) -> int:
        """Octets that the agent has taken since the ring was made."""
        return self._consumed[0]

    @property
    def produced(self) -> int:
        """Octets that the program has written since the ring was made."""
        return self._produced[0]

    def counts(self) -> tuple[int, int]:
        """Records since the ring was made, and those that nobody has taken yet."""
        consumed, produced = self.consumed, self.produced
        return produced // self._step, (produced - consumed) // self._step

    def take(self, limit: int) -> list[bytes]:
        """The next records, oldest first; they are gone then. Only the agent may."""
        at = self.consumed
        taken = self._read(at, limit)
        if taken:
            self._consumed[0] = at + self._step * len(taken)
        return taken

    def look(self, at: int) -> tuple[list[bytes], int]:
        """What was written from `at` on, and where to go on, for whoever takes nothing.

        Nothing where the program may have written over what stood there.
        """
        found = self._read(at, self._size // self._step)
        if self.produced - at > self._size:
            return [], self.produced
        return found, at + self._step * len(found)

    def _read(self, at: int, limit: int) -> list[bytes]:
        """Records from `at` on, up to one that is still being written."""
        end = min(self.produced, at + self._step * limit)
        found: list[bytes] = []
        while at < end and not self._headers[(start := at % self._size) // 4] & _BUSY:
            found.append(bytes(self._data[start + _HEADER : start + self._step]))
            at += self._step
        return found

    def close(self) -> None:
        for view in (self._produced, self._headers, self._data, self._octets):
            view.release()
        self._map.close()
        self._consumed.close()
