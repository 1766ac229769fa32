"""Snapshots without Redis: the same contract, the same refusals."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from lease_core.log.errors import ForeignLogError, TrimRefusedError
from lease_core.log.hashes import forms_of
from lease_core.log.layout import by_name
from lease_core.log.memory_store import MemoryServer, Site, StoredSnapshot
from lease_core.log.snapshot_port import (
    LOST_THE_LOG,
    MAX_CHUNK_OCTETS,
    Archived,
    Cut,
    SnapshotMeta,
)
from lease_core.log.wire import parse_id


class MemorySnapshots:
    """`SnapshotStore` over what a `MemoryServer` keeps of one site."""

    def __init__(self, server: MemoryServer, site: str) -> None:
        self._server = server
        self._site_name = site

    @property
    def _site(self) -> Site:
        return self._server.site(self._site_name)

    async def begin_snapshot(self, seq: int) -> None:
        self._site.snapshots[seq] = StoredSnapshot()

    async def put_chunk(self, seq: int, number: int, octets: bytes) -> None:
        self._site.snapshots.setdefault(seq, StoredSnapshot()).chunks[number] = octets

    async def publish_snapshot(self, meta: SnapshotMeta) -> None:
        self._site.snapshots.setdefault(meta.seq, StoredSnapshot()).meta = meta

    async def snapshots(self) -> list[SnapshotMeta]:
        stored = sorted(self._site.snapshots.items(), reverse=True, key=lambda item: item[0])
        return [snapshot.meta for _, snapshot in stored if snapshot.meta]

    async def chunk(self, seq: int, number: int) -> bytes | None:
        octets = self._site.snapshots.get(seq, StoredSnapshot()).chunks.get(number)
        return octets if octets is None or len(octets) <= MAX_CHUNK_OCTETS else None

    async def drop_snapshots(self, below: int, but: Collection[int]) -> None:
        snapshots = self._site.snapshots
        for seq in [seq for seq in snapshots if seq < below and seq not in but]:
            del snapshots[seq]

    async def set_archived(self, archived: Archived) -> None:
        self._site.archived = archived

    async def archived(self) -> Archived | None:
        return self._site.archived

    async def trim(self, cut: Cut, lost: Collection[str] = (), *, dry_run: bool = False) -> int:
        site = self._site
        if site.head is None:
            raise ForeignLogError("there is no log")
        if site.head.genesis != cut.genesis:
            raise ForeignLogError(f"it has genesis {site.head.genesis}")
        if reasons := list(_Refusals(site, cut, lost)):
            raise TrimRefusedError(reasons)
        below = sum(entry_id < (cut.commit_ms, cut.seq) for entry_id in site.events.ids)
        if not dry_run:
            site.events.drop(below)
        return below


@dataclass(frozen=True, slots=True)
class _Refusals:
    """What trim.lua refuses, in its order and words."""

    site: Site
    cut: Cut
    lost: Collection[str]

    def __iter__(self) -> Iterator[str]:
        yield from self._snapshot()
        yield from self._archive()
        for name, report in sorted(self.site.reports.items()):
            if name not in self.lost:
                yield from self._edge(name, report)

    def _entry(self, entry_id: str, kind: bytes | None = None) -> dict[bytes, bytes]:
        events = self.site.events
        wanted = parse_id(entry_id.encode()) if entry_id else None
        entries = zip(events.ids, events.entries, strict=True)
        found = next((by_name(entry) for at, entry in entries if at == wanted), {})
        return found if kind in (None, found.get(b"type")) else {}

    def _snapshot(self) -> Iterator[str]:
        cut, at = self.cut, f"at event {self.cut.seq}"
        own_h = self._entry(cut.entry_id).get(b"h", b"").decode()
        stored = self.site.snapshots.get(cut.seq)
        meta = stored.meta if stored else None
        if not own_h:
            yield f"event {cut.seq} is not in the log"
        if stored is None or meta is None:
            yield f"there is no snapshot {at}"
        else:
            own = (cut.genesis, cut.seq, cut.h)
            if (meta.genesis, meta.seq, meta.h) != own or own_h not in forms_of(cut.h):
                yield f"the snapshot {at} is not of this log"
            if not all(number in stored.chunks for number in range(meta.chunks)):
                yield f"the snapshot {at} has lost a chunk"
        taken = self._entry(cut.taken_id, b"SnapshotTaken")
        verified = self._entry(cut.verified_id, b"SnapshotVerified")
        covers, digest = str(cut.seq).encode(), (meta.digest if meta else "").encode()
        if (taken.get(b"covers"), taken.get(b"digest")) != (covers, digest):
            yield "the log does not tell of that snapshot"
        if (verified.get(b"covers"), verified.get(b"digest")) != (
            covers,
            taken.get(b"digest"),
        ) or verified.get(b"verifier") == taken.get(b"taker"):
            yield "no other process has verified the snapshot; run: leasectl verify"

    def _archive(self) -> Iterator[str]:
        archived = self.site.archived
        seq = archived.seq if archived and archived.genesis == self.cut.genesis else 0
        if seq < self.cut.seq:
            yield f"the history is archived up to event {seq} only; run: leasectl archive"

    def _edge(self, name: str, report: dict[str, str]) -> Iterator[str]:
        applied = report.get("applied", "0")
        if report.get("following") in LOST_THE_LOG:
            yield f"edge {name} follows another log: it is {report['following']}"
        elif not applied.isdigit() or int(applied) < self.cut.seq:
            yield f"edge {name} has applied events up to {applied} only"
