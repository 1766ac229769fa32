"""Drift: every difference between tables and log is shown, and nothing else."""

import random

from edge_agent.sync.drift import NOTHING, drift_of
from edge_agent.sync.lines import Lines
from edge_agent.sync.reconcile import reconcile
from edge_agent.sync.removals import TOMBSTONE, discriminator
from lease_core.domain.commands import RevokeLease
from lease_core.domain.values import Mac
from tests.site import Site
from tests.unit.sync.histories import (
    LINES,
    ledger_of,
    open_tables,
    projection_of,
    random_events,
    records_of,
)
from tests.unit.sync.test_reconcile import MUTILATIONS

NOW_NS = 1 << 62
"""After every horizon: nothing is promised anew."""

UNSEEN = {"hole", "slot outside", "no slot", "shared slot"}
"""Faults of how an entry stands, not of what it says."""


def test_tables_that_followed_show_no_drift() -> None:
    """After any history the tables say what the log says, removals that are owed included."""
    for seed in range(20):
        records, datapath = records_of(random_events(seed, 60)), open_tables()
        projection_of(datapath, records)

        assert drift_of(datapath, LINES, ledger_of(records)) == []


def test_every_wrong_entry_is_shown_until_it_is_mended() -> None:
    """Whatever is wrong with what an entry says is shown; after reconcile nothing is."""
    for kind in sorted(set(MUTILATIONS) - UNSEEN):
        records, datapath = records_of(random_events(5, 60, size=10)), open_tables()
        projection_of(datapath, records)
        live = [e for e in datapath.entries() if discriminator(e[0]) < TOMBSTONE]
        MUTILATIONS[kind](random.Random(1), datapath, *live[0])
        ledger = ledger_of(records)
        assert drift_of(datapath, LINES, ledger), kind
        reconcile(projection_of(datapath), ledger, NOW_NS)

        assert drift_of(datapath, LINES, ledger) == [], kind


def test_what_stands_on_both_sides_is_told() -> None:
    """A subscriber that only the log knows, one that only the tables know, and an end that was
    missed are told in words."""
    site = Site()
    first, second = site.lease(1), site.lease(2)
    datapath = open_tables()
    projection = projection_of(datapath, records_of(site.log))
    found = projection.find(Mac(2), LINES.parse("access0"))  # type: ignore[arg-type]
    assert found
    datapath.remove(found[0])
    site.do(RevokeLease(req="x", ip=first, cause="operator"))
    told = {(d.mac, d.line): (d.tables, d.log) for d in drift_of(datapath, LINES, site.ledger)}

    assert told == {
        (Mac(1), "access0"): ("bound in res-1 by event 3", NOTHING),
        (Mac(1), ""): (NOTHING, f"removed by event {site.ledger.seq}"),
        (Mac(2), "access0"): (NOTHING, "bound in res-1 by event 4"),
    }
    assert second in site.ledger.bound


def test_lines_of_others_are_no_drift() -> None:
    """A binding on an interface that this router does not have is not missing here."""
    site = Site()
    site.lease(1, "access9")

    assert drift_of(open_tables(), Lines({"access0": 7}), site.ledger) == []
