"""A digest that follows events alone would hide what somebody else did to the tables (I4)."""

import pytest
from structlog.testing import capture_logs

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.sync.projection import Projection
from edge_agent.sync.recount import RECOUNT_NS, Recount
from edge_agent.sync.removals import TOMBSTONE, discriminator
from lease_core.domain.columns import bindings_digest
from tests.unit.sync.histories import (
    LINES,
    ledger_of,
    open_tables,
    projection_of,
    random_events,
    records_of,
)

RECORDS = records_of(random_events(5, 60, size=10))


@pytest.fixture
def tables() -> MemoryDatapath:
    return open_tables()


@pytest.fixture
def projection(tables: MemoryDatapath) -> Projection:
    return projection_of(tables, RECORDS)


def sweep(recount: Recount, tables: MemoryDatapath, now_ns: int) -> None:
    recount.begin(now_ns)
    for keys, rows in tables.rows():
        recount.see(keys, rows)
    recount.end(now_ns)


def log_says() -> str:
    bound = ledger_of(RECORDS).bound.values()
    return bindings_digest(b for b in bound if LINES.parse(b.line))


def test_a_deleted_entry_shows_in_the_digest(
    tables: MemoryDatapath, projection: Projection
) -> None:
    """The next sweep that is due counts what is there, and says so once."""
    recount = Recount(projection)
    sweep(recount, tables, 0)
    assert projection.census.digest.text() == log_says()
    key = next(key for key, _ in tables.entries() if discriminator(key) < TOMBSTONE)
    tables.remove(key)
    with capture_logs() as lines:
        sweep(recount, tables, RECOUNT_NS - 1)
        assert projection.census.digest.text() == log_says()
        sweep(recount, tables, RECOUNT_NS)
        sweep(recount, tables, 2 * RECOUNT_NS)

    assert (
        projection.census.digest.text() == projection_of(tables).census.digest.text() != log_says()
    )
    assert [(line["event"], line["log_level"]) for line in lines] == [("table.changed", "critical")]


def test_a_sweep_that_events_fell_into_counts_nothing(
    tables: MemoryDatapath, projection: Projection
) -> None:
    """Entries that come and go by the log while they are counted are no difference."""
    recount = Recount(projection)
    recount.begin(0)
    keys, rows = next(tables.rows())
    recount.see(keys[:2], rows[:2])
    state = tables.state()
    tables.set_state(type(state)(cursor_lo=state.cursor_lo + 1, cursor_hi=state.cursor_hi + 1))
    with capture_logs() as lines:
        recount.end(0)

    assert lines == []
    assert projection.census.digest.text() == log_says()
