"""Under a load that never ends, no process takes more than it did after the first minutes (I12)."""

import os
from pathlib import Path

import pytest

from scripts.lab import Lab, wait_until
from tests.faults.checker import events_of
from tests.faults.service import Service, acked, renewals

pytestmark = pytest.mark.net

RENEWALS = 6000 if os.environ.get("LEASE_FULL") else 400
GROWTH_KB = 1024
"""Of the resident memory, between the middle and the end of a run."""
STRANGER_KB = 4
"""Whose MAC was never seen: a page of the 16 MiB in which the edge keeps them, once."""


def files_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


@pytest.mark.timeout(120 + RENEWALS // 5)
def test_nothing_grows_under_load(lab: Lab, service: Service) -> None:
    """I12: clients come, renew and leave; neither files nor memory of agent and allocator grow."""
    pids = {"agent": service.edge.pid, "allocator": service.allocator.pid}
    found, clients = [], []
    wait_until(  # the allocator's connection for snapshots opens with the first of them
        lambda: any(event["type"] == "SnapshotTaken" for event in events_of(lab, service.site)),
        "a snapshot", 90,
    )  # fmt: skip
    for part in (1, 2):
        wait_until(
            lambda part=part: renewals(lab, service.site) > part * RENEWALS / 2,  # type: ignore[misc]
            "clients to renew",
            60 + RENEWALS // 10,
        )
        found.append({name: (files_of(pid), resident_kb(pid)) for name, pid in pids.items()})
        clients.append(len(acked(lab, service.site)))
    strangers = clients[1] - clients[0]
    print(found, strangers)
    service.assert_well()

    for name in pids:
        (files, kb), (files_after, kb_after) = (each[name] for each in found)
        assert files_after <= files, name
        assert kb_after - kb < GROWTH_KB + strangers * STRANGER_KB, name
