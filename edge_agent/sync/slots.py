"""Slots of the promise table: a number for each binding, smallest unused ones last."""

from collections.abc import Iterable


class Slots:
    """Numbers 0..`size`-1; `used` are taken already."""

    def __init__(self, size: int, used: Iterable[int] = ()) -> None:
        self._size = size
        taken = set(used)
        self._next = max(taken, default=-1) + 1
        self._free = [slot for slot in range(self._next) if slot not in taken]

    def take(self) -> int | None:
        """A slot that nobody uses; None when there is none."""
        if self._free:
            return self._free.pop()
        if self._next >= self._size:
            return None
        self._next += 1
        return self._next - 1

    def give(self, slot: int) -> None:
        self._free.append(slot)
