"""Empty tables that take a snapshot's columns say what the log says."""

from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.sync.filling import fill
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import Projection
from edge_agent.sync.reconcile import reconcile
from lease_core.domain.columns import bindings_digest
from lease_core.domain.ledger import Ledger
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import SiteLog
from lease_core.log.reader import Position
from lease_core.log.snapshot import write_snapshot
from tests.unit.sync.histories import (
    LINES,
    NOW_BOOT,
    expected,
    ledger_of,
    open_tables,
    projection_of,
    random_events,
    records_of,
    view,
)


async def log_of(ledger: Ledger) -> SiteLog:
    """A log that was cut right behind its snapshot."""
    server = MemoryServer()
    log = MemoryLog("ams01", server)
    genesis = await log.create("ab" * 16)
    head = server.site("ams01").head
    assert head
    h = "cd" * 8
    end = Position(genesis, ledger.seq, h, 5, ledger.epoch)
    server.site("ams01").head = replace(head, seq=ledger.seq, h=h, epoch=ledger.epoch)
    await write_snapshot(log, ledger, end)
    return log


def told(datapath: MemoryDatapath) -> dict[tuple[int, int], int]:
    """P by event and address, of bindings and of tombstones."""
    return {(each.seq, each.ip): datapath.promise(each.slot) for _, each in datapath.entries()}


@pytest.mark.parametrize("seed", range(20))
async def test_a_filled_table_is_a_reconciled_one(seed: int) -> None:
    """Bindings, several lines of a MAC, tombstones of what is owed or rests, promises and digest
    are those of `reconcile`, whatever the history (I4)."""
    ledger = ledger_of(records_of(random_events(seed, 120, size=20)))
    filled, reconciled = open_tables(), open_tables()
    projection = projection_of(filled)
    assert projection.is_empty
    found = await fill(projection, await log_of(ledger), "ab" * 16, NOW_BOOT)
    reconcile(projection_of(reconciled), ledger, NOW_BOOT)

    assert found
    assert found[1].seq == ledger.seq
    assert view(filled) == view(reconciled) == expected(ledger)
    assert told(filled) == told(reconciled)
    is_ours = (b for b in ledger.bound.values() if LINES.parse(b.line))
    assert projection.census.digest.text() == bindings_digest(is_ours)


async def test_lines_of_others_and_those_without_room_are_remembered() -> None:
    """What has no place in the tables leaves a tombstone, as everywhere (I10)."""
    ledger = ledger_of(records_of(random_events(5, 120, size=20)))
    views = []
    for lines, size in ((Lines({"access1": 8}), 64), (LINES, 4)):
        filled, reconciled = open_tables(size), open_tables(size)
        projections = [Projection(each, lines, size) for each in (filled, reconciled)]
        await fill(projections[0], await log_of(ledger), "", NOW_BOOT)
        reconcile(projections[1], ledger, NOW_BOOT)
        views.append((len(list(filled.entries())), len(list(reconciled.entries()))))

    assert views[0][0] == views[0][1]
    assert views[1] == (4, 4)


async def test_a_log_without_columns_is_not_filled_from() -> None:
    """Without a snapshot that says the digest of its octets there is nothing to take."""
    log = MemoryLog("ams01", MemoryServer())
    await log.create("ab" * 16)

    assert await fill(projection_of(open_tables()), log, "ab" * 16, NOW_BOOT) is None
