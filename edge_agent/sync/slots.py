"""Slots of the promise table: a number for each binding that is or was answered for."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.datapath.abi import SLOTS_PER_GROUP
from edge_agent.datapath.columns import groups_of
from lease_core.domain.mixing import Words, mix64

_NONE: Final = -1
_LOW_HALF: Final = 0xFFFFFFFF
_FEW: Final = 32
"""Keys that are faster served one by one."""
_LOOK: Final = 8192
"""Slots that are looked at together for one that is free."""

Places = NDArray[np.int64]


class Slots:
    """Numbers 0..`size`-1; `used` are taken already.

    A slot near a key is where the kernel reaches for its promise, so it answers a REQUEST sooner.
    Where those are taken any other will do.
    """

    def __init__(self, size: int, used: Iterable[int] = ()) -> None:
        found = np.fromiter(used, np.int64)
        self._size = size
        self._octets = bytearray(b"\1") * max(size, SLOTS_PER_GROUP)
        self._taken = np.frombuffer(self._octets, np.bool_)
        self._taken[:size] = False
        self._taken[found[(found >= 0) & (found < size)]] = True
        self._left = int(len(self._taken) - np.count_nonzero(self._taken))
        self._from = 0

    @property
    def is_full(self) -> bool:
        return not self._left

    def take(self, key: int = 0) -> int | None:
        """A slot that nobody uses, near the key if there is one; None when there is none."""
        if not self._left:
            return None
        slot = self._near(key)
        if slot == _NONE:
            slot = int(self._anywhere(1)[0])
        self._octets[slot] = True
        self._left -= 1
        return slot

    def _near(self, key: int) -> int:
        """As `groups_of`, of one key."""
        mixed, groups = mix64(key), self._size // SLOTS_PER_GROUP
        for part in (mixed & _LOW_HALF, mixed >> 32):
            first = (part * groups >> 32) * SLOTS_PER_GROUP
            slot = self._octets.find(False, first, first + SLOTS_PER_GROUP)
            if slot != _NONE:
                return slot
        return _NONE

    def take_many(self, keys: Words) -> NDArray[np.uint32]:
        """The same for each of the keys; fewer when there are not as many."""
        keys = keys[: self._left]
        if len(keys) <= _FEW:
            return np.array([self.take(key) for key in keys.tolist()], np.uint32)
        slots = np.full(len(keys), _NONE, np.int64)
        rest = np.arange(len(keys), dtype=np.int64)
        groups = groups_of(keys, self._size)
        for wanted in (first + step for first in groups for step in range(SLOTS_PER_GROUP)):
            if not len(rest):
                break
            rest = self._take_if_free(slots, wanted, rest)
        slots[rest] = self._anywhere(len(rest))
        self._left -= len(slots)
        return slots.astype(np.uint32)

    def _take_if_free(self, slots: Places, wanted: Places, who: Places) -> Places:
        """Let everybody have what he wants, the first of those who want the same; who has not?"""
        free = who[~self._taken[wanted[who]]]
        got = free[np.unique(wanted[free], return_index=True)[1]]
        slots[got] = wanted[got]
        self._taken[wanted[got]] = True
        left: Places = who[slots[who] == _NONE]
        return left

    def _anywhere(self, count: int) -> Places:
        """So many free slots, of which there are enough, from where the last search ended."""
        found: list[int] = []
        while len(found) < count:
            free = np.flatnonzero(~self._taken[self._from : self._from + _LOOK]) + self._from
            took = free[: count - len(found)]
            self._taken[took] = True
            found += took.tolist()
            if len(took) == len(free):
                self._from = self._from + _LOOK if self._from + _LOOK < self._size else 0
        return np.array(found, np.int64)

    def give(self, slot: int) -> None:
        """Take a slot back; one that is not taken is no error, so none is ever free twice."""
        if 0 <= slot < self._size and self._taken[slot]:
            self._taken[slot] = False
            self._left += 1
