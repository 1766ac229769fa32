"""Following a log: each record exactly once, in order, without gaps, its hash checked (I4, I5).

A reader keeps a `Position`. Redis itself gives no error for a trimmed or lost position, so the
position is compared with the head on every (re)connect and every few seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from lease_core.domain.events import Record
from lease_core.log.hashes import chain
from lease_core.log.port import ZERO_HASH, Head, SiteLog
from lease_core.log.runs import Run, parts_of


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

    @property
    def before_id(self) -> str:
        """Behind it the event's own entry comes next, if the log has it; not before event 1."""
        return f"{self.commit_ms}-{self.seq - 1}"

    def behind(self, record: Record) -> "Position":
        """The position after a record of the same log that needs no check any more."""
        return Position(self.genesis, record.seq, record.h, record.commit_ms, record.epoch)


def advance(position: Position, record: Record) -> Position:
    """The position after `record`. Raises as `advance_all`."""
    if record.seq != position.seq + 1 or record.epoch < position.epoch:
        raise _misplaced(record, position)
    if record.h != chain(bytes.fromhex(position.h), record.octets).hex():
        raise _unchained(record)
    return position.behind(record)


def advance_all(position: Position, records: Sequence[Record]) -> Position:
    """The position after `records`.

    Raises:
        GapError: records between are missing.
        BrokenChainError: a record does not continue the log that was read so far.
    """
    for part in parts_of(records):
        if isinstance(part, Run):
            position = _advance_run(position, part)
        else:
            for record in part:
                position = advance(position, record)
    return position


def _advance_run(position: Position, run: Run) -> Position:
    if run.seq != position.seq + 1 or run.epoch < position.epoch:
        raise _misplaced(run[0], position)
    whole = run.following(bytes.fromhex(position.h))
    if whole < len(run):
        raise _unchained(run[whole])
    return position.behind(run[-1])


def _misplaced(record: Record, position: Position) -> GapError | BrokenChainError:
    if record.seq > position.seq + 1:
        return GapError(f"entry {record.entry_id} follows event {position.seq}")
    return BrokenChainError(
        f"entry {record.entry_id} of epoch {record.epoch} follows event {position.seq} of epoch "
        f"{position.epoch}"
    )


def _unchained(record: Record) -> BrokenChainError:
    return BrokenChainError(
        f"entry {record.entry_id} carries hash {record.h}, which does not continue event "
        f"{record.seq - 1}"
    )


async def holds(log: SiteLog, position: Position) -> bool:
    """Whether the log has the event at a position, which is not before event 1, as it was."""
    own = await log.read(position.before_id, 1)
    return bool(own) and (own[0].seq, own[0].h) == (position.seq, position.h)


def standing(position: Position, head: Head | None) -> Standing:
    """Compare what was applied with where the log ends."""
    if head is None or head.genesis != position.genesis:
        return Standing.FOREIGN
    if head.epoch < position.epoch:
        return Standing.STALE
    if head.seq < position.seq or (head.seq == position.seq and head.h != position.h):
        return Standing.REGRESSED
    return Standing.LIVE if position.seq >= head.durable_seq else Standing.BEHIND
