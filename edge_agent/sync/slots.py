"""Slots of the promise table: a number for each binding that is or was answered for."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Slots:
    """Numbers 0..`size`-1; `used` are taken already."""

    def __init__(self, size: int, used: Iterable[int] = ()) -> None:
        found = np.fromiter(used, np.int64)
        inside = found[(found >= 0) & (found < size)]
        self._taken = np.zeros(size, np.bool_)
        self._taken[inside] = True
        self._next = int(inside.max(initial=-1)) + 1
        self._free: list[int] = np.flatnonzero(~self._taken[: self._next]).tolist()

    @property
    def is_full(self) -> bool:
        return not self._free and self._next >= len(self._taken)

    def take(self) -> int | None:
        """A slot that nobody uses; None when there is none."""
        taken = self.take_many(1)
        return int(taken[0]) if len(taken) else None

    def take_many(self, count: int) -> NDArray[np.uint32]:
        """So many slots that nobody uses; fewer when there are not as many."""
        reused = [self._free.pop() for _ in range(min(count, len(self._free)))]
        first, size = self._next, len(self._taken)
        self._next = min(first + count - len(reused), size)
        slots = np.array([*reused, *range(first, self._next)], np.uint32)
        self._taken[slots] = True
        return slots

    def give(self, slot: int) -> None:
        """Take a slot back; one that is not taken is no error, so none is ever free twice."""
        if 0 <= slot < len(self._taken) and self._taken[slot]:
            self._taken[slot] = False
            self._free.append(slot)
