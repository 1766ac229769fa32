"""Join what the wire carried with what the log says, after any fault.

The wire tells which promises clients heard; the log, read raw and not by our own reader, who was
meant to have what. Each violation is an AssertionError that begins with the invariant's number.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from scripts.lab import Lab, Site

Message = Mapping[str, object]
Event = Mapping[str, object]
ENDS = {"LeaseReleased", "LeaseExpired", "LeaseRevoked", "AddressDeclined"}


@dataclass
class Promise:
    """What a client may believe: `ip` is `mac`'s from `since_ms` to `until_ms`, wall time."""

    ip: str
    mac: str
    line: str
    since_ms: float
    until_ms: float
    told_until_ms: float
    """As the ACK said, even if a RELEASE ended it sooner."""


def events_of(lab: Lab, site: Site) -> list[dict[str, object]]:
    """The whole log as it lies in Redis."""
    raw = lab.redis_cli("--json", "XRANGE", f"lease:{{{site.name}}}:events", "-", "+")
    return [_event(entry_id, flat) for entry_id, flat in json.loads(raw)]


def _event(entry_id: str, flat: Sequence[str]) -> dict[str, object]:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    numbers = {k: int(v) for k, v in fields.items() if k.endswith("_s") or k in {"ep", "ref"}}
    return {"id": entry_id, **fields, **numbers}


def commit_ms(event: Event) -> int:
    return int(str(event["id"]).split("-")[0])


def seq(event: Event) -> int:
    return int(str(event["id"]).split("-")[1])


def promises_of(messages: Iterable[Message]) -> list[Promise]:
    """Every promise an ACK on the wire made; a RELEASE or DECLINE ends the client's."""
    promises: list[Promise] = []
    for message in messages:
        at_ms = int(str(message["at_ns"])) / 1e6
        mac = str(message["mac"])
        if message["type"] == "ACK" and message["lease_s"]:
            end_ms = at_ms + int(str(message["lease_s"])) * 1000
            line = str(message.get("line", "access0"))
            promises.append(Promise(str(message["yiaddr"]), mac, line, at_ms, end_ms, end_ms))
        elif message["type"] in {"RELEASE", "DECLINE"}:
            for promise in promises:
                if promise.mac == mac:
                    promise.until_ms = min(promise.until_ms, at_ms)
    return promises


def check(lab: Lab, site: Site, lost: Sequence[Event] = ()) -> int:
    """Assert the invariants; return how many promises were checked.

    `lost` are events that Redis once held and lost, for whatever reason the test has.
    """
    return judge(list(lab.tapped(site)), events_of(lab, site), lost)


def judge(messages: Sequence[Message], events: Sequence[Event], lost: Sequence[Event] = ()) -> int:
    """Assert I1, I2, I4, I5, I7, I8, I11 of a history; return how many promises it has."""
    promises = promises_of(messages)
    _exclusive(promises)
    _durable(promises, [*lost, *events])
    _covered(promises, [*lost, *events])
    _dense(events)
    _one_holder(events)
    return len(promises)


def _exclusive(promises: Sequence[Promise]) -> None:
    """I1: at no time two clients hold an unexpired promise for one address."""
    by_ip: dict[str, list[Promise]] = defaultdict(list)
    for promise in promises:
        by_ip[promise.ip].append(promise)
    for ip, held in by_ip.items():
        if len({promise.mac for promise in held}) == 1:
            continue
        for one, other in combinations(held, 2):
            overlap = one.since_ms < other.until_ms and other.since_ms < one.until_ms
            assert one.mac == other.mac or not overlap, (
                f"I1: {ip} promised to {one.mac} and {other.mac}"
            )


def _durable(promises: Sequence[Promise], events: Sequence[Event]) -> None:
    """I2: every ACK has an assignment that was durable before it left; I8: on its own line."""
    assigned: dict[tuple[object, object], int] = {}
    lines: dict[tuple[object, object], set[object]] = defaultdict(set)
    for event in events:
        if event["type"] in {"LeaseAssigned", "LeaseAdopted"}:
            key = (event["ip"], event["mac"])
            assigned[key] = min(commit_ms(event), assigned.get(key, commit_ms(event)))
            lines[key].add(event["line"])
    for promise in promises:
        key = (promise.ip, promise.mac)
        assert key in assigned, f"I2: {promise.ip} was never assigned to {promise.mac}"
        assert assigned[key] <= promise.since_ms + 1, f"I2: {promise.ip} was promised too early"
        assert promise.line in lines[key], f"I8: {promise.ip} was promised on {promise.line}"


def _covered(promises: Sequence[Promise], events: Sequence[Event]) -> None:
    """I2: no promise goes beyond a horizon that was durable before it left."""
    grants = [
        (commit_ms(event), commit_ms(event) + int(str(event["horizon_s"])) * 1000)
        for event in events
        if event["type"] == "HorizonGranted"
    ]
    for promise in promises:
        end_ms = max((end for at, end in grants if at <= promise.since_ms + 1), default=0)
        assert promise.told_until_ms <= end_ms, f"I2: {promise.ip} goes beyond the horizon"


def _dense(events: Sequence[Event]) -> None:
    """I4: the log has no gap; I5: epochs and times never go back."""
    for expected, event in enumerate(events, 1):
        assert seq(event) == expected, f"I4: a gap in the log before {event['id']}"
    for before, event in pairwise(events):
        assert int(str(before["ep"])) <= int(str(event["ep"])), f"I5: {event['id']} of an old epoch"
        assert commit_ms(before) <= commit_ms(event), f"I5: {event['id']} went back in time"


def _one_holder(events: Sequence[Event]) -> None:
    """I11: the log names at most one holder at any time; I7: a stranger only after it was freed."""
    holder: dict[object, object] = {}
    ended: dict[object, object] = {}
    for event in events:
        ip, mac = event.get("ip"), event.get("mac")
        if event["type"] in {"LeaseAssigned", "LeaseAdopted"}:
            assert ip not in holder, f"I11: {ip} assigned twice"
            assert ended.pop(ip, mac) == mac, f"I7: {ip} went to a stranger too early"
            holder[ip] = mac
        elif event["type"] in ENDS:
            assert holder.pop(ip, None) == mac, f"I11: {ip} ended but was not held by {mac}"
            ended[ip] = mac
        elif event["type"] == "AddressFreed":
            assert ip not in holder, f"I11: {ip} freed while it was held"
            ended.pop(ip, None)
