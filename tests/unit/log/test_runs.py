"""Events decoded by the run are what they are one by one, and are refused for the same."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lease_core.domain.columns import bindings_of
from lease_core.domain.events import LEASE_VERSION, LeaseAssigned, Record
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.layout import MAX_VALUE_OCTETS, Flat
from lease_core.log.runs import Run, records_of
from lease_core.log.wire import decode_event, encode_event
from tests.histories import random_history

Entry = tuple[bytes, Flat]

BAD: dict[bytes, tuple[bytes, ...]] = {
    b"v": (b"", b"01", b"9"),
    b"type": (b"LeaseAssigne", b""),
    b"ep": (b"", b"01", b"-1", b"1" * 19, b"1 ", "\u0661".encode()),
    b"mac": (b"", b"02:00:00:00:00:0", b"02:00:00:00:00:0G", b"02:00:00:00:00:0A",
             b"0200:00:00:00:000", b"02-00:00:00:00:00", b":2:00:00:00:00:00",
             b"02:00:00:00:00:000"),
    b"ip": (b"", b"1.2.3", b"1.2.3.4.5", b"1.2.3.256", b"1.2.3.04", b"1.2.3.", b"0x1.2.3.4"),
    b"pool": (b"\xff", b"a\0b", b"x" * (MAX_VALUE_OCTETS + 1)),
    b"req": (b"\xff", b"a\0b", b"x" * (MAX_VALUE_OCTETS + 1)),
    b"host": (b"", b"\xff"),
    b"by": (b"\xff", b"\0"),
    b"h": (b"", b"-", b"-0", b"00", b"+1", b"1 ", b"1_0", b"x", b"9" * 19, b"-" + b"9" * 19,
           b"1" * 20, b"1\n", "\u0661".encode()),
}  # fmt: skip
"""Values that an event must not have, by field."""
FORMER_BAD = BAD | {
    b"h": (b"", b"0" * 15, b"0" * 17, b"0" * 15 + b"G", b"0" * 15 + b"A", b"0" * 15 + b"\n"),
}
CASES = [*((LEASE_VERSION, name) for name in BAD if name != b"by"), *((1, name) for name in BAD)]
BAD_IDS = (b"", b"5", b"5-", b"-5", b"5-6-7", b"05-6", b"5-06", b"5-x", b"5-" + b"1" * 19)


def flat_of(number: int, host: str = "host", reads: int = LEASE_VERSION) -> Entry:
    event = LeaseAssigned(
        mac=Mac(number * 0x10305), ip=Ipv4(number * 0x10203), pool="res-1",
        line=f"access0:{number}",
        cause="selecting", req=f"r{number}", host=host,
    )  # fmt: skip
    flat = encode_event(event, epoch=1, by="allocator", h=f"{number:016x}", reads=reads)
    return b"1700-%d" % number, flat


def one_by_one(entries: list[Entry]) -> list[Record]:
    """Up to the first that cannot be read."""
    records = []
    for entry_id, flat in entries:
        try:
            records.append(decode_event(entry_id, flat))
        except UnreadableEntryError:
            break
    return records


def octets_of(records: Sequence[Record]) -> list[bytes]:
    return [record.octets for record in records]


def test_a_history_is_read_alike() -> None:
    """Runs of every length and kind give the same records and the same octets to hash (I3)."""
    chance = random.Random(3)
    events = [
        event for event in random_history(1, 400) for _ in range(chance.choice((1, 1, 7, 8, 20)))
    ]
    entries = []
    for number, event in enumerate(events, 1):
        reads = 1 + number // 100 % 2
        flat = encode_event(event, epoch=number // 50, by="a", h=f"{number:016x}", reads=reads)
        entries.append((b"%d-%d" % (number // 9, number), flat))
    expected = one_by_one(entries)

    assert len(expected) == len(entries)
    assert records_of(entries) == expected
    assert octets_of(records_of(entries)) == octets_of(expected)


@pytest.mark.parametrize("at", [0, 5, 19])
@pytest.mark.parametrize(("reads", "name"), CASES)
def test_every_value_of_a_run_is_checked(reads: int, name: bytes, at: int) -> None:
    """A malformed value anywhere in a run ends the reading right before it, as it does alone."""
    whole = [flat_of(number, reads=reads) for number in range(1, 21)]
    for bad in (BAD if reads > 1 else FORMER_BAD)[name]:
        entries = [(entry_id, [*flat]) for entry_id, flat in whole]
        flat = entries[at][1]
        flat[2 * flat[::2].index(name) + 1] = bad
        with pytest.raises(UnreadableEntryError) as told:
            records_of(entries[at:])
        with pytest.raises(UnreadableEntryError) as alone:
            decode_event(*entries[at])

        assert str(told.value) == str(alone.value)
        assert len(one_by_one(entries)) == at
        if at:
            assert records_of(entries) == one_by_one(entries)


def test_events_of_a_run_are_found_by_number() -> None:
    """Singly, from behind and by parts they are what they are in their order."""
    read = records_of([*map(flat_of, range(1, 21)), flat_of(21, host="")])
    expected = list(read)

    assert [*map(read.__getitem__, range(21))] == expected
    assert [read[at - 21] for at in range(21)] == expected
    assert [type(part) for part in read.parts] == [Run, list]
    for part in (slice(3), slice(3, 20), slice(-4, -2), slice(30, 40), slice(None, None, -3)):
        assert read[part] == expected[part]
        assert read.parts[0][part] == expected[:20][part]
    with pytest.raises(IndexError):
        read[21]


def test_a_run_of_leases_tells_what_it_binds() -> None:
    """Its columns are those of its events; several lines and pools among them."""
    [run] = records_of(list(map(flat_of, range(1, 21)))).parts
    assert isinstance(run, Run)
    events = [(record.event, record.seq) for record in run]
    rows = [(e.mac, e.line, e.ip, e.pool, seq) for e, seq in events if isinstance(e, LeaseAssigned)]

    assert len(rows) == len(run)
    assert list(run.bindings().rows("bound")) == list(bindings_of(rows).rows("bound"))
    assert [(row[1], row[2], row[3], row[4], row[5]) for row in run.bindings().rows("")] == rows


@pytest.mark.parametrize("bad", BAD_IDS)
def test_every_id_of_a_run_is_checked(bad: bytes) -> None:
    """Two wrong ids that look right together are found too."""
    whole = [flat_of(number) for number in range(1, 21)]
    entries = [*whole[:7], (bad, whole[7][1]), (b"1-2-3", whole[8][1]), *whole[9:]]

    assert records_of(entries) == one_by_one(entries)
    assert len(records_of(entries)) == 7


def test_long_values_that_are_allowed_are_read() -> None:
    """A run whose events are long as a whole is no fault."""
    entries = [flat_of(number, host="x" * MAX_VALUE_OCTETS) for number in range(1, 21)]

    assert records_of(entries) == one_by_one(entries)
    assert len(records_of(entries)) == 20
    assert replace(records_of(entries)[0]) == one_by_one(entries)[0]
