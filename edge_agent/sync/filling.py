"""Filling: empty tables take a snapshot's live bindings column by column.

A ledger of a million leases takes seconds and hundreds of megabytes; its columns take neither. The
events behind the snapshot are followed as always.
"""

import asyncio

from edge_agent.sync.projection import Projection
from edge_agent.sync.reconcile import put_all, remember_former, settle_removals
from lease_core.domain.ledger import Ledger
from lease_core.log.port import SiteLog
from lease_core.log.reader import Position
from lease_core.log.replay import known_head
from lease_core.log.snapshot import newest_columns


async def fill(
    projection: Projection, log: SiteLog, genesis: str, now_boot_ns: int
) -> tuple[Ledger, Position] | None:
    """Bring empty tables to the state of the newest snapshot, which is checked before.

    Returns:
        The state without its live bindings, and where it is of; None = there is no such snapshot.

    Raises:
        ForeignLogError: there is no such log, or not of that genesis.
    """
    found = await newest_columns(log, await known_head(log, genesis))
    if found is None:
        return None
    ledger, columns, position = found
    for pool in ledger.pools.values():
        projection.pools.put(pool)
    settle_removals(projection, ledger, now_boot_ns)
    remember_former(projection, ledger)
    while columns:
        put_all(projection, columns.pop(0), ledger, now_boot_ns)
        await asyncio.sleep(0)
    return ledger, position
