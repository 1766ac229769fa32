"""Following a log: each record exactly once, in order, without gaps, its hash checked (I4, I5).

A reader keeps a `Position`. Redis itself gives no error for a trimmed or lost position, so the
position is compared with the head on every (re)connect and every few seconds.
"""

from dataclasses import dataclass
from enum import StrEnum

from lease_core.domain.events import Record
from lease_core.log.hashes import chain
from lease_core.log.port import ZERO_HASH, Head


class GapError(Exception):
    """Records between the position and the next one are missing; read anew from a known state."""


class BrokenChainError(Exception):
    """A record does not continue what was read: the log was replaced or edited; halt."""


class Standing(StrEnum):
    """How a reader's position stands to the head of the log it reads."""

    LIVE = "live"
    BEHIND = "behind"
    REGRESSED = "regressed"
    FOREIGN = "foreign"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `seq` was applied; `h` is its hash and `epoch` the last one seen."""

    genesis: str
    seq: int = 0
    h: str = ZERO_HASH
    commit_ms: int = 0
    epoch: int = 0

    @property
    def entry_id(self) -> str:
        return f"{self.commit_ms}-{self.seq}"

    def behind(self, record: Record) -> "Position":
        """The position after a record of the same log that needs no check any more."""
        return Position(self.genesis, record.seq, record.h, record.commit_ms, record.epoch)


def advance(position: Position, *records: Record) -> Position:
    """The position after `records`.

    Raises:
        GapError: records between are missing.
        BrokenChainError: a record does not continue the log that was read so far.
    """
    seq, epoch, h = position.seq, position.epoch, bytes.fromhex(position.h)
    for record in records:
        if record.seq != seq + 1 or record.epoch < epoch:
            raise _misplaced(record, seq, epoch)
        h = chain(h, record.octets)
        if record.h != h.hex():
            raise BrokenChainError(
                f"entry {record.entry_id} carries hash {record.h}, which does not continue "
                f"event {seq}"
            )
        seq, epoch = record.seq, record.epoch
    return position.behind(records[-1]) if records else position


def _misplaced(record: Record, seq: int, epoch: int) -> GapError | BrokenChainError:
    if record.seq > seq + 1:
        return GapError(f"entry {record.entry_id} follows event {seq}")
    return BrokenChainError(
        f"entry {record.entry_id} of epoch {record.epoch} follows event {seq} of epoch {epoch}"
    )


def standing(position: Position, head: Head | None) -> Standing:
    """Compare what was applied with where the log ends."""
    if head is None or head.genesis != position.genesis:
        return Standing.FOREIGN
    if head.epoch < position.epoch:
        return Standing.STALE
    if head.seq < position.seq or (head.seq == position.seq and head.h != position.h):
        return Standing.REGRESSED
    return Standing.LIVE if position.seq >= head.durable_seq else Standing.BEHIND
