"""Verify: the log from its beginning, each snapshot, the allocator that decides and each edge must
tell one story (I3, I4).
"""

from dataclasses import dataclass, field

from lease_core.domain.columns import bindings_digest
from lease_core.domain.difference import first_difference
from lease_core.domain.events import Record
from lease_core.domain.ledger import Ledger
from lease_core.log.converters import read_int
from lease_core.log.errors import SnapshotError
from lease_core.log.port import Head, SiteLog
from lease_core.log.reader import Position
from lease_core.log.replay import fold, known_head
from lease_core.log.snapshot import is_of_log, load_snapshot, newest_snapshot, position_of
from lease_core.log.snapshot_port import SnapshotMeta

NO_BINDING = bindings_digest(())
OLD_DIGEST_DIGITS = 32
"""So long was an edge's digest before it was made of columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What somebody tells of the state after event `seq`, and what the log says.

    `told` is "" where nothing can be read, `expected` "" where the log does not go back so far.
    """

    who: str
    seq: int
    told: str
    expected: str

    @property
    def differs(self) -> bool:
        return bool(self.expected) and self.told != self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """`started` is the event after which the replay began, 0 = at the first one.

    `difference` tells where the replay and the newest snapshot with its tail part, "" if nowhere.
    `unconfirmed` is the newest snapshot, if it is right and no other process has said so.
    """

    site: str
    seq: int
    started: int
    digest: str
    compared: list[Compared]
    difference: str
    unconfirmed: SnapshotMeta | None

    @property
    def is_equal(self) -> bool:
        return not self.difference and not any(each.differs for each in self.compared)


@dataclass(slots=True)
class _Witness:
    """Notes digests while a ledger passes the events of interest."""

    snapshots: set[int]
    reports: set[int]
    states: dict[int, str] = field(default_factory=dict)
    bindings: dict[int, str] = field(default_factory=lambda: {0: NO_BINDING})

    def see(self, ledger: Ledger, _: Record | None = None) -> None:
        if ledger.seq in self.snapshots:
            self.states[ledger.seq] = ledger.digest()
        if ledger.seq in self.reports:
            self.bindings[ledger.seq] = bindings_digest(ledger.bound.values())


def told_by(report: dict[str, str]) -> tuple[int, str] | None:
    """Seq and digest that an edge or an allocator tells; None: none, or an older program's."""
    digest, _, applied = report.get("digest", "").partition("@")
    if len(digest) == OLD_DIGEST_DIGITS:
        return None
    try:
        return read_int(applied.encode()), digest
    except ValueError:
        return None


async def verify(log: SiteLog) -> Verification:
    """Replay as much as the log holds and compare; nothing is written.

    Raises:
        ForeignLogError, GapError, BrokenChainError, LedgerError: the log itself is not whole.
    """
    reports = {edge: told_by(report) for edge, report in (await log.reports()).items()}
    status = await log.status()
    if "by" in status:
        reports[f"allocator {status['by']}"] = told_by(status)
    head = await known_head(log)
    metas = [meta for meta in await log.snapshots() if await is_of_log(log, head, meta)]
    witness = _Witness({m.seq for m in metas}, {told[0] for told in reports.values() if told})
    ledger, start = await _earliest(log, head, metas)
    witness.see(ledger)
    await fold(log, ledger, start, until=head.seq, visit=witness.see)
    compared = [
        Compared(who=edge, seq=told[0], told=told[1], expected=witness.bindings.get(told[0], ""))
        for edge, told in reports.items()
        if told
    ]
    compared += [await _snapshot(log, meta, witness.states.get(meta.seq, "")) for meta in metas]
    restored, newest = await newest_snapshot(log, head) or (Ledger(), Position(head.genesis))
    await fold(log, restored, newest, until=head.seq)
    return Verification(
        site=log.site,
        seq=ledger.seq,
        started=start.seq,
        digest=ledger.digest(),
        compared=compared,
        difference=first_difference(ledger, restored),
        unconfirmed=_unconfirmed(ledger, metas, witness),
    )


async def _earliest(log: SiteLog, head: Head, metas: list[SnapshotMeta]) -> tuple[Ledger, Position]:
    """Where the log can be read from: its first event, else the oldest snapshot that is whole."""
    first = await log.read(Position(head.genesis).entry_id, 1)
    if not metas or (first and first[0].seq == 1):
        return Ledger(), Position(head.genesis)
    for meta in reversed(metas):
        try:
            return await load_snapshot(log, meta), position_of(meta)
        except SnapshotError:
            continue
    return Ledger(), Position(head.genesis)


async def _snapshot(log: SiteLog, meta: SnapshotMeta, expected: str) -> Compared:
    try:
        told = (await load_snapshot(log, meta)).digest()
    except SnapshotError:
        told = ""
    return Compared(who=f"snapshot {meta.seq}", seq=meta.seq, told=told, expected=expected)


def _unconfirmed(
    ledger: Ledger, metas: list[SnapshotMeta], witness: _Witness
) -> SnapshotMeta | None:
    mark = ledger.taken
    if mark is None or mark.verifier or witness.states.get(mark.covers) != mark.digest:
        return None
    return next((m for m in metas if (m.seq, m.digest) == (mark.covers, mark.digest)), None)
