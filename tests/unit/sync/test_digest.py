"""The digest that an edge tells of its tables is the ledger's (I4), whatever happened to them."""

import random

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import Projection
from edge_agent.sync.reconcile import reconcile
from edge_agent.sync.removals import TOMBSTONE, discriminator
from lease_core.domain.columns import bindings_digest
from lease_core.domain.events import Record
from tests.unit.sync.histories import (
    LINES,
    NOW_BOOT,
    ledger_of,
    open_tables,
    projection_of,
    random_events,
    records_of,
)
from tests.unit.sync.test_reconcile import MUTILATIONS

NOW_NS = 1 << 62
"""After every horizon: nothing is promised anew."""


def log_says(records: tuple[Record, ...]) -> str:
    bound = ledger_of(records).bound.values()
    return bindings_digest(b for b in bound if LINES.parse(b.line))


def tables_say(datapath: MemoryDatapath) -> str:
    """What a new process tells of the tables."""
    return projection_of(datapath).census.digest.text()


def test_digest_follows_every_event() -> None:
    """After each event of any history, applied once or twice, before and after a restart, the
    tables' digest is that of the ledger at that event."""
    for seed in range(15):
        records, datapath = records_of(random_events(seed, 60)), open_tables()
        projection = projection_of(datapath)
        for number, record in enumerate(records, 1):
            projection.apply(record, NOW_BOOT)
            if number % 3 == 0:
                projection.apply(record, NOW_BOOT)
            assert projection.census.digest.text() == log_says(records[:number]), (
                f"{seed}: {number}"
            )
        assert tables_say(datapath) == projection.census.digest.text()


def test_digest_of_mutilated_tables_differs_until_they_are_mended() -> None:
    """Whatever is wrong with a binding shows in the digest of the next process, and reconcile
    brings back the ledger's."""
    invisible = {"false tombstone", "slot outside", "no slot", "shared slot"}
    for kind in sorted(set(MUTILATIONS) - invisible):
        records, datapath = records_of(random_events(5, 60, size=10)), open_tables()
        projection_of(datapath, records)
        live = [e for e in datapath.entries() if discriminator(e[0]) < TOMBSTONE]
        MUTILATIONS[kind](random.Random(1), datapath, *live[0])
        projection = Projection(datapath, LINES, 64)
        if kind not in {"hole", "twice"}:
            assert projection.census.digest.text() != log_says(records), kind
        reconcile(projection, ledger_of(records), NOW_NS)

        assert projection.census.digest.text() == log_says(records) == tables_say(datapath), kind


def test_bindings_of_other_lines_are_missing() -> None:
    """What an edge cannot serve is not in its digest: the operator sees that it differs."""
    records = records_of(random_events(5, 60, size=10))
    projection = projection_of(open_tables(), records, Lines({"access1": 8}))
    bound = ledger_of(records).bound.values()

    assert projection.census.digest.text() == bindings_digest(
        b for b in bound if b.line == "access1"
    )
    assert projection.census.digest.text() != bindings_digest(bound)
