"""T14: whatever is done to a log behind its writer's back, no reader takes it for whole."""

import os
import random
from collections.abc import Callable

import pytest

from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.log.errors import UnreadableEntryError
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer, Stream
from lease_core.log.reader import BrokenChainError, GapError, Position, Standing, standing
from lease_core.log.replay import fold, replay
from lease_core.log.snapshot import write_snapshot
from lease_core.log.writer import build
from tests.histories import folded, random_history

GENESIS = "0d" * 16
RUNS = 1000 if os.environ.get("LEASE_FULL") else 50
DETECTED = (GapError, BrokenChainError, UnreadableEntryError)


def dropped(_: random.Random, stream: Stream, at: int) -> set[int]:
    """Exactly one event is gone."""
    del stream.ids[at], stream.entries[at]
    return {at + 1}


def doubled(_: random.Random, stream: Stream, at: int) -> set[int]:
    """One event stands twice; those behind it have other numbers."""
    stream.entries.insert(at, list(stream.entries[at]))
    ms, last = stream.ids[-1]
    stream.ids.append((ms, last + 1))
    return set(range(at + 2, last + 2))


def overwritten(_: random.Random, stream: Stream, at: int) -> set[int]:
    """One event stands in the place of the next one too."""
    at = min(at, len(stream.ids) - 2)
    stream.entries[at + 1] = list(stream.entries[at])
    return {at + 2}


def swapped(_: random.Random, stream: Stream, at: int) -> set[int]:
    """Two neighbours have changed places."""
    at = min(at, len(stream.ids) - 2)
    entries = stream.entries
    entries[at], entries[at + 1] = entries[at + 1], entries[at]
    return {at + 1, at + 2}


def edited(chance: random.Random, stream: Stream, at: int) -> set[int]:
    """One field of one event says something else."""
    entry = stream.entries[at]
    place = chance.randrange(1, len(entry), 2)
    entry[place] = _other(entry[place])
    return {at + 1}


def _other(value: bytes) -> bytes:
    """Another value; of a hash one that reads well."""
    last = b"1" if value[-1:] == b"0" else b"0"
    return value[:-1] + last


DAMAGES: dict[str, Callable[[random.Random, Stream, int], set[int]]] = {
    "dropped": dropped,
    "doubled": doubled,
    "overwritten": overwritten,
    "swapped": swapped,
    "edited": edited,
}


async def told(seed: int) -> tuple[MemoryLog, MemoryServer, list[Ledger]]:
    """A history in a log, and the ledger after each of its events."""
    server = MemoryServer()
    log = MemoryLog("ams01", server)
    await log.create(GENESIS)
    await log.claim("allocator", 10**9, GENESIS)
    head = await log.head()
    assert head
    events = random_history(seed, 40)
    batch = build(head, events, by="allocator", epoch=1, commit_ms=await log.now_ms(), batch_id="b")
    await log.append(batch)
    ledger, ledgers = Ledger(), [Ledger()]
    for event in events:
        folded([event], ledger)
        ledgers.append(ledger.copy())
    return log, server, ledgers


async def read_on(log: MemoryLog, ledger: Ledger, position: Position) -> Position:
    """What a reader does: follow, then hold the end against the head."""
    position = await fold(log, ledger, position)
    if standing(position, await log.head()) is not Standing.LIVE:
        raise GapError("the head is elsewhere and nothing comes")
    return position


@pytest.mark.parametrize("kind", sorted(DAMAGES))
async def test_every_damage_is_detected(kind: str) -> None:
    """I4: a reader that is anywhere before a damage finds it, and applies nothing but what was
    written before it."""
    for seed in _seeds():
        chance = random.Random(seed)
        log, server, ledgers = await told(seed)
        ledger, position = Ledger(), Position(GENESIS)
        damage_at = chance.randrange(len(ledgers) - 1)
        before = min(damage_at, len(ledgers) - 3)  # of the last two, both change places
        position = await fold(log, ledger, position, until=chance.randint(0, before))
        changed = DAMAGES[kind](chance, server.site("ams01").events, damage_at)
        with pytest.raises(DETECTED):
            await read_on(log, ledger, position)

        assert ledger.seq < min(changed), f"seed {seed}: applied the damage"
        assert ledger.digest() == ledgers[ledger.seq].digest(), f"seed {seed}"


@pytest.mark.parametrize("kind", sorted(DAMAGES))
async def test_a_snapshot_behind_the_damage_is_the_way_out(kind: str) -> None:
    """I3: a replay of a damaged log gives the true state or none; the true one wherever a
    snapshot stands behind everything that was damaged."""
    recovered = 0
    for seed in _seeds():
        chance = random.Random(seed)
        log, server, ledgers = await told(seed)
        covers = chance.randrange(1, len(ledgers))
        snapped = Ledger()
        position = await fold(log, snapped, Position(GENESIS), until=covers)
        await write_snapshot(log, snapped, position)
        damage_at = chance.randrange(len(ledgers) - 1)
        changed = DAMAGES[kind](chance, server.site("ams01").events, damage_at)
        try:
            ledger, end = await replay(log)
        except (*DETECTED, LedgerError):
            assert max(changed) >= covers, f"seed {seed}: it could be mended"
            continue
        recovered += 1
        assert ledger.digest() == ledgers[-1].digest(), f"seed {seed}"
        assert end.seq == len(ledgers) - 1

    assert recovered or kind == "doubled"


async def test_what_is_cut_off_under_a_reader_is_detected() -> None:
    """A reader that is overtaken by a trim, by whichever number of events, is told of the gap
    and finds its way from the snapshot."""
    for seed in _seeds():
        chance = random.Random(seed)
        log, server, ledgers = await told(seed)
        covers = chance.randrange(2, len(ledgers))
        snapped = Ledger()
        position = await fold(log, snapped, Position(GENESIS), until=covers)
        await write_snapshot(log, snapped, position)
        ledger = Ledger()
        read = chance.randrange(covers - 1)
        position = await fold(log, ledger, Position(GENESIS), until=read)
        server.site("ams01").events.drop(covers - 1)
        with pytest.raises(GapError):
            await read_on(log, ledger, position)
        assert ledger.seq == read
        whole, _ = await replay(log)

        assert whole.digest() == ledgers[-1].digest(), f"seed {seed}"


def _seeds() -> range:
    first = random.randrange(2**32)
    print(f"first seed {first}")
    return range(first, first + RUNS)
