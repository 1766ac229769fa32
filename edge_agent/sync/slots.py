"""Slots of the promise table: a number for each binding that is or was answered for."""

from collections.abc import Iterable


class Slots:
    """Numbers 0..`size`-1; `used` are taken already."""

    def __init__(self, size: int, used: Iterable[int] = ()) -> None:
        self._taken = bytearray(size)
        self._next = 0
        for slot in used:
            if 0 <= slot < size:
                self._taken[slot] = True
                self._next = max(self._next, slot + 1)
        self._free = [slot for slot in range(self._next) if not self._taken[slot]]

    @property
    def is_full(self) -> bool:
        return not self._free and self._next >= len(self._taken)

    def take(self) -> int | None:
        """A slot that nobody uses; None when there is none."""
        if self._free:
            slot = self._free.pop()
        elif self._next < len(self._taken):
            slot = self._next
            self._next += 1
        else:
            return None
        self._taken[slot] = True
        return slot

    def give(self, slot: int) -> None:
        """Take a slot back; one that is not taken is no error, so none is ever free twice."""
        if 0 <= slot < len(self._taken) and self._taken[slot]:
            self._taken[slot] = False
            self._free.append(slot)
