"""How one site fares at its allocator: trouble is told once, and all of it stands beside the log.

What stands there is for people (`leasectl status`) and for nothing else; it goes when nobody says
it again.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence

import structlog

from lease_core.domain.columns import BindingsDigest
from lease_core.domain.ledger import Ledger
from lease_core.domain.state import Binding
from lease_core.log.port import LogError, SiteLog

audit = structlog.get_logger("allocator")

LEADS = "leads"
STATUS_S = 60.0
STATUS_TTL_MS = 180_000
DIGEST_S = 600.0
PORTION = 4096


class Condition:
    """Of one site, as `owner` knows it."""

    def __init__(self, log: SiteLog, owner: str) -> None:
        self.word = ""
        """`LEADS`, or the name of the trouble; "" = nothing to say."""
        self._reason = ""
        self._since_ms = 0
        self._log = log
        self._owner = owner
        self._said_at = -STATUS_S
        self._is_said = False
        self._digest = LiveDigest()
        self._audit = audit.bind(site=log.site, by=owner)

    def tell(self, trouble: str, reason: str) -> None:
        """Say what stands in the way, once until it is over."""
        if trouble != self.word:
            self._audit.critical(trouble, reason=reason)
        self.note(trouble, reason)

    def note(self, word: str, reason: str = "") -> None:
        if word != self.word:
            self.word, self._since_ms = word, time.time_ns() // 1_000_000
            self._is_said = False
        self._reason = reason

    async def say(self) -> None:
        """Write it beside the log, at once if it changed; what cannot be written is left."""
        now_s = time.monotonic()
        if self._is_said and now_s - self._said_at < STATUS_S:
            return
        self._is_said, self._said_at = True, now_s
        status = {
            "by": self._owner,
            "is": self.word,
            "reason": self._reason,
            "since_ms": str(self._since_ms),
            "digest": self._digest.text,
        }
        with contextlib.suppress(LogError):
            await self._log.set_status(status, STATUS_TTL_MS)

    @property
    def is_due(self) -> bool:
        """What the leader decides by gets a digest again."""
        return self._digest.is_due

    def see(self, ledger: Ledger) -> None:
        """Begin the digest if it is due; the log must hold all of it."""
        if self.is_due:
            self._digest.begin(ledger)

    def stop(self) -> None:
        self._digest.stop()


class LiveDigest:
    """The digest of live bindings `@` the event that it was taken after; "" before the first."""

    def __init__(self) -> None:
        self.text = ""
        self._due_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_due(self) -> bool:
        is_busy = self._task is not None and not self._task.done()
        return time.monotonic() >= self._due_at and not is_busy

    def begin(self, ledger: Ledger) -> None:
        self._due_at = time.monotonic() + DIGEST_S
        self._task = asyncio.create_task(self._take(list(ledger.bound.values()), ledger.seq))

    def stop(self) -> None:
        if self._task:
            self._task.cancel()
        self.text, self._due_at = "", 0.0

    async def _take(self, bindings: Sequence[Binding], seq: int) -> None:
        """Some milliseconds of work at a time."""
        digest = BindingsDigest()
        for at in range(0, len(bindings), PORTION):
            for binding in bindings[at : at + PORTION]:
                digest.add(binding)
            await asyncio.sleep(0)
        self.text = f"{digest.text()}@{seq}"
