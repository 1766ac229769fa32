"""The wire format: round trips, strictness, and a golden file that notices every change."""

import re
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lease_core.domain.commands import (
    Heartbeat,
    Offered,
    RequestLease,
    RequestOffer,
    Sent,
)
from lease_core.domain.events import (
    LEASE_VERSION,
    AddressDeclined,
    AddressFreed,
    EpochStarted,
    Event,
    HorizonGranted,
    LeaseAdopted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    OptionsPlanned,
    PoolAdded,
    PoolOptionsSet,
    PrefixPlanned,
    RecoveryEnded,
    RecoveryStarted,
    RemovalAcked,
    SiteAdded,
    SnapshotTaken,
    SnapshotVerified,
)
from lease_core.domain.values import Ipv4, Mac, ip_from_text, mac_from_text
from lease_core.log.decoding import sent_of
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.hashes import chain
from lease_core.log.layout import MAX_VALUE_OCTETS, Fields, by_name, flat_of
from lease_core.log.port import Batch, Head, Unreadable
from lease_core.log.reader import Position, advance_all
from lease_core.log.tables import ANSWERS, COMMANDS, EVENTS
from lease_core.log.wire import (
    MAX_ROWS,
    decode_answer,
    decode_event,
    encode_answer,
    encode_commands,
    encode_event,
)
from lease_core.log.writer import build
from tests.histories import expected_hash
from tests.unit.log.strategies import (
    ANSWER_CLASSES,
    COMMAND_CLASSES,
    EVENT_CLASSES,
    TEXT,
    any_of,
    instances,
)

GOLDEN = Path(__file__).parents[2] / "golden"
READS = (1, LEASE_VERSION)
"""What edges read of events about leases."""
ID = b"1763900000000-7"
H = "0123456789abcdef"
HASHES = st.binary(min_size=8, max_size=8).map(bytes.hex)

MAC = mac_from_text("02:00:00:00:00:17")
IP = ip_from_text("100.64.0.23")
BINDING: dict[str, Any] = {
    "mac": MAC,
    "ip": IP,
    "pool": "res-1",
    "line": "access0:100.200",
    "req": "bng1-42",
}
OPTIONS: dict[str, Any] = {
    "pool": "res-1",
    "dns": "192.0.2.53",
    "options": "mtu=1500; 43=hex:0104c0000201; routes=10.0.0.0/8 via 100.64.0.1",
}
NETWORK: dict[str, Any] = {
    "pool": "res-1",
    "network": "100.64.0.0/16",
    "first": ip_from_text("100.64.0.10"),
    "last": ip_from_text("100.64.255.254"),
    "gateway": ip_from_text("100.64.0.1"),
    "dns": "192.0.2.53,192.0.2.54",
    "lease_time_s": 3600,
}
SAMPLES: tuple[Event, ...] = (
    EpochStarted(cause="start"),
    PoolAdded(**NETWORK, number=1, cause="plan"),
    HorizonGranted(edge="bng1", incarnation="5f0c", nonce="a1b2", horizon_s=14400),
    LeaseAssigned(**BINDING, cause="selecting", host="living room"),
    LeaseAssigned(**BINDING, cause="selecting"),
    LeaseReleased(**BINDING, cause="client"),
    LeaseExpired(**BINDING, cause="promise_passed"),
    LeaseRevoked(**BINDING, cause="operator"),
    AddressDeclined(**BINDING, cause="client", quarantine_s=600),
    RemovalAcked(**BINDING, cause="client", ref=4, remaining_s=1800, quarantine_s=1920),
    AddressFreed(mac=MAC, ip=IP, pool="res-1", line="access0:100.200", cause="quarantine_over"),
    SiteAdded(site="ams01", genesis="0123abcd", horizon_s=14400, reuse_guard_s=120, cause="op"),
    PrefixPlanned(**NETWORK, site="ams01", cause="op"),
    SnapshotTaken(covers=9, digest="0f" * 16, chunks=2, taker="allocator-1#5f0c"),
    SnapshotVerified(req="v1", covers=9, digest="0f" * 16, verifier="allocator-2#77aa"),
    PoolAdded(**(NETWORK | OPTIONS), number=2, cause="plan", plan_seq=5),
    PoolOptionsSet(**OPTIONS, cause="plan", plan_seq=7),
    PrefixPlanned(**(NETWORK | OPTIONS), site="ams01", cause="op"),
    OptionsPlanned(**OPTIONS, site="ams01", cause="op"),
    RecoveryStarted(cause="recreated", edge="bng1", incarnation="5f0c", replaces="0123abcd"),
    LeaseAdopted(mac=MAC, ip=IP, pool="res-1", line="access0", cause="recovery", req="r1"),
    RecoveryEnded(cause="edge-agrees"),
    HorizonGranted(
        edge="bng1", incarnation="5f0c", nonce="a1b3", horizon_s=14400, elapsed_ms=86400123
    ),
)
HEAD = Head(
    genesis="g",
    epoch=3,
    seq=0,
    h="00" * 8,
    last_id="0-0",
    batch="",
    cursor="0-0",
    owner="allocator-1",
)


