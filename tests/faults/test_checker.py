"""The checker finds each invariant's violation, and nothing in a history that is right."""

from collections.abc import Callable

import pytest

from tests.faults.checker import judge
from tests.faults.history import commit_ms

IP, OTHER_IP = "100.64.0.2", "100.64.0.3"
ANNA, BERT = "02:00:00:00:00:01", "02:00:00:00:00:02"
ANNAS = {"ip": IP, "mac": ANNA, "line": "access0"}
GUARD_S = 10
Rows = list[dict[str, object]]


def event(at_ms: int, seq: int, kind: str, **fields: object) -> dict[str, object]:
    return {"id": f"{at_ms}-{seq}", "type": kind, "ep": 1, **fields}


def message(at_ms: int, kind: str, mac: str, ip: str = IP, lease_s: int = 60) -> dict[str, object]:
    told = {"at_ns": at_ms * 1_000_000, "type": kind, "mac": mac, "line": "access0"}
    return told | {"yiaddr": ip, "lease_s": lease_s}


def history() -> tuple[Rows, Rows]:
    """Anna has an address, gives it back; when it is free Bert gets it."""
    events = [
        event(0, 1, "EpochStarted"),
        event(500, 2, "HorizonGranted", horizon_s=600),
        event(1000, 3, "LeaseAssigned", **ANNAS),
        event(3000, 4, "LeaseReleased", **ANNAS),
        event(3100, 5, "RemovalAcked", **ANNAS, ref=4, remaining_s=58, quarantine_s=68),
        event(90_000, 6, "AddressFreed", **ANNAS),
        event(91_000, 7, "LeaseAssigned", ip=IP, mac=BERT, line="access0"),
    ]
    messages = [
        message(1001, "ACK", ANNA),
        message(2500, "RELEASE", ANNA),
        message(91_010, "ACK", BERT),
    ]
    return messages, events


def test_a_right_history_has_no_violation() -> None:
    """What holds is not complained of."""
    assert judge(*history(), guard_s=GUARD_S) == 2


def _no_release(messages: Rows, events: Rows) -> None:
    del messages[1]
    messages[0]["lease_s"] = 200


def _never_assigned(messages: Rows, events: Rows) -> None:
    messages.append(message(91_020, "ACK", ANNA, OTHER_IP))


def _answered_before_the_commit(messages: Rows, events: Rows) -> None:
    messages[0]["at_ns"] = 998 * 1_000_000


def _beyond_the_horizon(messages: Rows, events: Rows) -> None:
    messages[2]["lease_s"] = 600


def _before_the_horizon(messages: Rows, events: Rows) -> None:
    events[1]["id"] = "1000-2"
    messages[0]["at_ns"] = 1001 * 1_000_000
    events[1]["horizon_s"] = 10


def _a_gap(messages: Rows, events: Rows) -> None:
    del events[4]


def _two_swapped(messages: Rows, events: Rows) -> None:
    events[4]["id"], events[5]["id"] = events[5]["id"], events[4]["id"]


def _an_old_epoch(messages: Rows, events: Rows) -> None:
    for each in events[2:4]:
        each["ep"] = 2


def _back_in_time(messages: Rows, events: Rows) -> None:
    events[5]["id"] = "3000-6"


def _a_stranger_too_early(messages: Rows, events: Rows) -> None:
    events[5] = event(90_000, 6, "HorizonGranted", horizon_s=600)


def _freed_for_a_silent_site(messages: Rows, events: Rows) -> None:
    del events[4]
    for at, each in enumerate(events, 1):
        each["id"] = f"{commit_ms(each)}-{at}"


def _another_end_acked(messages: Rows, events: Rows) -> None:
    events[4]["ref"] = 3


def _acked_without_q(messages: Rows, events: Rows) -> None:
    events[4]["quarantine_s"] = 60


def _acked_without_the_last_promise(messages: Rows, events: Rows) -> None:
    events[4] |= {"remaining_s": 30, "quarantine_s": 40}


def _freed_too_early(messages: Rows, events: Rows) -> None:
    events[5]["id"] = "60000-6"


def _freed_though_nothing_ended(messages: Rows, events: Rows) -> None:
    del messages[-1]
    events[6] = event(91_000, 7, "AddressFreed", **ANNAS)


def _promised_after_its_end(messages: Rows, events: Rows) -> None:
    messages.insert(2, message(3200, "ACK", ANNA, lease_s=5))


def _ended_on_another_line(messages: Rows, events: Rows) -> None:
    events[3]["line"] = "access0:100"


def _another_line(messages: Rows, events: Rows) -> None:
    events[2]["line"] = "access0:100"


def _two_holders(messages: Rows, events: Rows) -> None:
    events[3] = event(3000, 4, "HorizonGranted", horizon_s=600)
    events[5] = event(90_000, 6, "HorizonGranted", horizon_s=600)


def _ended_by_a_stranger(messages: Rows, events: Rows) -> None:
    events[3]["mac"] = BERT


def _freed_while_held(messages: Rows, events: Rows) -> None:
    events[3] = event(3000, 4, "HorizonGranted", horizon_s=600)


@pytest.mark.parametrize(
    ("invariant", "forge"),
    [
        ("I1", _no_release),
        ("I2", _never_assigned),
        ("I2", _answered_before_the_commit),
        ("I2", _beyond_the_horizon),
        ("I2", _before_the_horizon),
        ("I4", _a_gap),
        ("I4", _two_swapped),
        ("I5", _an_old_epoch),
        ("I5", _back_in_time),
        ("I2", _promised_after_its_end),
        ("I7", _a_stranger_too_early),
        ("I7", _freed_for_a_silent_site),
        ("I7", _another_end_acked),
        ("I7", _acked_without_q),
        ("I7", _acked_without_the_last_promise),
        ("I7", _freed_too_early),
        ("I7", _freed_though_nothing_ended),
        ("I8", _another_line),
        ("I11", _two_holders),
        ("I11", _ended_by_a_stranger),
        ("I11", _ended_on_another_line),
        ("I11", _freed_while_held),
    ],
)
def test_each_violation_is_found(invariant: str, forge: Callable[[Rows, Rows], None]) -> None:
    """A history in which one thing is not as it should be is refused for that very thing."""
    messages, events = history()
    forge(messages, events)
    with pytest.raises(AssertionError, match=rf"^{invariant}:"):
        judge(messages, events, guard_s=GUARD_S)


def test_a_promise_of_a_lost_log_counts() -> None:
    """I7: what the wire promised by a log that was lost keeps strangers away for Q, too."""
    messages, events = history()
    lost = [events[0], events[1], event(1000, 3, "LeaseAssigned", **ANNAS | {"ip": OTHER_IP})]
    messages[:] = [message(1001, "ACK", ANNA, OTHER_IP, lease_s=10)]
    events[2:] = [event(20_000, 3, "LeaseAssigned", **ANNAS | {"ip": OTHER_IP, "mac": BERT})]
    with pytest.raises(AssertionError, match=r"^I7: .* promised to another"):
        judge(messages, events, [lost], guard_s=GUARD_S)
    events[2]["id"] = "21002-3"
    assert judge(messages, events, [lost], guard_s=GUARD_S) == 1
