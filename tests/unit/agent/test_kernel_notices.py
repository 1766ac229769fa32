"""What the kernel noticed, in audit lines: named, bounded, counted."""

import io
import json
from collections import deque
from dataclasses import replace

import structlog

from edge_agent.agent.kernel_notices import NOTICES_A_MINUTE, TAKEN_AT_ONCE, KernelNotices
from edge_agent.agent.slow_path import Now
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.notices import Notice, NoticeKind
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import Line
from edge_agent.sync.lines import Lines
from lease_core.domain.values import Ipv4, Mac

SECOND = 10**9
NOW = Now(100 * SECOND, 50 * SECOND)
MINUTE_LATER = Now(160 * SECOND, 110 * SECOND)
FIRST_ACK = Notice(
    99 * SECOND, NoticeKind.FIRST_ACK, Counter.ACK, Line(7, 100), Mac(0x020000000017), Mac(0),
    Ipv4(0x64400002), 42,
)  # fmt: skip
SUSPECT = replace(
    FIRST_ACK, kind=NoticeKind.SUSPECT, verdict=Counter.PASS_SOURCE_MAC, ip=Ipv4(0), seq=0,
    sender=Mac(0x020000000018),
)  # fmt: skip


class NoticingDatapath(MemoryDatapath):
    """Stands for the kernel's: hands out what a test puts in."""

    def __init__(self, *notices: Notice) -> None:
        super().__init__()
        self.ring = deque(notices)

    def take_notices(self, limit: int) -> list[Notice]:
        return [self.ring.popleft() for _ in range(min(limit, len(self.ring)))]


def listener(*notices: Notice) -> tuple[KernelNotices, NoticingDatapath]:
    datapath = NoticingDatapath(*notices)
    return KernelNotices(datapath, Lines({"access0": 7}), structlog.get_logger("edge")), datapath


def told(stream: io.StringIO) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        assert line.pop("timestamp")
        assert line.pop("stage") == "kernel"
    return lines


def test_each_kind_has_its_line(lines: io.StringIO) -> None:
    """A line says who, where, what became of it and how long ago, and of a suspect who sent."""
    short = replace(FIRST_ACK, kind=NoticeKind.SHORT_GRANT)
    notices, _ = listener(FIRST_ACK, short, SUSPECT)
    notices.tell(NOW)

    common = {"mac": "02:00:00:00:00:17", "line": "access0:100", "ago_ms": 1000}
    granted = {**common, "verdict": "ack", "ip": "100.64.0.2", "seq": 42}
    assert told(lines) == [
        {"event": "binding.first-ack", "level": "info", **granted},
        {"event": "horizon.short", "level": "warning", **granted},
        {"event": "sender.suspicious", "level": "warning", **common,
         "verdict": "pass_source_mac", "sender": "02:00:00:00:00:18"},
    ]  # fmt: skip
    assert notices.report() == {
        "noticed_first_ack": "1", "noticed_short_grant": "1", "noticed_suspect": "1",
    }  # fmt: skip


def test_lines_are_bounded_by_kind(lines: io.StringIO) -> None:
    """So many lines a minute of one kind, and another kind's are told all the same; all are
    counted (I12)."""
    notices, datapath = listener(*[SUSPECT] * (NOTICES_A_MINUTE + 9), FIRST_ACK)
    notices.tell(NOW)
    kinds = [line["event"] for line in told(lines)]
    assert kinds == ["sender.suspicious"] * NOTICES_A_MINUTE + ["binding.first-ack"]
    assert notices.report()["noticed_suspect"] == str(NOTICES_A_MINUTE + 9)

    datapath.ring.append(SUSPECT)
    notices.tell(MINUTE_LATER)
    assert len(told(lines)) == len(kinds) + 1


def test_a_turn_is_bounded(lines: io.StringIO) -> None:
    """However many there are, one turn takes so many and leaves the rest to the next (I12)."""
    notices, datapath = listener(*[SUSPECT] * (TAKEN_AT_ONCE + 1))
    notices.tell(NOW)
    assert len(datapath.ring) == 1
    notices.tell(NOW)
    assert not datapath.ring
