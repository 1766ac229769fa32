"""The replicas of one site's log: what they hold, and which of them may take its place.

A replica that lags holds what its master held when it stalled, so a prefix of all writes.
"""

import copy
import math
import random
from dataclasses import dataclass

from lease_core.log.memory_store import Site

SETUPS = ((1, 0), (1, 0), (1, 0), (1, 1), (2, 1), (2, 2))
"""How many there are, and how many have to hold what is true for an edge; 0 = nobody waits."""

MAX_WORD_S = 0.2


@dataclass(slots=True)
class Replica:
    """`word_s` after a write it says that it has it, unless it stalled before."""

    word_s: float
    stalled_at_s: float = math.inf
    held: Site | None = None
    """What it holds while it is stalled."""

    @property
    def seq(self) -> float:
        """The last event that it holds; endless = all."""
        if self.held is None:
            return math.inf
        return self.held.head.seq if self.held.head else 0

    def stall(self, master: Site, now_s: float) -> None:
        if self.held is None:
            self.held, self.stalled_at_s = copy.deepcopy(master), now_s

    def go_on(self) -> None:
        """It is in step again."""
        self.held, self.stalled_at_s = None, math.inf


class Replicas:
    def __init__(self, rng: random.Random, count: int, needed: int) -> None:
        self.each = [Replica(rng.uniform(0.001, MAX_WORD_S)) for _ in range(count)]
        self.needed = needed
        self._rng = rng

    @property
    def word_s(self) -> float:
        """So long after a write enough have it, if none stalls."""
        return sorted(replica.word_s for replica in self.each)[self.needed - 1]

    @property
    def held_seq(self) -> float:
        """The last event that as many hold as have to; endless = all."""
        held = sorted((replica.seq for replica in self.each), reverse=True)
        return held[self.needed - 1] if self.needed else math.inf

    def have_said(self, written_at_s: float, now_s: float) -> bool:
        """Whether as many as have to said that they have what was written then."""
        said = [
            written_at_s + replica.word_s <= min(now_s, replica.stalled_at_s)
            for replica in self.each
        ]
        return sum(said) >= self.needed

    def successor(self) -> Replica:
        """The best of so many that one of them has whatever enough of them have."""
        seen = len(self.each) - max(self.needed, 1) + 1
        return max(self._rng.sample(self.each, seen), key=lambda replica: replica.seq)

    def stall(self, master: Site, now_s: float) -> None:
        """None of them gets anything that is written from now on."""
        for replica in self.each:
            replica.stall(master, now_s)

    def go_on(self) -> None:
        for replica in self.each:
            replica.go_on()
