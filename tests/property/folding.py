"""Fold a log that stands in a file, in a process of its own.

    python -m tests.property.folding FILE [CUT...]

Prints the digest of its end: replayed from the beginning, or, if there are cuts, from a snapshot
that is written at each.
"""

import asyncio
import pickle
import sys
from pathlib import Path

from lease_core.domain.ledger import Ledger
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer, Site
from lease_core.log.reader import Position
from lease_core.log.replay import fold, known_head, replay
from lease_core.log.snapshot import write_snapshot

SITE = "ams01"


async def digests(site: Site, cuts: list[int]) -> list[str]:
    log = MemoryLog(SITE, MemoryServer(sites={SITE: site}))
    if not cuts:
        whole, _ = await replay(log)
        return [whole.digest()]
    head = await known_head(log)
    ledger, position, found = Ledger(), Position(head.genesis), []
    for cut in cuts:
        position = await fold(log, ledger, position, until=cut)
        await write_snapshot(log, ledger, position)
        restored, _ = await replay(log)
        found.append(restored.digest())
    return found


if __name__ == "__main__":
    stored = pickle.loads(Path(sys.argv[1]).read_bytes())
    print(*asyncio.run(digests(stored, [int(cut) for cut in sys.argv[2:]])))
