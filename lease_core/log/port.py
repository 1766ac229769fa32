"""The log of one site as allocator, edge and CLI see it; Redis and memory keep this contract.

Entry ids are texts `<ms>-<number>`; `ZERO_ID` stands before the first. Every `after_id` is
exclusive. A `block_ms` of 0 returns at once; more waits so long for the first entry, at most
`MAX_BLOCK_MS`. `count` is capped at `MAX_COUNT`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lease_core.domain.commands import Answer, Command, Sent
from lease_core.domain.events import Record
from lease_core.log.errors import (
    ClockError,
    ConflictError,
    FencedError,
    ForeignLogError,
    LogError,
    LogUnavailableError,
    LostLogError,
    NotReplicatedError,
    OutcomeUnknownError,
    UnreadableEntryError,
    UnsafeSettingsError,
)
from lease_core.log.layout import Written
from lease_core.log.snapshot_port import SnapshotStore

__all__ = [
    "MAX_ANSWERS",
    "MAX_BLOCK_MS",
    "MAX_COUNT",
    "MAX_SENT",
    "MAX_SKEW_MS",
    "ZERO_HASH",
    "ZERO_ID",
    "Answered",
    "Appended",
    "Batch",
    "Claimed",
    "ClockError",
    "ConflictError",
    "FencedError",
    "Followed",
    "ForeignLogError",
    "Head",
    "HeldBy",
    "LogError",
    "LogUnavailableError",
    "LostLogError",
    "NotReplicatedError",
    "OutcomeUnknownError",
    "SiteLog",
    "Unreadable",
    "UnreadableEntryError",
    "UnsafeSettingsError",
]

ZERO_ID = "0-0"
ZERO_HASH = "00" * 8
"""The hash before the first event."""

MAX_COUNT = 1000
"""Entries of one read; a client's timeout spans the whole reply (redis-py 3454)."""

MAX_BLOCK_MS = 30_000
MAX_SKEW_MS = 1000
"""How far a batch's commit time may lie from the log's clock."""

MAX_ANSWERS = 10_000
"""About so many answers are kept; an edge that is further behind asks again."""

