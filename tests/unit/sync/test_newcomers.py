"""Newcomers: events applied many at a time leave the tables as one by one."""

import random
from collections.abc import Sequence

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.sync.projection import Projection
from lease_core.domain.columns import bindings_digest
from lease_core.domain.commands import RevokeLease
from lease_core.domain.events import LeaseAssigned, Record
from lease_core.log import runs
from lease_core.log.runs import Run, parts_of
from tests.site import Site
from tests.unit.sync.histories import (
    NOW_BOOT,
    expected,
    ledger_of,
    open_tables,
    projection_of,
    random_events,
    read_of,
    records_of,
    view,
)


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories at random have few long ones."""
    monkeypatch.setattr(runs, "SHORTEST", 1)


def apply_all(projection: Projection, records: Sequence[Record]) -> list[int]:
    """Apply records as the agent does; return how many went at a time."""
    sizes = []
    for part in parts_of(records):
        if isinstance(part, Run) and part.kind is LeaseAssigned:
            sizes += projection.apply_run(part, NOW_BOOT)
        else:
            for record in part:
                projection.apply(record, NOW_BOOT)
                sizes.append(1)
    assert sum(sizes) == len(records)
    return sizes


def leases(count: int) -> Sequence[Record]:
    site = Site(size=count)
    for mac in range(1, count + 1):
        ip = site.offer(mac, "access0")
        assert ip
        site.request(mac, ip, "access0")
    return read_of(site.log)


def promises(datapath: MemoryDatapath) -> dict[int, int]:
    return {found.ip: datapath.promise(found.slot) for _, found in datapath.entries()}


@pytest.mark.parametrize("seed", range(30))
def test_many_at_a_time_are_as_one_by_one(seed: int) -> None:
    """Bindings, tombstones, promises and digest after any history are those of single steps."""
    chance = random.Random(seed)
    records = read_of(random_events(seed, 120, size=20, macs=chance.randint(3, 40)))
    one, many = open_tables(), open_tables()
    projection_of(one, records)
    projection = projection_of(many)
    apply_all(projection, records)

    assert view(many) == view(one) == expected(ledger_of(records))
    assert promises(many) == promises(one)
    assert projection.census.digest.text() == bindings_digest(ledger_of(records).bound.values())


def test_newcomers_go_together() -> None:
    """Leases of strangers are one write, and promised as if answered."""
    records, datapath = leases(20), open_tables()
    sizes = apply_all(projection_of(datapath), records)

    assert max(sizes) == 20
    assert all(promises(datapath).values())


def test_whoever_finds_no_room_is_counted() -> None:
    """A table that fills in the middle of a run keeps those before, and counts the others."""
    records, datapath = leases(20), open_tables(8)
    projection = projection_of(datapath, size=8)
    apply_all(projection, records)

    assert len(view(datapath).bindings) == 8
    assert projection.unserved == 12


def test_applied_again_changes_nothing() -> None:
    """After a crash the same run is applied again, by another process too (I4)."""
    records, datapath = leases(20), open_tables()
    apply_all(projection_of(datapath), records)
    before = view(datapath)
    apply_all(projection_of(datapath), records)

    assert view(datapath) == before


def test_who_comes_back_after_a_restart_is_no_stranger() -> None:
    """A removal that a former process left is settled when its holder gets the address again."""
    site, datapath = Site(size=4), open_tables()
    ip = site.offer(1, "access0")
    assert ip
    site.request(1, ip, "access0")
    site.do(RevokeLease(req="x", ip=ip, cause="operator"))
    before = records_of(site.log)
    projection_of(datapath, before)
    site.request(1, ip, "access0", kind="init-reboot")
    records = read_of(site.log)
    *_, last = parts_of(records)
    apply_all(projection_of(datapath), last)

    assert len(last) == 1
    assert len(records) == len(before) + 1
    assert view(datapath) == expected(ledger_of(records))
