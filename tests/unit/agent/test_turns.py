"""The order in which an edge does things, so that dying between any two of them harms nobody."""

import pytest

from edge_agent.agent.duties import Duties
from edge_agent.agent.slow_path import Now
from edge_agent.dhcp.tables import Assignment, Line
from lease_core.domain.commands import Command, ReportExpiry
from tests.unit.agent.town import SECOND, Town, mac_of


class Died(Exception):
    """The agent was killed here."""


async def test_the_cursor_moves_behind_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: an agent that dies before an event is in the tables applies it after its restart."""
    town = await Town().begin()
    before = town.edge.record.position()
    monkeypatch.setattr(town.edge.projection, "apply", _die)
    with pytest.raises(Died):
        await town.lease(1)
    monkeypatch.undo()
    town.restart_edge()

    assert town.edge.record.position() == before
    assert await town.follow()
    assert town.edge.projection.find(mac_of(1), Line(7))


def _die(*_: object) -> None:
    raise Died


async def test_a_binding_without_a_promise_may_have_one_of_a_former_life() -> None:
    """I1, I7: it is reported as over a whole lease time after the start on a clock that was slewed
    ahead, not before."""
    town = await Town().begin()
    ip = await town.lease(1)
    key, found = town.edge.projection.find(mac_of(1), Line(7)) or pytest.fail("not bound")
    moved = Assignment(ip, found.pool_id, 60, found.line, found.seq, mac=found.mac)
    town.datapath.put(key, moved)
    told: list[Command] = []
    started = town.now
    duties = Duties(town.edge.projection, lambda each: bool(told.append(each)) or True, started)

    def ends_told(after_s: int) -> int:
        duties.report_expiries(Now(started.boot_ns + after_s * SECOND, town.ns + after_s * SECOND))
        return sum(isinstance(each, ReportExpiry) for each in told)

    assert town.datapath.promise(60) == 0
    assert ends_told(3600 + 327) == 0
    assert ends_told(3600 + 328) == 1
