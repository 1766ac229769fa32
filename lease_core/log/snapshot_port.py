"""Snapshots beside the log, and what has to stand before the log may be cut below one.

A snapshot is written chunk by chunk and published last, so a reader sees a whole one or none.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

MAX_CHUNKS: Final = 16_384
MAX_CHUNK_OCTETS: Final = 8 << 20

LOST_THE_LOG: Final = ("foreign", "regressed", "stale")
"""What an edge reports that follows another log: what it applied is not of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMeta:
    """What a snapshot is of: the state after event `seq`, whose hash, time and epoch these are.

    `digest` is over the rows in its `chunks` chunks, `octets` over these as they stand there; ""
    = it was written by an older program.
    """

    genesis: str
    seq: int
    h: str
    commit_ms: int
    epoch: int
    digest: str
    chunks: int
    octets: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A history outside of Redis holds everything up to event `seq`, says `by`."""

    genesis: str
    seq: int
    h: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where to cut a log: every event before `seq`, which a snapshot covers and whose hash is `h`.

    `taken_id` and `verified_id` are the entries that tell of the snapshot, "" where none does.
    """

    genesis: str
    seq: int
    h: str
    commit_ms: int
    taken_id: str
    verified_id: str

    @property
    def entry_id(self) -> str:
        """The first entry that stays: the snapshot's own, to be compared with it."""
        return f"{self.commit_ms}-{self.seq}"


class SnapshotStore(Protocol):
    """The part of a site's log that knows snapshots."""

    async def begin_snapshot(self, seq: int) -> None:
        """Make room for a snapshot; one of the same event is gone."""

    async def put_chunk(self, seq: int, number: int, octets: bytes) -> None:
        """Write a chunk of a snapshot that was begun and is not published."""

    async def publish_snapshot(self, meta: SnapshotMeta) -> None:
        """All chunks are written: readers may see it."""

    async def snapshots(self) -> list[SnapshotMeta]:
        """The published ones, newest first; what cannot be read is left out."""

    async def chunk(self, seq: int, number: int) -> bytes | None:
        """A chunk; None where there is none, or one of more than `MAX_CHUNK_OCTETS`."""

    async def drop_snapshots(self, below: int, but: Collection[int]) -> None:
        """Drop those of events before `below`, half-written ones too, except some."""

    async def set_archived(self, archived: Archived) -> None:
        """Record how far the history outside has come."""

    async def archived(self) -> Archived | None:
        """How far the history outside has come, None where that cannot be told."""

    async def trim(self, cut: Cut, lost: Collection[str] = (), *, dry_run: bool = False) -> int:
        """Cut the log; return how many events went, or would go.

        `lost` names edges that will never come back with their tables; the others must have
        applied everything that goes.

        Raises:
            TrimRefusedError: with every reason; nothing was cut.
            ForeignLogError: there is no log of that genesis.
        """