def hashed_octets(entry_id: bytes, entry: Fields) -> bytes:
    """What docs/log.md says that a hash is over, but for the hash before."""
    shown = {name: value for name, value in entry.items() if name != b"h"}
    return b"\0".join((entry_id, *shown, *shown.values()))


def stored(event: Event, reads: int = LEASE_VERSION) -> Fields:
    return by_name(encode_event(event, epoch=3, by="allocator-1", h=H, reads=reads))


def test_tables_know_every_class() -> None:
    """No event, command or answer can be defined and forgotten in the wire tables."""
    assert set(EVENT_CLASSES) == {layout.make for layout in EVENTS.values()}
    assert set(COMMAND_CLASSES) <= {layout.make for layout in COMMANDS.values()}
    assert set(ANSWER_CLASSES) == {layout.make for layout in ANSWERS.values()}


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize("cls", EVENT_CLASSES)
@given(data=st.data())
def test_events_round_trip(cls: type[Any], reads: int, data: st.DataObject) -> None:
    """Every event comes back equal, with its envelope, and encodes to the same octets again."""
    event, by, h = data.draw(instances(cls)), data.draw(TEXT), data.draw(HASHES)
    entry = encode_event(event, epoch=3, by=by, h=h, reads=reads)
    record = decode_event(ID, entry)

    assert event == record.event
    assert (7, 1763900000000, 3, by if b"by" in entry[::2] else "", h) == (
        record.seq,
        record.commit_ms,
        record.epoch,
        record.by,
        record.h,
    )
    again = encode_event(record.event, epoch=record.epoch, by=record.by, h=record.h, reads=reads)
    assert entry == again


@given(st.lists(any_of(COMMAND_CLASSES), max_size=2 * MAX_ROWS), TEXT)
def test_commands_round_trip(commands: list[Any], by: str) -> None:
    """Commands come back equal and in their order with their sender; TAB goes into none."""
    if any("\t" in str(text) for command in commands for text in (by, *astuple(command))):
        with pytest.raises(ValueError, match="TAB"):
            encode_commands(commands, by)
        return
    entries = encode_commands(commands, by)

    assert sent_of([(ID, entry) for entry in entries]) == [
        Sent(entry_id=ID.decode(), by=by, command=command) for command in commands
    ]
    assert all(len(entry) == 2 * MAX_ROWS for entry in entries[:-1])


def test_a_bad_command_costs_no_other() -> None:
    """Each of an entry is read by itself; who sent it is told of the bad one, too."""
    beat = Heartbeat(edge="e", incarnation="i", nonce="n", applied=0)
    [entry] = encode_commands([beat, beat, beat], "bng1")
    entry[3] = entry[3].replace(b"Heartbeat", b"Unheard")
    first, second, third = sent_of([(ID, entry)])

    assert isinstance(second, Unreadable)
    assert (second.by, "Unheard" in second.reason) == ("bng1", True)
    assert first == third == Sent(entry_id=ID.decode(), by="bng1", command=beat)


@given(any_of(COMMAND_CLASSES), st.data())
def test_damaged_rows_raise_nothing(command: Any, data: st.DataObject) -> None:
    """A row with a value too few or too many, or another header, is unreadable or says itself."""
    assume(not any("\t" in str(text) for text in astuple(command)))
    [[header, row]] = encode_commands([command], "bng1")
    values = row.split(b"\t")
    at = data.draw(st.integers(0, len(values)))
    other = data.draw(st.binary(max_size=8))
    fewer = b"\t".join([*values[:at], *values[at + 1 :]])
    more = b"\t".join([*values[:at], other, *values[at:]])
    for names, told in ((header, fewer), (header, more), (header + b" " + other, row)):
        for sent in sent_of([(ID, [names, told])]):
            is_whole = (names, told) == (header, row)
            assert is_whole or isinstance(sent, Unreadable)


