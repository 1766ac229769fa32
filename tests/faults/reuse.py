"""I7 from outside: when an address came to a stranger, no promise of it could stand any more."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults.history import ENDS, Event, Promise, Who, commit_ms, number, seq, who_of

TOLERANCE_MS = 1000
"""Between the clocks by which it was waited and the commit times by which it is judged."""


@dataclass
class Rest:
    """An address between its holders."""

    end: Event
    acked: Event | None = None

    def is_over(self, at_ms: int, silent_from_ms: int, guard_s: int) -> bool:
        """`silent_from_ms` is A, should nobody have acknowledged."""
        if self.acked is None:
            return at_ms >= silent_from_ms + guard_s * 1000 - TOLERANCE_MS
        rested_ms = at_ms - commit_ms(self.acked)
        return rested_ms >= number(self.acked["quarantine_s"]) * 1000 - TOLERANCE_MS


def check_reuse(
    promises: Sequence[Promise], events: Sequence[Event], horizon_s: int, guard_s: int
) -> None:
    """I7: acknowledged end + r + Q, or A + Q; r and the wait are no less than the wire promised."""
    told = _told(promises)
    resting: dict[object, Rest] = {}
    silent_from_ms = 0
    for event in events:
        ip, at_ms = str(event.get("ip")), commit_ms(event)
        match event["type"]:
            case "EpochStarted" | "HorizonGranted":
                silent_from_ms = at_ms + horizon_s * 1000
            case kind if kind in ENDS:
                resting[ip] = Rest(event)
            case "RemovalAcked":
                rest = resting.get(ip)
                assert rest, f"I7: {event['id']} acknowledges what did not end"
                assert seq(rest.end) == event["ref"], f"I7: {event['id']} acknowledges another end"
                rest.acked = event
                _check_remainder(event, told[ip], guard_s)
            case "AddressFreed":
                rest = resting.pop(ip, None)
                assert rest, f"I7: {ip} was freed, but nothing ended"
                assert rest.is_over(at_ms, silent_from_ms, guard_s), f"I7: {ip} was freed too early"
            case "LeaseAssigned":
                _check_stranger(event, resting.pop(ip, None), told[ip], guard_s)
            case "LeaseAdopted":
                resting.pop(ip, None)


def _told(promises: Sequence[Promise]) -> dict[str, list[Promise]]:
    by_ip: dict[str, list[Promise]] = defaultdict(list)
    for promise in promises:
        by_ip[promise.ip].append(promise)
    return by_ip


def _last_ms(promises: Sequence[Promise], at_ms: int) -> float:
    """Until when the latest of those made before `at_ms` lasts."""
    return max((p.told_until_ms for p in promises if p.since_ms < at_ms), default=0.0)


def _check_remainder(acked: Event, told: Sequence[Promise], guard_s: int) -> None:
    remaining_s, at_ms = number(acked["remaining_s"]), commit_ms(acked)
    own = [promise for promise in told if promise.who == who_of(acked)]
    left_ms = _last_ms(own, at_ms) - at_ms
    assert left_ms <= remaining_s * 1000 + TOLERANCE_MS, f"I7: {acked['id']} forgets a promise"
    assert number(acked["quarantine_s"]) >= remaining_s + guard_s, f"I7: {acked['id']} lacks Q"


def _check_stranger(
    assigned: Event, rest: Rest | None, told: Sequence[Promise], guard_s: int
) -> None:
    who, ip, at_ms = who_of(assigned), assigned["ip"], commit_ms(assigned)
    assert rest is None or who_of(rest.end) == who, f"I7: {ip} went to a stranger too early"
    last_ms = _last_ms([promise for promise in told if promise.who != who], at_ms)
    assert at_ms >= last_ms + guard_s * 1000 - TOLERANCE_MS or not last_ms, (
        f"I7: {ip} went to {who}, but was promised to another until {last_ms:.0f}"
    )


def changed_hands(events: Sequence[Event]) -> int:
    """How often an address went to another than who had it last."""
    last: dict[object, Who] = {}
    times = 0
    for event in events:
        if event["type"] == "LeaseAssigned":
            who = who_of(event)
            times += last.get(event["ip"], who) != who
            last[event["ip"]] = who
    return times
