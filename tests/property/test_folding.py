"""A long log means one state, whoever reads it and from where."""

import asyncio
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from lease_core.domain.events import LEASE_VERSION, Event
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer, Site
from lease_core.log.writer import build
from tests.histories import random_history
from tests.property.folding import SITE

ROOT = Path(__file__).parents[2]
EVENTS = 1_000_000 if os.environ.get("LEASE_FULL") else 100_000
STEPS = 2 * EVENTS
CUTS = 5
BATCH = 500


async def written(events: Sequence[Event], chance: random.Random) -> Site:
    """All that a log keeps of a site, with events in the form of now and in that of before."""
    ms = count(1_700_000_000_000)  # of a real clock, collecting garbage may take a second
    server = MemoryServer(now_ms=lambda: next(ms))
    log = MemoryLog(SITE, server)
    await log.create("0d" * 16)
    await log.claim("allocator", 10**9, "0d" * 16)
    for start in range(0, len(events), BATCH):
        head = await log.head()
        assert head
        batch = build(
            head,
            events[start : start + BATCH],
            by="allocator",
            epoch=1,
            commit_ms=await log.now_ms(),
            batch_id=f"from-{start}",
            reads=chance.randint(1, LEASE_VERSION),
        )
        await log.append(batch)
    return server.sites[SITE]


def folded_in(file: Path, hash_seed: str, cuts: Sequence[int] = ()) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-m", "tests.property.folding", file, *map(str, cuts)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.mark.timeout(120 + EVENTS // 1000)
def test_every_process_comes_to_one_state(tmp_path: Path) -> None:
    """I3: processes that order their sets differently, from the first event or from a snapshot at
    any of five, come to one digest."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    events = random_history(seed, STEPS)[:EVENTS]
    assert len(events) == EVENTS
    file = tmp_path / "log"
    file.write_bytes(pickle.dumps(asyncio.run(written(events, chance))))

    whole = [folded_in(file, hash_seed) for hash_seed in ("0", "1", "random")]
    cuts = sorted(chance.sample(range(1, EVENTS), CUTS))
    from_snapshots = folded_in(file, "4711", cuts)

    assert len(from_snapshots) == CUTS
    assert {digest for found in (*whole, from_snapshots) for digest in found} == set(whole[0])