def test_an_entry_holds_so_many_commands() -> None:
    """One with more, or with none, is refused whole: what one append has to decide is bounded."""
    beat = Heartbeat(edge="e", incarnation="i", nonce="n", applied=0)
    [entry] = encode_commands([beat], "bng1")

    assert len(sent_of([(ID, entry * MAX_ROWS)])) == MAX_ROWS
    for bad in (entry * (MAX_ROWS + 1), []):
        [refused] = sent_of([(ID, bad)])
        assert isinstance(refused, Unreadable)
        assert refused.entry_id == ID.decode()


@given(any_of(ANSWER_CLASSES))
def test_answers_round_trip(answer: Any) -> None:
    """Every answer comes back equal."""
    assert answer == decode_answer(ID, encode_answer(answer).flat())


def as_shown(entry_id: str, entry: Fields) -> str:
    """One line as redis-cli shows an entry: id, then names and values, text in quotes."""
    pairs = (f'{name.decode()} "{value.decode()}"' for name, value in entry.items())
    return " ".join((entry_id, *pairs))


def golden_batch(reads: int) -> Batch:
    return build(
        HEAD,
        SAMPLES,
        by="allocator-1",
        epoch=3,
        commit_ms=1763900000000,
        batch_id="b",
        reads=reads,
    )


def golden_lines(reads: int) -> list[str]:
    batch = golden_batch(reads)
    return [
        as_shown(record.entry_id, by_name(entry.flat()))
        for record, entry in zip(batch.records, batch.event_fields, strict=True)
    ]


@pytest.mark.parametrize("reads", READS)
def test_golden_files(reads: int) -> None:
    """The stored form of every event type stands in a file; a change of format shows there."""
    lines = (GOLDEN / f"events-v{reads}.txt").read_text().splitlines()

    assert {type(sample) for sample in SAMPLES} == set(EVENT_CLASSES)
    assert lines == golden_lines(reads)


@pytest.mark.parametrize("reads", READS)
def test_golden_files_are_read(reads: int) -> None:
    """What was ever written is read, and its chain holds: another file is another form of it."""
    records = []
    for line in (GOLDEN / f"events-v{reads}.txt").read_text().splitlines():
        entry_id, _, fields = line.partition(" ")
        told = [part for pair in re.findall(r'([a-z_]+) "([^"]*)"', fields) for part in pair]
        records.append(decode_event(entry_id.encode(), [part.encode() for part in told]))

    assert [record.event for record in records] == list(SAMPLES)
    assert records == list(golden_batch(reads).records)
    assert advance_all(Position("g"), records).seq == len(SAMPLES)


def test_versions_of_a_log_mix() -> None:
    """A log goes on in another version where it is, and its chain with it (I3)."""
    head, records = HEAD, []
    for number, reads in enumerate((2, 1, 2, 1)):
        batch = build(
            head, SAMPLES, by="a", epoch=3, commit_ms=5, batch_id=f"{number}", reads=reads
        )
        for record, entry in zip(batch.records, batch.event_fields, strict=True):
            records.append(decode_event(record.entry_id.encode(), entry.flat()))
        head = batch.after

    assert advance_all(Position("g"), records).h == head.h


def test_order_of_fields() -> None:
    """Envelope and subject come first for every type, then what the type needs."""
    assert b"v type ep mac ip pool line cause req h host".split() == list(stored(SAMPLES[3]))
    former = list(stored(SAMPLES[3], reads=1))
    assert b"v type ep mac ip pool line cause req by h host".split() == former
    offer = RequestOffer(req="r", mac=MAC, line="access0", wanted=IP)
    assert [e[::2] for e in encode_commands([offer], "b")] == [[b"v cmd by mac line req wanted"]]
    answer = Offered(req="r", ip=IP, pool="res-1")
    assert tuple(b"v answer ip pool req".split()) == encode_answer(answer).names


def test_defaults_are_left_out() -> None:
    """An attribute with its default takes no space and comes back as the default."""
    command = RequestLease(req="r", mac=MAC, line="access0", ip=IP, kind="renewing")
    [[header, row]] = encode_commands([command], "bng1")

    assert header.split() == b"v cmd by mac ip line req kind".split()
    assert row.count(b"\t") == header.count(b" ")
    assert [command] == [sent.command for sent in sent_of([(ID, [header, row])])]


@given(TEXT, TEXT)
def test_hostile_text_stays_in_its_field(host: str, cause: str) -> None:
    """Whatever a client calls itself, every other field of the entry stays as it was."""
    plain = LeaseAssigned(**BINDING, cause="x", host="y")
    hostile = LeaseAssigned(**BINDING, cause=cause, host=host)
    expected = stored(plain) | {b"cause": cause.encode(), b"host": host.encode()}
    if not host:
        del expected[b"host"]

    assert expected == stored(hostile)
    assert hostile == decode_event(ID, flat_of(stored(hostile))).event


