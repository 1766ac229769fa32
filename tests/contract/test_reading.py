"""Reading: order, waiting, and what a reader does with what it cannot read."""

import asyncio
import time

import pytest

from lease_core.domain.commands import Heartbeat, Refused, Sent
from lease_core.log.errors import ForeignLogError, LogUnavailableError, UnreadableEntryError
from lease_core.log.layout import by_name
from lease_core.log.port import ZERO_HASH, ZERO_ID, Answered, Followed, SiteLog, Unreadable
from lease_core.log.wire import MAX_ROWS, encode_event
from tests.contract.backends import Backend
from tests.contract.story import GENESIS, LONG_MS, begun, known_head, lease, written
from tests.histories import expected_hash

HEARTBEAT = Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0)


async def test_read_goes_on_behind_a_position(log: SiteLog) -> None:
    """after_id is exclusive and count bounds a read: pages join without overlap or gap."""
    batch = await written(log, await begun(log), [lease(n) for n in range(7)], "a")
    pages, position = [], ZERO_ID
    while page := await log.read(position, count=3):
        pages.append(page)
        position = page[-1].entry_id

    assert [len(page) for page in pages] == [3, 3, 1]
    assert list(batch.records) == [record for page in pages for record in page]


async def test_blocking_read_wakes_on_append(backend: Backend, log: SiteLog) -> None:
    """A waiting reader gets the batch as soon as it is appended, whole."""
    head = await begun(log)
    waiting = asyncio.create_task(backend.client().read(ZERO_ID, block_ms=5_000))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    started = time.monotonic()
    batch = await written(log, head, [lease(1), lease(2)], "a")

    assert list(batch.records) == await waiting
    assert time.monotonic() - started < 2


async def test_blocking_read_ends_empty(log: SiteLog) -> None:
    """A reader that waits in vain returns nothing after about block_ms."""
    await begun(log)
    started = time.monotonic()

    assert await log.read(ZERO_ID, block_ms=100) == []
    assert 0.05 < time.monotonic() - started < 2


async def test_cancelled_read_leaves_the_client_usable(log: SiteLog) -> None:
    """Cancelling a waiting read mixes up no later reply."""
    head = await begun(log)
    waiting = asyncio.create_task(log.read(ZERO_ID, block_ms=5_000))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    batch = await written(log, head, [lease(1)], "a")

    assert list(batch.records) == await log.read(ZERO_ID)


async def test_commands_wake_a_waiting_allocator(backend: Backend, log: SiteLog) -> None:
    """A waiting allocator gets a command as soon as it is sent."""
    waiting = asyncio.create_task(log.commands(ZERO_ID, block_ms=5_000))
    await asyncio.sleep(0.05)
    entry_id = await backend.client().send(HEARTBEAT, "bng1")

    assert [Sent(entry_id=entry_id, by="bng1", command=HEARTBEAT)] == await waiting


@pytest.mark.parametrize("what", ["event", "answer"])
async def test_follow_wakes_on_either_stream(backend: Backend, log: SiteLog, what: str) -> None:
    """An edge waits on events and answers at once, and gets whichever comes."""
    head = await begun(log)
    waiting = asyncio.create_task(backend.client().follow(ZERO_ID, ZERO_ID, block_ms=5_000))
    await asyncio.sleep(0.05)
    answer = Refused(req="r1", reason="pool_full")
    if what == "event":
        batch = await written(log, head, [lease(1)], "a")
        assert Followed(records=list(batch.records), answers=[]) == await waiting
    else:
        await written(log, head, [], "a", answers=[answer])
        [answered] = (await waiting).answers
        assert isinstance(answered, Answered)
        assert answer == answered.answer


async def test_follow_without_waiting(log: SiteLog) -> None:
    """With nothing new and no block, follow returns two empty lists."""
    assert Followed(records=[], answers=[]) == await log.follow(ZERO_ID, ZERO_ID)
    assert await log.last_answer_id() == ZERO_ID


async def test_unknown_event_halts_the_reader(backend: Backend, log: SiteLog) -> None:
    """An unreadable event is never skipped: what stands before it is read, then reading stops."""
    batch = await written(log, await begun(log), [lease(n) for n in range(3)], "a")
    await backend.edit_event(1, lambda entry: entry.update({b"v": b"9"}))

    assert list(batch.records[:1]) == await log.read(ZERO_ID)
    with pytest.raises(UnreadableEntryError) as halted:
        await log.read(batch.records[0].entry_id)
    assert (batch.records[1].entry_id, "LeaseAssigned", "9") == (
        halted.value.entry_id,
        halted.value.kind,
        halted.value.version,
    )


async def test_edited_field_breaks_the_hash_chain(backend: Backend, log: SiteLog) -> None:
    """Whoever rewrites history with redis-cli is found out at the very entry."""
    await written(log, await begun(log), [lease(n) for n in range(5)], "a")
    await backend.edit_event(2, lambda entry: entry.update({b"ip": b"100.64.9.9"}))
    records = await log.read(ZERO_ID)
    previous = [ZERO_HASH, *(record.h for record in records)]
    broken = [
        record.seq
        for before, record in zip(previous, records, strict=False)
        if expected_hash(before, record) != record.h
    ]

    assert broken == [3]


