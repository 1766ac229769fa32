"""The leadership of one site, as one process claims it, renews it and gives it up.

The append script is what makes two allocators safe; the leadership only saves their work.
"""

from typing import Any

from lease_core.log.port import Claimed, FencedError, HeldBy, SiteLog
from lease_core.service.renewal import Renewal

LEADERSHIP_MS = 1800
RENEW_S = 0.6
SHARED_LEADERSHIP_MS = 180_000
SHARED_RENEW_S = 60.0
"""Who shares sites is known to live by other means; see `Leadership.living`."""


class Leadership:
    """`owner` claims the leadership of the log `genesis`."""

    def __init__(self, log: SiteLog, genesis: str, owner: str, audit: Any) -> None:
        self.is_held = False
        """By us, as far as we know."""
        self.living: frozenset[str] | None = None
        """All who share the sites. Whoever leads without being among them is dead, however long
        its leadership lasts. None = sites are not shared."""
        self._log = log
        self._genesis = genesis
        self._owner = owner
        self._audit = audit
        self._renewal = Renewal(RENEW_S)

    async def claim(self, above: int = 0) -> Claimed | HeldBy:
        """Take it or renew it; a newly begun epoch is newer than `above`."""
        ttl_ms = LEADERSHIP_MS if self.living is None else SHARED_LEADERSHIP_MS
        claim = await self._log.claim(self._owner, ttl_ms, self._genesis, above)
        living = self.living
        if isinstance(claim, HeldBy) and living is not None and claim.owner not in living:
            dead = claim.owner
            claim = await self._log.claim(self._owner, ttl_ms, self._genesis, above, dead)
        self.is_held = isinstance(claim, Claimed)
        if self.is_held:
            self._renewal.done(RENEW_S if self.living is None else SHARED_RENEW_S)
        return claim

    async def renew(self, epoch: int) -> None:
        """Renew what was claimed with `epoch`.

        Raises:
            FencedError: another leads, or did.
        """
        claim = await self.claim()
        if not isinstance(claim, Claimed) or claim.epoch != epoch:
            raise FencedError(claim.epoch if isinstance(claim, Claimed) else epoch + 1)

    @property
    def renew_in_s(self) -> float:
        """Seconds until it has to be renewed; not above 0 = now."""
        return self._renewal.in_s

    def doubt(self) -> None:
        """Others may have taken us for dead: it has to be renewed now."""
        self._renewal.doubt()

    async def let_go(self) -> None:
        """Let another take over at once instead of after the time to live."""
        await self._log.claim(self._owner, 1, self._genesis)
        self.is_held = False
        self._audit.info("leadership.given-up")
