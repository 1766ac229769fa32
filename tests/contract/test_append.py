"""Appending: whole batches in order, once each, or nothing."""

import asyncio
import random
from dataclasses import replace

import pytest

from lease_core.domain.commands import Heartbeat, Refused, Sent
from lease_core.log.errors import (
    ClockError,
    ConflictError,
    FencedError,
    ForeignLogError,
    LogError,
)
from lease_core.log.port import MAX_ANSWERS, ZERO_ID, Answered, Batch, SiteLog
from lease_core.log.writer import commit, restamp
from tests.contract.backends import Backend
from tests.contract.story import GENESIS, LONG_MS, batch_of, begun, known_head, lease, written
from tests.histories import expected_hash


def heartbeat(number: int) -> Heartbeat:
    return Heartbeat(edge="bng1", incarnation="a", nonce=f"n{number}", applied=number)


async def test_records_come_back_as_they_were_written(log: SiteLog) -> None:
    """What build says that the log will hold is what every reader gets, ids and hashes included."""
    head = await begun(log)
    first = await written(log, head, [lease(1), lease(2)], "a")
    second = await written(log, first.after, [lease(3)], "b")

    assert [*first.records, *second.records] == await log.read(ZERO_ID)
    assert second.after == await known_head(log)


async def test_ids_are_dense_and_never_go_back(log: SiteLog) -> None:
    """Sequence numbers run from 1 without gaps, commit times never sink, hashes chain."""
    head = await begun(log)
    for number in range(20):
        head = (await written(log, head, [lease(number)] * (number % 3 + 1), f"b{number}")).after
    records = await log.read(ZERO_ID)

    assert list(range(1, head.seq + 1)) == [record.seq for record in records]
    assert sorted(record.commit_ms for record in records) == [r.commit_ms for r in records]
    previous = "00" * 8
    for record in records:
        assert expected_hash(previous, record) == record.h
        previous = record.h
    assert previous == head.h


async def test_duplicate_batch_returns_the_first_result(backend: Backend, log: SiteLog) -> None:
    """The same batch again writes nothing and returns what the first append returned."""
    head = await begun(log)
    batch = await batch_of(log, head, [lease(1)], "a", answers=[Refused(req="r", reason="full")])
    first = await log.append(batch)
    before = await backend.dump()
    again = await backend.client().append(batch)

    assert replace(first, is_duplicate=True) == again
    assert before == await backend.dump()


async def test_batch_id_of_another_batch_is_a_conflict(log: SiteLog) -> None:
    """An id that stands in the log with other events is no success for these events."""
    head = await begun(log)
    batch = await written(log, head, [lease(1)], "a")

    with pytest.raises(ConflictError):
        await log.append(restamp(batch, batch.commit_ms + 1))


async def refused_variants(log: SiteLog, batch: Batch) -> list[tuple[Batch, type[LogError]]]:
    before, after = batch.before, batch.after
    return [
        (replace(batch, before=replace(before, genesis="other")), ForeignLogError),
        (replace(batch, after=replace(after, epoch=before.epoch - 1)), FencedError),
        (replace(batch, after=replace(after, epoch=before.epoch + 1)), FencedError),
        (replace(batch, before=replace(before, seq=before.seq + 1)), ConflictError),
        (replace(batch, before=replace(before, h="ff" * 8)), ConflictError),
        (restamp(batch, batch.commit_ms + 10_000), ClockError),
        (restamp(batch, batch.commit_ms - 10_000), ClockError),
    ]


async def test_refused_batch_leaves_nothing_behind(backend: Backend, log: SiteLog) -> None:
    """Wrong genesis, epoch, seq, hash or time: refused by name, and not one octet changes."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    cursor = await log.send(heartbeat(1), "bng1")
    batch = await batch_of(
        log, head, [lease(2), lease(3)], "b", cursor=cursor, answers=[Refused(req="r", reason="x")]
    )
    before = await backend.dump()

    for variant, error in await refused_variants(log, batch):
        with pytest.raises(error):
            await log.append(variant)
        assert before == await backend.dump()
    assert (await log.append(batch)).seq == 3


async def test_a_log_that_ends_elsewhere_than_its_head_says_is_not_written(
    backend: Backend, log: SiteLog
) -> None:
    """I3, I4: an event that somebody else put behind the last one, or events that are gone while
    the head is there, are found by the next append, which writes nothing."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    batch = await batch_of(log, head, [lease(2)], "b")
    await backend.add_raw("events", f"{batch.commit_ms}-2", {b"type": b"Stray"})
    before = await backend.dump()
    with pytest.raises(ForeignLogError):
        await log.append(await batch_of(log, head, [lease(2)], "b"))
    assert before == await backend.dump()

    await backend.lose_events()
    before = await backend.dump()
    with pytest.raises(ForeignLogError):
        await log.append(batch)
    assert before == await backend.dump()


