"""Join what the wire carried with what the log says: I1, I2 and I11 after any fault."""

import json
from collections import defaultdict
from dataclasses import dataclass

from scripts.lab import Lab, Site


@dataclass
class Promise:
    """What a client may believe: `ip` is `mac`'s from `since_ms` to `until_ms`, wall time."""

    ip: str
    mac: str
    since_ms: float
    until_ms: float


def events_of(lab: Lab, site: Site) -> list[dict[str, object]]:
    lines = lab.leasectl("events", "tail", site.name, "-n", 1000, "--json").splitlines()
    return [json.loads(line) for line in lines]


def commit_ms(event: dict[str, object]) -> int:
    return int(str(event["id"]).split("-")[0])


def promises_of(lab: Lab, site: Site) -> list[Promise]:
    """Every promise an ACK on the wire made; a RELEASE ends the client's."""
    promises: list[Promise] = []
    for message in lab.tapped(site):
        at_ms = int(str(message["at_ns"])) / 1e6
        mac = str(message["mac"])
        if message["type"] == "ACK" and message["lease_s"]:
            end_ms = at_ms + int(str(message["lease_s"])) * 1000
            promises.append(Promise(str(message["yiaddr"]), mac, at_ms, end_ms))
        elif message["type"] == "RELEASE":
            for promise in promises:
                if promise.mac == mac:
                    promise.until_ms = min(promise.until_ms, at_ms)
    return promises


def check(lab: Lab, site: Site) -> int:
    """Assert the invariants; return how many promises were checked."""
    promises = promises_of(lab, site)
    events = events_of(lab, site)
    _exclusive(promises)
    _durable(promises, events)
    _one_holder(events)
    return len(promises)


def _exclusive(promises: list[Promise]) -> None:
    """I1: at no time two clients hold an unexpired promise for one address."""
    by_ip: dict[str, list[Promise]] = defaultdict(list)
    for promise in promises:
        by_ip[promise.ip].append(promise)
    for ip, held in by_ip.items():
        for one in held:
            for other in held:
                if one.mac != other.mac:
                    overlap = one.since_ms < other.until_ms and other.since_ms < one.until_ms
                    assert not overlap, f"I1: {ip} promised to {one.mac} and {other.mac}"


def _durable(promises: list[Promise], events: list[dict[str, object]]) -> None:
    """I2: every ACK is covered by an assignment that was durable before it left."""
    assigned: dict[tuple[object, object], int] = {}
    for event in events:
        if event["type"] == "LeaseAssigned":
            assigned.setdefault((event["ip"], event["mac"]), commit_ms(event))
    for promise in promises:
        since_ms = assigned.get((promise.ip, promise.mac))
        assert since_ms is not None, f"I2: {promise.ip} was never assigned to {promise.mac}"
        assert since_ms <= promise.since_ms + 1, f"I2: {promise.ip} was promised too early"


def _one_holder(events: list[dict[str, object]]) -> None:
    """I11: the log names at most one holder at any time; I5: epochs never go back; I4: no gap."""
    holder: dict[object, object] = {}
    for expected_seq, event in enumerate(events, 1):
        assert int(str(event["id"]).split("-")[1]) == expected_seq, "I4: a gap in the log"
        if event["type"] == "LeaseAssigned":
            assert event["ip"] not in holder, f"I11: {event['ip']} assigned twice"
            holder[event["ip"]] = event["mac"]
        elif event["type"] in {
            "LeaseReleased", "LeaseExpired", "LeaseRevoked", "AddressDeclined",
        }:  # fmt: skip
            assert holder.pop(event["ip"], None) == event["mac"], "I11: ended what was not held"
