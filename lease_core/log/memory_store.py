"""What the in-memory log keeps, shared by all clients of one `MemoryServer`."""

import asyncio
import bisect
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lease_core.log.errors import LogUnavailableError
from lease_core.log.layout import Flat
from lease_core.log.port import MAX_COUNT, Head
from lease_core.log.snapshot_port import Archived, SnapshotMeta
from lease_core.log.wire import parse_id

Id = tuple[int, int]


def id_text(entry_id: Id) -> str:
    return f"{entry_id[0]}-{entry_id[1]}"


@dataclass(slots=True)
class Stream:
    """Entries in order of their ids; `last` is never given twice, even after trimming."""

    ids: list[Id] = field(default_factory=list)
    entries: list[Flat] = field(default_factory=list)
    last: Id = (0, 0)

    def add(self, entry_id: Id, entry: Flat) -> str:
        self.ids.append(entry_id)
        self.entries.append(list(entry))
        self.last = entry_id
        return id_text(entry_id)

    def add_now(self, now_ms: int, entry: Flat) -> str:
        """Add under an id of the stream's own choice, as `XADD *` does."""
        ms, number = self.last
        return self.add((now_ms, 0) if now_ms > ms else (ms, number + 1), entry)

    def remove(self, which: Container[Id]) -> None:
        """Lose entries, and that there were ids behind those that are left."""
        left = [pair for pair in zip(self.ids, self.entries, strict=True) if pair[0] not in which]
        self.ids, self.entries = [at for at, _ in left], [entry for _, entry in left]
        self.last = self.ids[-1] if self.ids else (0, 0)

    def drop(self, count: int) -> None:
        """Forget the oldest `count` entries."""
        if count > 0:
            del self.ids[:count], self.entries[:count]

    def drop_below(self, entry_id: Id) -> None:
        self.drop(bisect.bisect_left(self.ids, entry_id))

    def after(self, after_id: str, count: int) -> list[tuple[bytes, Flat]]:
        start = bisect.bisect_right(self.ids, parse_id(after_id.encode()))
        stop = start + min(count, MAX_COUNT)
        pairs = zip(self.ids[start:stop], self.entries[start:stop], strict=True)
        return [(id_text(entry_id).encode(), list(entry)) for entry_id, entry in pairs]


@dataclass(slots=True)
class StoredSnapshot:
    """A snapshot; without `meta` it is half written."""

    chunks: dict[int, bytes] = field(default_factory=dict)
    meta: SnapshotMeta | None = None


@dataclass(slots=True)
class Site:
    """Everything that Redis would keep of one site."""

    head: Head | None = None
    leader: tuple[str, int] | None = None
    server: int = 0
    """Who keeps it: another number after each restart and promotion."""
    led_on: int = -1
    """The server that the epoch began on."""
    events: Stream = field(default_factory=Stream)
    commands: Stream = field(default_factory=Stream)
    fleeting: set[Id] = field(default_factory=set)
    """Entries with commands that only this life of the server knows."""
    answers: Stream = field(default_factory=Stream)
    reports: dict[str, dict[str, str]] = field(default_factory=dict)
    snapshots: dict[int, StoredSnapshot] = field(default_factory=dict)
    archived: Archived | None = None
    status: tuple[dict[str, str], int] = field(default_factory=lambda: ({}, 0))
    waiting: set[asyncio.Future[None]] = field(default_factory=set)

    @property
    def is_led_here(self) -> bool:
        """Whether the epoch began on the server that keeps it now."""
        return self.led_on == self.server

    def queue(self, now_ms: int, entry: Flat, *, is_fleeting: bool) -> str:
        """Add an entry with commands where an allocator will read it: behind the cursor."""
        cursor = parse_id(self.head.cursor.encode()) if self.head else (0, 0)
        self.commands.last = max(self.commands.last, cursor)
        entry_id = self.commands.add_now(now_ms, entry)
        if is_fleeting:
            self.fleeting.add(self.commands.last)
        return entry_id

    def forget_fleeting(self) -> None:
        """What another life of the server does not know, nor a replica."""
        self.commands.remove(self.fleeting)
        self.fleeting.clear()

    def drop_commands_below(self, cursor: Id) -> None:
        self.commands.drop_below(cursor)
        self.fleeting = {entry_id for entry_id in self.fleeting if entry_id >= cursor}

    @contextmanager
    def waiter(self) -> Iterator[asyncio.Future[None]]:
        """A future that the next `wake` resolves."""
        waiter = asyncio.get_running_loop().create_future()
        self.waiting.add(waiter)
        try:
            yield waiter
        finally:
            self.waiting.discard(waiter)

    def wake(self) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class MemoryServer:
    """What clients of one name see together. `is_down` makes every call fail, as an outage."""

    now_ms: Callable[[], int] = _unix_ms
    is_down: bool = False
    sites: dict[str, Site] = field(default_factory=dict)

    def site(self, name: str) -> Site:
        """What is kept of a site. Raises LogUnavailableError during an outage."""
        if self.is_down:
            raise LogUnavailableError("the memory server is down")
        if name not in self.sites:
            self.sites[name] = Site()
        return self.sites[name]
