"""Join what the wire carried with what the log says, after any fault.

The wire tells which promises clients heard; the log, read raw and not by our own reader, who was
meant to have what. Each violation is an AssertionError that begins with the invariant's number.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from scripts.lab import Lab, Site
from tests.faults.history import (
    ENDS,
    GIVEN,
    Event,
    Hold,
    Message,
    Promise,
    commit_ms,
    number,
    seq,
    who_of,
)
from tests.faults.reuse import check_reuse

HORIZON_S, GUARD_S = 14_400, 120


def events_of(lab: Lab, site: Site) -> list[dict[str, object]]:
    """The whole log as it lies in Redis."""
    raw = lab.redis_cli("--json", "XRANGE", f"lease:{{{site.name}}}:events", "-", "+")
    return [_event(entry_id, flat) for entry_id, flat in json.loads(raw)]


def _event(entry_id: str, flat: Sequence[str]) -> dict[str, object]:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    numbers = {k: int(v) for k, v in fields.items() if k.endswith("_s") or k in {"ep", "ref"}}
    return {"id": entry_id, **fields, **numbers}


def promises_of(messages: Iterable[Message]) -> list[Promise]:
    """Every promise an ACK on the wire made, by time; a RELEASE or DECLINE ends the client's."""
    promises: list[Promise] = []
    standing: dict[object, Promise] = {}
    for message in sorted(messages, key=lambda each: number(each["at_ns"])):
        at_ms = number(message["at_ns"]) / 1e6
        who = who_of(message)
        if message["type"] == "ACK" and message["lease_s"]:
            end_ms = at_ms + number(message["lease_s"]) * 1000
            before = standing.get(who)
            promises.append(Promise(str(message["yiaddr"]), who, at_ms, end_ms, end_ms, before))
            standing[who] = promises[-1]
        elif message["type"] in {"RELEASE", "DECLINE"}:
            each = standing.pop(who, None)
            while each:
                each.until_ms = min(each.until_ms, at_ms)
                each = each.before
    return promises


def check(lab: Lab, site: Site, lost: Sequence[Sequence[Event]] = ()) -> int:
    """Assert the invariants; return how many promises were checked.

    `lost` are logs that Redis once held and lost, for whatever reason the test has.
    """
    messages, events = list(lab.tapped(site)), events_of(lab, site)
    return judge(messages, events, lost, site.horizon_s, site.reuse_guard_s)


def judge(
    messages: Sequence[Message],
    events: Sequence[Event],
    lost: Sequence[Sequence[Event]] = (),
    horizon_s: int = HORIZON_S,
    guard_s: int = GUARD_S,
) -> int:
    """Assert I1, I2, I4, I5, I7, I8, I11 of a history; return how many promises it has."""
    promises = promises_of(messages)
    logs = [*lost, events]
    _exclusive(promises)
    _durable(promises, logs)
    _covered(promises, list(chain(*logs)))
    _dense(events)
    _one_holder(events)
    check_reuse(promises, events, horizon_s, guard_s)
    return len(promises)


def _exclusive(promises: Sequence[Promise]) -> None:
    """I1: at no time two subscribers hold an unexpired promise for one address."""
    last: dict[str, dict[object, float]] = defaultdict(dict)
    for promise in promises:
        held = last[promise.ip]
        for who, until_ms in held.items():
            assert who == promise.who or until_ms <= promise.since_ms, (
                f"I1: {promise.ip} promised to {promise.who} and {who}"
            )
        held[promise.who] = max(promise.until_ms, held.get(promise.who, 0.0))


def _holds(events: Sequence[Event]) -> Iterator[Hold]:
    """Who had what: from the assignment until the edge said that it answers for it no more."""
    held: dict[object, Hold] = {}
    for event in events:
        if event["type"] in GIVEN:
            held[event["ip"]] = Hold(str(event["ip"]), who_of(event), commit_ms(event))
            yield held[event["ip"]]
        elif event["type"] in {"RemovalAcked", "AddressFreed"} and event["ip"] in held:
            held.pop(event["ip"]).until_ms = commit_ms(event)


def _durable(promises: Sequence[Promise], logs: Sequence[Sequence[Event]]) -> None:
    """I2: an assignment stood behind every ACK when it left; I8: to the line it left on."""
    by_ip: dict[str, list[Hold]] = defaultdict(list)
    for hold in [hold for log in logs for hold in list(_holds(log))]:
        by_ip[hold.ip].append(hold)
    for promise in promises:
        of_mac = [hold for hold in by_ip[promise.ip] if hold.who.mac == promise.who.mac]
        own = [hold for hold in of_mac if hold.who == promise.who]
        told = f"{promise.ip} was promised to {promise.who}"
        assert of_mac, f"I2: {told}, to whom it was never assigned"
        assert own, f"I8: {told}, whose line is another"
        assert any(hold.since_ms <= promise.since_ms + 1 for hold in own), f"I2: {told} too early"
        assert any(
            hold.since_ms <= promise.since_ms + 1 and promise.since_ms <= hold.until_ms + 1
            for hold in own
        ), f"I2: {told} after its end was acknowledged"


def _covered(promises: Sequence[Promise], events: Sequence[Event]) -> None:
    """I2: no promise goes beyond a horizon that was durable before it left."""
    grants = [
        (commit_ms(event), commit_ms(event) + number(event["horizon_s"]) * 1000)
        for event in events
        if event["type"] == "HorizonGranted"
    ]
    end_ms, ahead = 0, sorted(grants, reverse=True)
    for promise in promises:
        while ahead and ahead[-1][0] <= promise.since_ms + 1:
            end_ms = max(end_ms, ahead.pop()[1])
        assert promise.told_until_ms <= end_ms, f"I2: {promise.ip} goes beyond the horizon"


def _dense(events: Sequence[Event]) -> None:
    """I4: the log has no gap; I5: epochs and times never go back."""
    for expected, event in enumerate(events, 1):
        assert seq(event) == expected, f"I4: a gap in the log before {event['id']}"
    for before, event in pairwise(events):
        assert number(before["ep"]) <= number(event["ep"]), f"I5: {event['id']} of an old epoch"
        assert commit_ms(before) <= commit_ms(event), f"I5: {event['id']} went back in time"


def _one_holder(events: Sequence[Event]) -> None:
    """I11: the log names at most one holder at any time."""
    holder: dict[object, object] = {}
    for event in events:
        ip = event.get("ip")
        if event["type"] in GIVEN:
            assert ip not in holder, f"I11: {ip} assigned twice"
            holder[ip] = who_of(event)
        elif event["type"] in ENDS:
            who = who_of(event)
            assert holder.pop(ip, None) == who, f"I11: {ip} ended but was not held by {who}"
        elif event["type"] == "AddressFreed":
            assert ip not in holder, f"I11: {ip} freed while it was held"
