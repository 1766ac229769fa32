"""Finding the last events of a long log."""

import pytest

from lease_core.cli.events import entry_before
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from tests.contract.story import begun, known_head, lease, written

LENGTH = 4000


@pytest.mark.parametrize("gap_ms", [0, 1, 500, 3_600_000])
@pytest.mark.parametrize("wanted", [1, 20, LENGTH, LENGTH + 7])
async def test_the_last_events_are_found_from_the_end(gap_ms: int, wanted: int) -> None:
    """Nothing that is asked for is passed over, and few are read besides, whatever their times."""
    now = [1_700_000_000_000]
    log = MemoryLog("ams01", MemoryServer(now_ms=lambda: now[0]))
    head = await begun(log)
    for number in range(LENGTH):
        now[0] += gap_ms
        head = (await written(log, head, [lease(number)], f"b{number}")).after
    first = head.seq - wanted + 1

    found = await log.read(await entry_before(log, await known_head(log), first), LENGTH + 1)

    assert found[0].seq <= max(first, 1)
    if gap_ms:
        assert len(found) <= max(4 * wanted, 1000 / gap_ms) + 4