MAX_SENT = 20_000
"""Entries with commands that may wait for an allocator; more are refused when sent (I12)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the log ends and who may write it.

    `cursor` is the last command whose effect is in the log, `batch` the id of the last append,
    `owner` the last to begin an epoch ("" before the first). `committed` is the last event that
    replicas hold, with its hash; None = none have to.
    """

    genesis: str
    epoch: int
    seq: int
    h: str
    last_id: str
    batch: str
    cursor: str
    owner: str
    committed: int | None = None
    committed_h: str = ""

    @property
    def durable_seq(self) -> int:
        """The last event that may be acted on."""
        return self.seq if self.committed is None else self.committed


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The caller leads under `epoch`; `is_new` if it just began."""

    epoch: int
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBy:
    """Another leads for `ttl_ms` more, unless it renews."""

    owner: str
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One atomic append, ready to send; `writer.build` makes it.

    `records` and `after` are what the log will hold once it is appended. `cursor` "" leaves the
    command cursor where it is. `by` writes it for those who read version `reads` of leases.
    """

    before: Head
    after: Head
    by: str
    reads: int
    cursor: str
    commit_ms: int
    records: tuple[Record, ...]
    event_fields: tuple[Written, ...]
    answer_fields: tuple[Written, ...]

    @property
    def batch_id(self) -> str:
        return self.after.batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """The end of the log right after the batch; `is_duplicate` if it was there already."""

    seq: int
    h: str
    last_id: str
    is_duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer as the stream keeps it."""

    entry_id: str
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A command or answer that cannot be read: count it, refuse it, move the cursor past it.

    Unlike an unreadable event it is no state, so nobody halts for it. `by` is its sender as far
    as it can be told, made printable.
    """

    entry_id: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came on both streams; either may be empty."""

    records: Sequence[Record]
    answers: list[Answered | Unreadable]
    ahead: "Ahead | None" = field(default=None, compare=False, repr=False)
    """Reads what is behind a full page, which was asked for already: at most once, or never.

    It tells what was there then, so it is for whoever goes on at once. None = read anew.
    """


Ahead = Callable[[], Awaitable[Followed]]


class SiteLog(SnapshotStore, Protocol):
    """One site's log. Every call may raise LogUnavailableError besides what it names itself."""

    @property
    def site(self) -> str: ...

    async def head(self) -> Head | None:
        """Read the head; None where no log was created.

        Raises:
            ForeignLogError: the key holds something else.
        """

    async def create(self, genesis: str) -> str:
        """Begin the log unless there is one; return the genesis that stands.

        Raises:
            ForeignLogError: events lie there without a head.
        """

    async def claim(
        self, owner: str, ttl_ms: int, genesis: str, above: int = 0, dead: str = ""
    ) -> Claimed | HeldBy:
        """Take or renew the leadership for `ttl_ms`; a new one begins a new epoch.

        The epoch will be newer than `above`, one that was seen before the log lost it (I5). If
        `dead` leads, its leadership is taken as lapsed; should it live, the epoch fences it. So is
        one that was taken on another server: before a restart or a promotion.

        `owner` must name this process and no other, not even its own next life. A renewal with
        a `ttl_ms` of 1 gives the leadership up.

        Raises:
            ForeignLogError: there is no log of that genesis.
        """

    async def append(self, batch: Batch) -> Appended:
        """Write the whole batch durably, or nothing of it.

        Raises:
            FencedError, ConflictError, ClockError, ForeignLogError: refused, nothing written.
            OutcomeUnknownError: the reply was lost, or fewer replicas hold it than must.
            ValueError: the batch is inconsistent in itself; our bug.
        """

    async def read(self, after_id: str, count: int = 500, block_ms: int = 0) -> Sequence[Record]:
        """Read events in order. Gaps and hashes are the reader's to check.

        Raises:
            UnreadableEntryError: the first entry cannot be read (those before a later bad one
                are returned first).
        """

    async def send(self, command: Command, by: str) -> str:
        """Queue a command; return its entry id. Commands are idempotent: send again in doubt."""

    async def send_many(self, commands: Sequence[Command], by: str) -> str:
        """Queue commands in order, all or none; return the id of the last one's entry, if any.

        A restart of the server may lose those that `may_be_forgotten` together.
        """

    async def commands(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Sent | Unreadable]:
        """Read the commands of so many entries in order."""

    async def answers(
        self, after_id: str, count: int = 500, block_ms: int = 0
    ) -> list[Answered | Unreadable]:
        """Read answers in order; old ones are dropped."""

    async def last_answer_id(self) -> str:
        """The id to follow answers from when only new ones matter."""

    async def follow(
        self, events_after: str, answers_after: str, block_ms: int = 0, count: int = 500
    ) -> Followed:
        """Wait on events and answers at once.

        Raises:
            UnreadableEntryError: as `read`.
        """

    async def report(self, edge: str, report: Mapping[str, str]) -> None:
        """Replace the report of one edge."""

    async def reports(self) -> dict[str, dict[str, str]]:
        """The last report of every edge, by name."""

    async def set_status(self, status: Mapping[str, str], ttl_ms: int) -> None:
        """Say for people how the site fares at its allocator; forgotten after `ttl_ms`."""

    async def status(self) -> dict[str, str]:
        """What an allocator said of the site; empty where none did for a while."""

    async def settings_faults(self) -> list[str]:
        """Where the server's settings may lose what it acknowledges.

        One sentence per fault: what stands, what that risks, and the remedy. A server that hides
        its settings is believed.
        """

    async def now_ms(self) -> int:
        """The log's clock, Unix time in milliseconds."""

    async def reconnect(self) -> None:
        """Leave a source that is out of date; the next call asks elsewhere, where it can."""

    async def close(self) -> None:
        """Let go of connections; the log stays."""
