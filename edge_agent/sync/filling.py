"""Filling: empty tables take a snapshot's live bindings column by column.

A ledger of a million leases takes seconds and hundreds of megabytes; its columns take neither. The
events behind the snapshot are followed as always.
"""

import asyncio

import numpy as np

from edge_agent.sync.newcomers import are_strangers, put_strangers
from edge_agent.sync.projection import Projection
from edge_agent.sync.reconcile import put_one, settle_removals
from lease_core.domain.columns import Bindings
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
    while columns:
        _put(projection, columns.pop(0), ledger, now_boot_ns)
        await asyncio.sleep(0)
    return ledger, position


def _put(projection: Projection, bindings: Bindings, ledger: Ledger, now_boot_ns: int) -> None:
    """Newcomers together, whoever is left one by one."""
    are_new = np.flatnonzero(are_strangers(projection, bindings))
    written = put_strangers(projection, bindings[are_new], now_boot_ns)
    are_left = np.ones(len(bindings), np.bool_)
    are_left[are_new[:written]] = False
    for number in np.flatnonzero(are_left).tolist():
        put_one(projection, bindings.row(number), ledger, now_boot_ns)
