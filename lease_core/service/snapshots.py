"""Snapshots of a site in the background: the leader takes them, a standby verifies them.

Neither holds up deciding for longer than a chunk takes. A failure costs that snapshot only.
"""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Final

import structlog

from lease_core.domain.commands import ConfirmSnapshot
from lease_core.domain.desk import SECOND
from lease_core.domain.events import SnapshotTaken
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.speakers import speaker
from lease_core.log.port import LogError, SiteLog
from lease_core.log.reader import BrokenChainError, GapError, Position
from lease_core.log.replay import ledger_at
from lease_core.log.snapshot import write_snapshot
from lease_core.log.snapshot_port import SnapshotMeta

audit = structlog.get_logger("allocator")

_NO_SNAPSHOT = (LogError, GapError, BrokenChainError, LedgerError)


@dataclass(frozen=True, slots=True)
class SnapshotPolicy:
    """A snapshot is due after so many events, and not sooner than `pause_s` after the last."""

    events: int = 20_000
    pause_s: int = 600


DEFAULT_POLICY: Final = SnapshotPolicy()


class Taking:
    """Takes snapshots for one leader; `owner` names this life of its process."""

    def __init__(self, log: SiteLog, owner: str, policy: SnapshotPolicy) -> None:
        self._log = log
        self._owner = owner
        self._policy = policy
        self._due_ns = 0
        self._task: asyncio.Task[SnapshotMeta] | None = None
        self._audit = audit.bind(site=log.site, by=owner)

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def is_due(self, ledger: Ledger, now_ns: int) -> bool:
        covered = ledger.taken.covers if ledger.taken else 0
        is_old = ledger.seq - covered >= self._policy.events
        return is_old and now_ns >= self._due_ns and not self._task

    def begin(self, ledger: Ledger, position: Position, now_ns: int) -> None:
        """Begin a snapshot if one is due.

        `ledger` must be what the log holds up to `position`, and nothing more.
        """
        if self.is_due(ledger, now_ns):
            assert ledger.seq == position.seq, "a snapshot is of what the log holds (I2)"
            self._due_ns = now_ns + self._policy.pause_s * SECOND
            self._task = asyncio.create_task(self._write(ledger.copy(), position))

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None

    def finished(self) -> SnapshotTaken | None:
        """What to record once one is written."""
        if not self._task or not self._task.done():
            return None
        task, self._task = self._task, None
        try:
            meta = task.result()
        except LogError as error:
            self._audit.warning("snapshot.failed", reason=str(error))
            return None
        return SnapshotTaken(
            covers=meta.seq, digest=meta.digest, chunks=meta.chunks, taker=self._owner
        )

    async def _write(self, ledger: Ledger, position: Position) -> SnapshotMeta:
        """Write one; keep the one before it, and the one that the log may be cut at."""
        meta = await write_snapshot(self._log, ledger, position)
        kept = {mark.covers for mark in (ledger.taken, ledger.verified) if mark}
        await self._log.drop_snapshots(meta.seq, kept)
        return meta


class Verifying:
    """Comes to the digest of each snapshot by replay, in another process than took it."""

    def __init__(self, log: SiteLog, owner: str) -> None:
        self._log = log
        self._owner = owner
        self._looked_at = 0
        self._task: asyncio.Task[None] | None = None
        self._audit = audit.bind(site=log.site, by=owner)

    def step(self, ledger: Ledger) -> None:
        """Begin to verify the newest snapshot that the log tells of, once."""
        mark = ledger.taken
        is_open = mark is not None and not mark.verifier and mark.taker != self._owner
        if mark is None or not is_open or mark.covers <= self._looked_at:
            return
        if self._task is None or self._task.done():
            self._looked_at = mark.covers
            self._task = asyncio.create_task(self._verify(mark.covers, mark.digest))

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None

    async def _verify(self, covers: int, digest: str) -> None:
        try:
            found = (await ledger_at(self._log, covers, below=covers)).digest()
            if found == digest:
                command = ConfirmSnapshot(
                    req=f"verify-{secrets.token_hex(4)}",
                    covers=covers,
                    digest=digest,
                    verifier=self._owner,
                )
                await self._log.send(command, speaker(self._owner))
            else:
                self._audit.critical("snapshot.differs", covers=covers, told=digest, found=found)
        except _NO_SNAPSHOT as error:
            self._audit.warning("snapshot.unverified", covers=covers, reason=str(error))