async def test_a_log_without_one_event_is_not_written(backend: Backend, log: SiteLog) -> None:
    """I3: where each event was deleted the stream is there and empty, and still no beginning."""
    head = (await written(log, await begun(log), [lease(1), lease(2)], "a")).after
    await backend.drop_events({1, 2})
    before = await backend.dump()
    with pytest.raises(ForeignLogError, match="its events are gone"):
        await log.append(await batch_of(log, head, [lease(3)], "b"))
    assert before == await backend.dump()


async def test_refusals_say_where_the_log_stands(log: SiteLog) -> None:
    """A refused writer learns the epoch, or the seq and hash, that stand."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    batch = await batch_of(log, head, [lease(2)], "b")

    with pytest.raises(FencedError) as fenced:
        await log.append(replace(batch, after=replace(batch.after, epoch=9)))
    with pytest.raises(ConflictError) as conflict:
        await log.append(replace(batch, before=replace(head, seq=0)))
    assert fenced.value.current_epoch == head.epoch
    assert (head.seq, head.h) == (conflict.value.seq, conflict.value.h)


async def test_deposed_writer_is_fenced(backend: Backend) -> None:
    """After another allocator began an epoch, the old one appends nothing any more (I5)."""
    old, new = backend.client(), backend.client()
    head = await begun(old)
    await old.claim("allocator-1", 1, GENESIS)
    await asyncio.sleep(0.02)
    await new.claim("allocator-2", LONG_MS, GENESIS)

    with pytest.raises(FencedError):
        await written(old, head, [lease(1)], "late")
    assert await new.read(ZERO_ID) == []


async def test_clock_error_names_a_time_that_is_taken(log: SiteLog) -> None:
    """The writer that takes over the time in ClockError succeeds, and commit does so by itself."""
    head = await begun(log)
    batch = await batch_of(log, head, [lease(1)], "a", commit_ms=1)
    with pytest.raises(ClockError) as refused:
        await log.append(batch)
    stamped, appended = await commit(log, batch)

    assert abs(stamped.commit_ms - refused.value.commit_ms) < 5_000
    assert (stamped.after.h, stamped.after.last_id) == (appended.h, appended.last_id)
    assert list(stamped.records) == await log.read(ZERO_ID)


async def test_time_never_falls_below_the_last_entry(log: SiteLog) -> None:
    """When the log's clock is behind the last id, the last id's time goes on."""
    head = await begun(log)
    early = await batch_of(log, head, [lease(1)], "a", commit_ms=await log.now_ms() + 900)
    await log.append(early)
    late = await batch_of(log, early.after, [lease(2)], "b", commit_ms=early.commit_ms - 200)

    with pytest.raises(ClockError) as refused:
        await log.append(late)
    assert early.commit_ms == refused.value.commit_ms
    assert (await log.append(restamp(late, early.commit_ms))).last_id == f"{early.commit_ms}-2"


async def test_cursor_moves_with_the_events(log: SiteLog) -> None:
    """The command cursor moves in the step that writes their effect, and only then."""
    head = await begun(log)
    ids = [await log.send(heartbeat(number), "bng1") for number in range(4)]
    first = await written(log, head, [lease(1)], "a", cursor=ids[1])

    assert ids[1] == (await known_head(log)).cursor
    second = await written(log, first.after, [lease(2)], "b")
    assert ids[1] == second.after.cursor == (await known_head(log)).cursor


async def test_append_without_events_answers_and_moves_the_cursor(log: SiteLog) -> None:
    """Commands that change nothing are consumed too; seq and hash stay."""
    head = await begun(log)
    cursor = await log.send(heartbeat(1), "bng1")
    answer = Refused(req="r1", reason="pool_full")
    batch = await written(log, head, [], "a", cursor=cursor, answers=[answer], commit_ms=1)
    [answered] = await log.answers(ZERO_ID)

    assert isinstance(answered, Answered)
    assert answer == answered.answer
    assert await log.last_answer_id() == answered.entry_id
    assert replace(head, batch="a", cursor=cursor) == batch.after == await known_head(log)


async def test_cursor_does_not_go_back(backend: Backend, log: SiteLog) -> None:
    """A batch that would un-consume commands is our bug, and is refused whole."""
    head = await begun(log)
    ids = [await log.send(heartbeat(number), "bng1") for number in range(2)]
    head = (await written(log, head, [], "a", cursor=ids[1])).after
    before = await backend.dump()

    with pytest.raises(ValueError, match="cursor"):
        await written(log, head, [lease(1)], "b", cursor=ids[0])
    assert before == await backend.dump()


async def test_a_command_comes_behind_the_cursor(log: SiteLog) -> None:
    """A server whose clock is behind what it lost puts no command where nobody reads it."""
    head = await begun(log)
    ahead = f"{await log.now_ms() + 60_000}-7"
    await written(log, head, [], "a", cursor=ahead)
    ids = [await log.send(heartbeat(number), "bng1") for number in range(3)]

    assert [sent.entry_id for sent in await log.commands(ahead)] == ids
    assert len(set(ids)) == 3


async def test_commands_are_trimmed_only_below_the_cursor(log: SiteLog) -> None:
    """Consumed commands go; every one behind the cursor stays readable."""
    head = await begun(log)
    ids = [await log.send(heartbeat(number), "bng1") for number in range(10)]
    await written(log, head, [], "a", cursor=ids[6])
    left = [sent.entry_id for sent in await log.commands(ZERO_ID)]

    assert ids[6:] == left
    assert ids[7:] == [sent.entry_id for sent in await log.commands(ids[6])]


async def test_answers_are_capped(backend: Backend, log: SiteLog) -> None:
    """However many answers are written, about MAX_ANSWERS newest ones are kept."""
    head = await begun(log)
    for part in range(3):
        answers = [Refused(req=f"{part}-{i}", reason="x") for i in range(MAX_ANSWERS // 2)]
        head = (await written(log, head, [], f"b{part}", answers=answers)).after
    _, [_, _, kept] = await backend.dump()

    assert MAX_ANSWERS <= len(kept) <= MAX_ANSWERS + 200
    last = await log.answers(ZERO_ID, count=1)
    assert last[0].entry_id != await log.last_answer_id()


async def test_racing_writers_write_each_batch_once_and_whole(backend: Backend) -> None:
    """Writers under one epoch that race by compare-and-set never tear or repeat a batch."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    await begun(backend.client())
    sizes = {f"w{w}-{i}": chance.randint(0, 4) for w in range(4) for i in range(8)}

    async def writer(number: int) -> None:
        log = backend.client()
        for i in range(8):
            name = f"w{number}-{i}"
            events = [lease(k, cause=name) for k in range(sizes[name])]
            while True:
                try:
                    await written(log, await known_head(log), events, name)
                    break
                except ConflictError:
                    await asyncio.sleep(chance.random() / 1000)

    await asyncio.gather(*(writer(number) for number in range(4)))
    records = await backend.client().read(ZERO_ID)
    causes = [record.event.cause for record in records]  # type: ignore[union-attr]

    assert list(range(1, len(records) + 1)) == [record.seq for record in records]
    assert {name: size for name, size in sizes.items() if size} == {
        name: causes.count(name) for name in dict.fromkeys(causes)
    }
    runs = [name for i, name in enumerate(causes) if i == 0 or causes[i - 1] != name]
    assert len(runs) == len(set(runs)), "a batch was torn apart"


