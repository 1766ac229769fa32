"""The moves that contract tests have in common."""

from collections.abc import Sequence
from typing import Any

from lease_core.domain.events import Event, LeaseAssigned
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.port import Batch, Claimed, Head, SiteLog
from lease_core.log.writer import build, commit

GENESIS = "0123abcd"
OWNER = "allocator-1"
LONG_MS = 60_000


def lease(number: int, cause: str = "selecting") -> LeaseAssigned:
    return LeaseAssigned(
        mac=Mac(0x02_00_00_00_00_00 + number),
        ip=Ipv4(0x64_40_00_00 + number),
        pool="res-1",
        line="access0",
        cause=cause,
        req=f"bng1-{number}",
    )


async def begun(log: SiteLog, owner: str = OWNER) -> Head:
    """Create the log, lead it, and return its head."""
    await log.create(GENESIS)
    claimed = await log.claim(owner, LONG_MS, GENESIS)
    assert isinstance(claimed, Claimed)
    return await known_head(log)


async def known_head(log: SiteLog) -> Head:
    head = await log.head()
    assert head is not None
    return head


async def batch_of(
    log: SiteLog, head: Head, events: Sequence[Event], batch_id: str, **more: Any
) -> Batch:
    """A batch that the log should take now."""
    last_ms = int(head.last_id.partition("-")[0])
    settings: dict[str, Any] = {
        "by": OWNER,
        "epoch": head.epoch,
        "commit_ms": max(await log.now_ms(), last_ms),
        "batch_id": batch_id,
    }
    return build(head, events, **(settings | more))


async def written(
    log: SiteLog, head: Head, events: Sequence[Event], batch_id: str, **more: Any
) -> Batch:
    """Append and return the batch as it stands in the log."""
    batch, _ = await commit(log, await batch_of(log, head, events, batch_id, **more))
    return batch