@pytest.mark.parametrize(
    ("field", "value"),
    [(b"type", b"LeaseGranted"), (b"v", b"3"), (b"v", b""), (b"type", b"Heartbeat")],
)
def test_unknown_type_or_version(field: bytes, value: bytes) -> None:
    """An event of a newer writer is unreadable, and the error names entry, type and version."""
    entry = stored(SAMPLES[3]) | {field: value}

    with pytest.raises(UnreadableEntryError) as halted:
        decode_event(ID, flat_of(entry))
    assert (ID.decode(), entry[b"type"].decode(), entry[b"v"].decode()) == (
        halted.value.entry_id,
        halted.value.kind,
        halted.value.version,
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"mac", b"02:00:00:00:00:1"),
        (b"mac", b"02:00:00:00:00:AB"),
        (b"mac", b"02-00-00-00-00-17"),
        (b"ip", b"100.64.0"),
        (b"ip", b"100.64.0.023"),
        (b"ip", b"100.64.0.\xb2"),
        (b"ep", b"-1"),
        (b"ep", b"03"),
        (b"ep", b"1_0"),
        (b"ep", b" 3"),
        (b"ep", b""),
        (b"ep", b"9" * 19),
        (b"h", b"0123456789ABCDEF"),
        (b"h", b"0123"),
        (b"h", b"-0"),
        (b"h", b" 1"),
        (b"h", b"1_0"),
        (b"h", b"+1"),
        (b"h", b"9223372036854775808"),
        (b"h", b"-9223372036854775809"),
        (b"cause", b"x" * (MAX_VALUE_OCTETS + 1)),
        (b"host", b""),
        (b"host", b"a\0b"),
        (b"extra", b"1"),
    ],
)
def test_malformed_fields(field: bytes, value: bytes) -> None:
    """Every value has one form; anything else, and any unknown field, is unreadable."""
    with pytest.raises(UnreadableEntryError):
        decode_event(ID, flat_of(stored(SAMPLES[3]) | {field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [(b"h", b"0123456789ABCDEF"), (b"h", b"0123"), (b"h", b"81985529216486895"), (b"by", b"\xff")],
)
def test_malformed_former_fields(field: bytes, value: bytes) -> None:
    """What version 1 says has one form too."""
    with pytest.raises(UnreadableEntryError):
        decode_event(ID, flat_of(stored(SAMPLES[3], reads=1) | {field: value}))


@pytest.mark.parametrize("reads", READS)
@pytest.mark.parametrize("field", [b"v", b"type", b"ep", b"mac", b"req", b"by", b"h"])
def test_missing_or_misplaced_fields(field: bytes, reads: int) -> None:
    """A field that is missing or stands elsewhere makes the entry unreadable."""
    entry = stored(SAMPLES[3], reads)
    value = entry.pop(field, None)

    if value is None:
        value = b"allocator-1"
    else:
        with pytest.raises(UnreadableEntryError):
            decode_event(ID, flat_of(entry))
    with pytest.raises(UnreadableEntryError):
        decode_event(ID, flat_of(entry | {field: value}))


@pytest.mark.parametrize("entry_id", [b"", b"5", b"5-", b"-5", b"05-1", b"5-1-1", b"5-\xff"])
def test_malformed_ids(entry_id: bytes) -> None:
    """An id that is not <ms>-<seq> makes the entry unreadable."""
    with pytest.raises(UnreadableEntryError):
        decode_event(entry_id, flat_of(stored(SAMPLES[0])))


@given(st.dictionaries(st.binary(max_size=8), st.binary(max_size=600), max_size=15))
def test_garbage_raises_nothing_else(entry: dict[bytes, bytes]) -> None:
    """Whatever stands in a stream, decoding raises UnreadableEntryError and nothing else."""
    for decode in (decode_event, decode_answer):
        with pytest.raises(UnreadableEntryError):
            decode(ID, flat_of(entry))
    assert all(isinstance(sent, Unreadable) for sent in sent_of([(ID, flat_of(entry))]))


@given(any_of(EVENT_CLASSES), st.data())
def test_damaged_events_raise_nothing_else(event: Any, data: st.DataObject) -> None:
    """A damaged value is either read as another value or unreadable; never another error."""
    entry = stored(event)
    entry[data.draw(st.sampled_from(list(entry)))] = data.draw(st.binary(max_size=40))
    try:
        record = decode_event(ID, flat_of(entry))
    except UnreadableEntryError:
        return
    again = encode_event(record.event, epoch=record.epoch, by=record.by, h=record.h)
    assert entry == by_name(again)


@pytest.mark.parametrize(
    "event",
    [
        LeaseAssigned(**BINDING, cause="x" * (MAX_VALUE_OCTETS + 1)),
        LeaseAssigned(**BINDING, cause="\ud800"),
        LeaseAssigned(**BINDING, cause="a\0b"),
        LeaseAssigned(**(BINDING | {"mac": Mac(1 << 48)}), cause="x"),
        LeaseAssigned(**(BINDING | {"ip": Ipv4(1 << 32)}), cause="x"),
        LeaseAssigned(**(BINDING | {"ip": Ipv4(-1)}), cause="x"),
        HorizonGranted(edge="e", incarnation="i", nonce="n", horizon_s=-1),
        HorizonGranted(edge="e", incarnation="i", nonce="n", horizon_s=10**18),
    ],
)
def test_nothing_unreadable_is_written(event: Event) -> None:
    """What no reader would accept is refused before it could halt every reader."""
    with pytest.raises(ValueError):
        stored(event)
    with pytest.raises(ValueError):
        encode_commands(
            [Heartbeat(edge="e", incarnation="i", nonce="n" * (MAX_VALUE_OCTETS + 1), applied=0)],
            "bng1",
        )


@given(any_of(EVENT_CLASSES), st.data())
def test_every_octet_counts_in_the_hash(event: Any, data: st.DataObject) -> None:
    """Changing a field, the id or the hash before changes the hash; `h` is no part of it.

    Version and type are, too, but of another one there is nothing to hash.
    """
    entry = stored(event)
    field = data.draw(st.sampled_from(sorted(set(entry) - {b"h", b"v", b"type"})))
    value = data.draw(
        st.binary(max_size=20).filter(lambda octets: octets != entry[field] and 0 not in octets)
    )
    base = chain(bytes(8), hashed_octets(ID, entry))

    assert len(base) == 8
    assert base != chain(bytes(8), hashed_octets(ID, entry | {field: value}))
    assert base != chain(bytes(8), hashed_octets(b"1763900000000-8", entry))
    assert base != chain(b"\x01" * 8, hashed_octets(ID, entry))
    assert base == chain(bytes(8), hashed_octets(ID, entry | {b"h": b"else"}))


def test_hash_is_unambiguous() -> None:
    """Moving octets between value, name and neighbour gives other octets to hash."""
    one = stored(LeaseAssigned(**BINDING, cause="ab", host="c"))
    other = stored(LeaseAssigned(**BINDING, cause="a", host="bc"))

    assert hashed_octets(ID, one) != hashed_octets(ID, other)
    assert hashed_octets(ID, one) != hashed_octets(b"1763900000000-77", one)
    with pytest.raises(UnreadableEntryError):
        decode_event(ID, flat_of(one | {b"cause": b"a\0b"}))


@given(st.lists(any_of(EVENT_CLASSES), min_size=1, max_size=6))
def test_records_carry_the_expected_hash(events: list[Any]) -> None:
    """A reader that has only decoded records can check the chain."""
    batch = build(HEAD, events, by="a", epoch=3, commit_ms=5, batch_id="b")
    previous = HEAD.h
    for record, entry in zip(batch.records, batch.event_fields, strict=True):
        entry_id = record.entry_id.encode()
        read = decode_event(entry_id, entry.flat())
        assert record == read
        assert record.octets == read.octets == hashed_octets(entry_id, by_name(entry.flat()))
        assert record.h == expected_hash(previous, record)
        previous = record.h


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"100.64.0.9-100.64.0.5",
        b"100.64.0.5-100.64.0.5",
        b"100.64.0.5 100.64.0.6",
        b"100.64.0.9 100.64.0.5",
        b"100.64.0.5-100.64.0.9 100.64.0.7",
        b"100.64.0.5  100.64.0.9",
        b"100.64.0.5-",
        b"0.0.0.0-255.255.255.255",
        b" ".join(b"100.64.%d.0-100.64.%d.200" % (n, n) for n in range(60)),
        b" ".join(b"10.0.0.%d" % (2 * n) for n in range(65)),
    ],
)
def test_addresses_of_a_stock_have_one_form(told: bytes) -> None:
    """Runs that are no runs, out of order, or of more addresses than may be, are unreadable."""
    fields = [b"v", b"1", b"answer", b"Stocked", b"pool", b"res-1", b"req", b"r"]

    with pytest.raises(UnreadableEntryError):
        decode_answer(ID, [*fields, b"ips", told, b"hold_s", b"60"])