async def test_sites_do_not_see_each_other(backend: Backend) -> None:
    """Two sites on one server are two logs."""
    here, there = backend.client("ams01"), backend.client("fra01")
    await written(here, await begun(here), [lease(1)], "a")

    assert await there.head() is None
    assert await there.read(ZERO_ID) == []


async def test_text_of_strangers_stays_inside_its_field(log: SiteLog) -> None:
    """Line ends, control octets, quotes and field names in a host name change no other field."""
    hostile = replace(lease(1), host='a\r\nv 1 type X\x01" h ffff', cause="'; FLUSHALL\n")
    batch = await written(log, await begun(log), [hostile, lease(2)], "a")

    assert list(batch.records) == await log.read(ZERO_ID)


async def test_commands_keep_order_and_sender(log: SiteLog) -> None:
    """Commands come back in the order in which they were sent, with who sent them."""
    first = await log.send(heartbeat(0), "bng1")
    rest = await log.send_many([heartbeat(1), heartbeat(2)], "bng2")
    got = await log.commands(ZERO_ID)

    assert got == [
        Sent(entry_id=first, by="bng1", command=heartbeat(0)),
        Sent(entry_id=rest, by="bng2", command=heartbeat(1)),
        Sent(entry_id=rest, by="bng2", command=heartbeat(2)),
    ]
