"""Audit lines: everything decided, appended, applied and answered, with enough to find it again."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from edge_agent.agent.answering import ANSWERS_A_SECOND
from lease_core import audit, rationing
from lease_core.audit import (
    EVENT_LINES,
    LINES_A_SECOND,
    SINK,
    event_name,
    fields_of,
    tell_events,
)
from lease_core.domain.events import EpochStarted, LeaseAssigned
from lease_core.domain.values import Mac
from lease_core.rationing import Quota
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


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.ns = 7 * SECOND

    def monotonic_ns(self) -> int:
        return self.ns


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


def begun(first: int, count: int) -> list[tuple[EpochStarted, str]]:
    return [(EpochStarted(cause="x"), f"1-{number}") for number in range(first, first + count)]


def told(stream: io.StringIO) -> list[tuple[object, object, object]]:
    """First, last and number of events of each line; a line of its own has just an id."""
    return [
        (line.get("first", line.get("event_id")), line.get("last"), line.get("epoch.started"))
        for line in read(stream)
    ]


class TestManyEvents:
    """I12: of more events than a few a second one line says how many of each, from which to which.

    The clock of the quota stands still unless a test moves it.
    """

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> Clock:
        made = Clock()
        monkeypatch.setattr(rationing, "time", made)
        return made

    def test_those_beyond_the_quota_share_a_line(self, lines: io.StringIO, clock: Clock) -> None:
        """However they came, they are told together as soon as there may be lines again."""
        log = structlog.get_logger("edge")
        tell_events(log, "applied", begun(0, 3), key="event_id")
        tell_events(log, "applied", begun(3, LINES_A_SECOND), key="event_id")
        tell_events(log, "applied", begun(35, 1), key="event_id")
        EVENT_LINES.tell()
        one_by_one = [(f"1-{number}", None, None) for number in range(3)]
        assert told(lines) == one_by_one

        clock.ns += SECOND
        EVENT_LINES.tell()
        assert told(lines) == [*one_by_one, ("1-3", "1-35", 33)]

    def test_none_is_told_before_those_left_earlier(self, lines: io.StringIO, clock: Clock) -> None:
        """Lines of one logger and stage stand in the order of their events; others do not wait."""
        log, other = (structlog.get_logger("edge").bind(site=site) for site in ("ams01", "fra01"))
        tell_events(log, "applied", begun(0, LINES_A_SECOND + 1), key="event_id")
        clock.ns += SECOND
        tell_events(log, "applied", begun(33, 1), key="event_id")
        tell_events(other, "applied", begun(0, 1), key="event_id")
        EVENT_LINES.tell()
        tell_events(log, "applied", begun(34, 1), key="event_id")

        assert told(lines) == [
            ("1-0", None, None), ("1-0", "1-33", 34), ("1-34", None, None)
        ]  # fmt: skip

    def test_at_the_end_all_are_told(self, lines: io.StringIO) -> None:
        """Nothing is left untold, whatever the quota says."""
        log = structlog.get_logger("edge")
        for stage in ("decided", "applied"):
            tell_events(log, stage, begun(0, LINES_A_SECOND + 1), key="event_id")
        EVENT_LINES.tell_all()

        assert told(lines) == [("1-0", f"1-{LINES_A_SECOND}", LINES_A_SECOND + 1)] * 2


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
