"""Audit lines: everything decided, appended, applied and answered, with enough to find it again."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from edge_agent.agent.answering import ANSWERS_A_SECOND
from lease_core import audit
from lease_core.audit import SINK, Quota, event_name, fields_of, tell_events
from lease_core.domain.events import EpochStarted, LeaseAssigned
from lease_core.domain.values import Mac
from tests.site import pool_added
from tests.unit.agent.town import (
    FIRST,
    SECOND,
    Town,
    discover,
    mac_of,
    release,
    renewing,
    selecting,
)


def read(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class TestLines:
    async def test_a_lease_can_be_followed_through_every_stage(self, lines: io.StringIO) -> None:
        """Decided, applied and answered lines of one lease name site, line, MAC, address, cause;
        from the log on also the event."""
        town = await Town().begin()
        await town.lease(1)
        [record] = [r for r in await town.records() if isinstance(r.event, LeaseAssigned)]
        found = {
            line["stage"]: line
            for line in read(lines)
            if line.get("stage") in {"decided", "applied", "answered"}
            and line.get("mac") == "02:00:00:00:00:01"
            and line["event"] in {"lease.assigned", "client.answered"}
        }

        assert set(found) == {"decided", "applied", "answered"}
        for line in found.values():
            assert line["site"] == "ams01"
            assert line["ip"] == "100.64.0.2"
            assert line["line"] == "access0"
            assert line["cause"] == "selecting"
        assert found["applied"]["event_id"] == record.entry_id
        assert found["answered"]["event_id"] == record.entry_id

    async def test_every_event_is_told_once_when_applied(self, lines: io.StringIO) -> None:
        """One `applied` line for each event of the log, in order."""
        town = await Town().begin()
        ip = await town.lease(1)
        await town.send(release(1, ip))
        await town.wait(120)
        applied = [line["event_id"] for line in read(lines) if line.get("stage") == "applied"]

        assert applied == [record.entry_id for record in await town.records()]

    async def test_every_answer_is_told(self, lines: io.StringIO) -> None:
        """One `answered` line for each frame that leaves, with what was said and why."""
        town = await Town().begin()
        ip = await town.lease(1)
        await town.send(renewing(1, ip))
        await town.send(selecting(2, ip))
        told = [
            (line["message"], line["cause"], line["mac"])
            for line in read(lines)
            if line["event"] == "client.answered"
        ]

        assert told == [
            ("offer", "reserved", "02:00:00:00:00:01"),
            ("ack", "selecting", "02:00:00:00:00:01"),
            ("ack", "table", "02:00:00:00:00:01"),
            ("nak", "in-use", "02:00:00:00:00:02"),
        ]

    async def test_answers_are_told_so_many_a_second(self, lines: io.StringIO) -> None:
        """I12: of one kind; each is counted, and the next second tells again."""
        town = await Town().begin()
        ip = await town.lease(1)
        acks = town.edge.slow_path.tally["ack"]
        town.ns += SECOND
        before = len(read(lines))
        for _ in range(ANSWERS_A_SECOND + 3):
            await town.send(renewing(1, ip))

        assert len(read(lines)) - before == ANSWERS_A_SECOND
        assert town.edge.slow_path.tally["ack"] - acks == ANSWERS_A_SECOND + 3

        town.ns += SECOND
        await town.send(renewing(1, ip))
        assert len(read(lines)) - before == ANSWERS_A_SECOND + 1

    async def test_refusals_are_told_with_their_reason_and_bounded(
        self, lines: io.StringIO
    ) -> None:
        """F7, I12: a full pool is said a bounded number of times a minute, and counted always."""
        town = await Town(size=1).begin()
        await town.lease(1)
        for number in range(2, 502):
            await town.send(discover(number))
        refused = [line for line in read(lines) if line["event"] == "command.refused"]

        assert {line["reason"] for line in refused} == {"pool-full"}
        assert len(refused) == 60
        assert town.allocator.refusals["pool-full"] == 500

    async def test_a_mac_on_two_lines_is_told(self, lines: io.StringIO) -> None:
        """mac.duplicate names the lines."""
        town = await Town().begin()
        await town.lease(1, ifindex=7)
        await town.lease(1, ifindex=8)
        [line] = [line for line in read(lines) if line["event"] == "mac.duplicate"]

        assert line["lines"] == ["access0", "access1"]


class TestManyEvents:
    def test_many_that_came_together_share_a_line(self, lines: io.StringIO) -> None:
        """I12: of more than a few a second one line says how many of each, from which to which."""
        log = structlog.get_logger("edge")
        few, many = ([(EpochStarted(cause="x"), f"1-{n}") for n in range(n)] for n in (3, 32))
        tell_events(log, "applied", few, key="event_id")
        one_by_one = len(read(lines))
        tell_events(log, "applied", many, key="event_id")
        told = read(lines)[one_by_one:]

        assert one_by_one == 3
        assert [(line["first"], line["last"], line["epoch.started"]) for line in told] == [
            ("1-0", "1-31", 32)
        ]


class TestFields:
    def test_only_fields_are_shown(self) -> None:
        """A class's own constants are no part of an event."""
        event = LeaseAssigned(
            mac=Mac(mac_of(1)), ip=FIRST, pool="p", line="l", cause="c", req="r", host=""
        )

        assert fields_of(event) == {
            "mac": "02:00:00:00:00:01",
            "ip": "100.64.0.2",
            "pool": "p",
            "line": "l",
            "cause": "c",
            "req": "r",
        }
        assert fields_of(EpochStarted(cause="x")) == {"cause": "x"}
        assert fields_of(pool_added())["first"] == "100.64.0.2"

    def test_names_have_the_stem_of_the_event(self) -> None:
        """`LeaseAssigned` is `lease.assigned`."""
        assert event_name(EpochStarted(cause="x")) == "epoch.started"
        assert event_name(pool_added()) == "pool.added"