async def test_unreadable_command_is_told_and_passed(backend: Backend, log: SiteLog) -> None:
    """A bad command stops nobody: it is returned as Unreadable and the next ones are read."""
    await begun(log)
    await backend.add_raw("commands", "*", {b"v": b"1", b"cmd": b"Format", b"by": b"e\n"})
    await backend.add_raw("commands", "*", {b"x": b"\xff" * 600})
    entry_id = await log.send(HEARTBEAT, "bng1")
    first, second, third = await log.commands(ZERO_ID)

    assert isinstance(first, Unreadable)
    assert "Format" in first.reason
    assert first.by == "e\\x0a"
    assert isinstance(second, Unreadable)
    assert Sent(entry_id=entry_id, by="bng1", command=HEARTBEAT) == third


async def test_unreadable_answer_is_told(backend: Backend, log: SiteLog) -> None:
    """An answer that an edge cannot read costs that answer, not the edge."""
    await backend.add_raw("answers", "*", {b"v": b"7", b"answer": b"Offered"})
    [answer] = await log.answers(ZERO_ID)

    assert isinstance(answer, Unreadable)


async def test_entry_beside_the_writer_stops_the_log(backend: Backend, log: SiteLog) -> None:
    """An event that was added past the append script is noticed before anything follows it."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    entry = by_name(encode_event(lease(2), epoch=1, by="me", h="00" * 8))
    await backend.add_raw("events", f"{batch.commit_ms}-2", entry)
    before = await backend.dump()

    with pytest.raises(ForeignLogError):
        await written(log, batch.after, [lease(3)], "b")
    assert before == await backend.dump()


async def test_flushed_store_is_a_foreign_log(backend: Backend, log: SiteLog) -> None:
    """After FLUSHALL nothing is appended or claimed; the head says that no log is there."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    await backend.flush()

    with pytest.raises(ForeignLogError):
        await written(log, head, [lease(2)], "b")
    with pytest.raises(ForeignLogError):
        await log.claim("allocator-1", LONG_MS, GENESIS)
    assert await log.head() is None
    assert await log.read(ZERO_ID) == []


async def test_reports_of_edges(backend: Backend, log: SiteLog) -> None:
    """Each edge's last report replaces the one before; an empty one is a report too."""
    assert await log.reports() == {}
    await log.report("bng2", {"applied": "5", "state": "live"})
    await log.report("bng1", {"applied": "3"})
    await log.report("bng2", {"applied": "6"})

    assert await backend.client().reports() == {"bng1": {"applied": "3"}, "bng2": {"applied": "6"}}
    await log.report("bng1", {})
    assert await log.reports() == {"bng1": {}, "bng2": {"applied": "6"}}


async def test_queue_of_commands_is_bounded(
    backend: Backend, log: SiteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When too many commands wait, further ones are refused whole and none is dropped (I12)."""
    for module in ("redis_log", "memory_log"):
        monkeypatch.setattr(f"lease_core.log.{module}.MAX_SENT", 5)
    for _ in range(4):
        await log.send(HEARTBEAT, "bng1")

    with pytest.raises(LogUnavailableError):
        await log.send_many([HEARTBEAT] * (MAX_ROWS + 1), "bng1")
    assert len(await log.commands(ZERO_ID)) == 4
    await log.send_many([HEARTBEAT] * MAX_ROWS, "bng1")
    assert await log.send_many([], "bng1") == ""


async def test_outage_and_return(backend: Backend, log: SiteLog) -> None:
    """During an outage every call fails with a retryable error; afterwards the log is whole."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    backend.fail()
    try:
        for call in (log.head(), log.read(ZERO_ID), log.send(HEARTBEAT, "bng1"), log.reports()):
            with pytest.raises(LogUnavailableError):
                await call
        with pytest.raises(LogUnavailableError):
            await log.now_ms()
        with pytest.raises(LogUnavailableError):
            await log.claim("allocator-1", LONG_MS, GENESIS)
    finally:
        backend.recover()

    assert batch.after == await known_head(log)
    assert list(batch.records) == await log.read(ZERO_ID)


async def test_status_is_for_a_while(log: SiteLog) -> None:
    """What an allocator says of a site is replaced by the next word, and forgotten in time."""
    assert await log.status() == {}
    await log.set_status({"by": "core-1#a", "is": "leads"}, LONG_MS)
    await log.set_status({"by": "core-2#b", "is": "log.damaged"}, LONG_MS)
    assert await log.status() == {"by": "core-2#b", "is": "log.damaged"}
    await log.set_status({"is": "leads"}, 1)
    await asyncio.sleep(0.02)

    assert await log.status() == {}
