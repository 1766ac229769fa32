"""Building batches."""

from dataclasses import replace

import pytest

from lease_core.domain.commands import Refused
from lease_core.domain.events import EpochStarted
from lease_core.log.errors import ClockError
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import Batch, Head
from lease_core.log.writer import build, commit, restamp

HEAD = Head(
    genesis="g",
    epoch=1,
    seq=4,
    h="0f" * 8,
    last_id="900-4",
    batch="old",
    cursor="7-0",
    owner="a",
)
EVENTS = [EpochStarted(cause="one"), EpochStarted(cause="two")]


def batch_at(commit_ms: int, head: Head = HEAD) -> Batch:
    answers = [Refused(req="r", reason="x")]
    return build(head, EVENTS, by="a", epoch=2, commit_ms=commit_ms, batch_id="b", answers=answers)


def test_after_is_where_the_log_will_end() -> None:
    """The head after a batch follows from the batch alone."""
    after = batch_at(1000).after

    assert (
        after.genesis,
        after.epoch,
        after.seq,
        after.last_id,
        after.batch,
        after.cursor,
        after.owner,
    ) == ("g", 2, 6, "1000-6", "b", "7-0", "a")
    assert after.h == batch_at(1000).records[-1].h


def test_batch_without_events_keeps_the_end() -> None:
    """Without events only batch and cursor differ after the append."""
    batch = build(HEAD, [], by="a", epoch=1, commit_ms=0, batch_id="b", cursor="8-0")

    assert replace(HEAD, batch="b", cursor="8-0") == batch.after
    assert restamp(batch, 5).after == batch.after


def test_batch_needs_an_id() -> None:
    """Without an id of its own a batch could not be told from the one before."""
    with pytest.raises(ValueError):
        build(HEAD, EVENTS, by="a", epoch=1, commit_ms=0, batch_id="")


def test_restamp_equals_building_anew() -> None:
    """A restamped batch is what build would have made with that time."""
    assert batch_at(2000) == restamp(batch_at(1000), 2000)


def test_time_is_part_of_the_hash() -> None:
    """The same events at another time have other hashes."""
    assert batch_at(1000).after.h != batch_at(1001).after.h


async def test_commit_follows_a_clock_that_runs_behind() -> None:
    """When the server's clock went back, the last entry's time goes on (ids never sink)."""
    times = iter([50_000, 50_000, 20_000, 20_000, 20_000, 20_000])
    log = MemoryLog("ams01", MemoryServer(now_ms=lambda: next(times)))
    await log.create("g")
    await log.claim("a", 1000, "g")
    head = await log.head()
    assert head is not None
    first, _ = await commit(
        log, build(head, EVENTS, by="a", epoch=1, commit_ms=50_000, batch_id="a")
    )
    second, appended = await commit(
        log, build(first.after, EVENTS, by="a", epoch=1, commit_ms=20_000, batch_id="b")
    )

    assert second.commit_ms == 50_000
    assert appended.last_id == "50000-4"


async def test_commit_gives_up_on_a_clock_that_jumps() -> None:
    """A clock that disagrees with itself each time ends in ClockError, not in a loop (I12)."""
    clock = iter(range(10_000_000, 10**12, 10_000_000))
    log = MemoryLog("ams01", MemoryServer(now_ms=lambda: next(clock)))
    await log.create("g")
    await log.claim("a", 10**13, "g")
    head = await log.head()
    assert head is not None

    with pytest.raises(ClockError):
        await commit(log, build(head, EVENTS, by="a", epoch=1, commit_ms=0, batch_id="a"))
    assert await log.read("0-0") == []