class TestQuota:
    def test_lines_of_one_kind_are_bounded_by_the_minute(self) -> None:
        """Beyond the limit lines are left out and counted, each kind for itself."""
        quota = Quota(3)
        minute = 60 * 10**9
        told = [quota.allows("a", n) for n in range(5)] + [quota.allows("b", 7)]

        assert told == [True, True, True, False, False, True]
        assert quota.left_out == 2
        assert quota.allows("a", minute)

    def test_a_window_may_be_another_and_lines_come_together(self) -> None:
        """Lines that would be written together are allowed or left out together."""
        quota = Quota(3, window_ns=10)

        assert [quota.allows("a", 0, 2), quota.allows("a", 9, 2), quota.allows("a", 10, 3)] == [
            True,
            False,
            True,
        ]
        assert quota.left_out == 2


@contextmanager
def written_to(stream: object) -> Iterator[None]:
    before = SINK.stream
    SINK.stream = stream  # type: ignore[assignment]
    try:
        yield
    finally:
        SINK.stream = before


class Full(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


class TestSink:
    async def test_a_sink_that_fails_costs_lines_and_not_the_service(
        self, lines: io.StringIO
    ) -> None:
        """F14: a full disk or a closed pipe drops lines, counted; clients are served."""
        town = await Town().begin()
        dropped = SINK.dropped
        with written_to(Full()):
            ip = await town.lease(1)

        assert ip == FIRST
        assert SINK.dropped > dropped

    def test_lines_go_where_the_last_call_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Loggers that were used before write to the new stream too."""
        first, second = io.StringIO(), io.StringIO()
        log = audit.structlog.get_logger("edge")
        for stream in (first, second, None):
            audit.configure(stream)
            log.info("some.event", number=1)

        assert [json.loads(s.getvalue())["event"] for s in (first, second)] == ["some.event"] * 2
        assert json.loads(capsys.readouterr().out)["event"] == "some.event"
