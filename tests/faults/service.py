"""One site's whole service under steady load, for faults that come one after the other."""

import signal
import subprocess
import sys
from collections.abc import Sequence

from scripts.lab import Lab, Namespace, Site, wait_until
from tests.faults.checker import check, events_of
from tests.faults.history import Event, who_of

CLIENTS = 12
UNANSWERED = 20
"""A fault lasts at least until the wire has seen so many messages of a kind."""


class Service:
    """Redis, allocator, edge and load of one site; any of them may be gone."""

    def __init__(self, lab: Lab, site: Site, central: Namespace | None = None) -> None:
        """`central` is where the allocator runs, the core unless told."""
        self.lab, self.site = lab, site
        self._central = central or lab.core
        self._policy = lab.directory / "allocator.toml"
        self._policy.write_text("snapshot_events = 100\nsnapshot_minutes = 1\n")
        self.allocator = self.start_allocator()
        self.edge = lab.start_edge(site)
        words = (sys.executable, "-m", "tests.faults.load", "wire0", CLIENTS)
        self._load = lab.spawn(site.homes.words(*words), "load")

    def start_allocator(self, program: Sequence[object] = ()) -> subprocess.Popen[bytes]:
        words = (
            *(program or self.lab.program("leasectl")), "allocator", "--redis", self.lab.url,
            "--config", self._policy,
        )  # fmt: skip
        return self.lab.spawn(self._central.words(*words), "allocator")

    def quiet(self) -> list[dict[str, object]]:
        """Stop the clients where they are, and once nothing of theirs is on the way whoever
        decides; the whole log then, with every horizon that the edge may have."""
        self._load.send_signal(signal.SIGSTOP)
        seen: list[dict[str, object]] = []

        def is_settled() -> bool:
            before = [event for event in seen if event["type"] != "HorizonGranted"]
            seen[:] = events_of(self.lab, self.site)
            return before == [event for event in seen if event["type"] != "HorizonGranted"]

        wait_until(is_settled, "a quiet log")
        self.allocator.send_signal(signal.SIGSTOP)
        return events_of(self.lab, self.site)

    def go_on(self) -> None:
        for stopped in (self.allocator, self._load):
            stopped.send_signal(signal.SIGCONT)

    def assert_well(self, lost: Sequence[Sequence[Event]] = ()) -> None:
        """A client that was never there is served, all invariants hold, tables equal the log.

        `lost` are logs that Redis once held, see `check`.
        """
        known = acked(self.lab, self.site)
        wait_until(lambda: bool(acked(self.lab, self.site) - known), "a newcomer's address", 30)
        assert check(self.lab, self.site, lost) > 0
        words = (*self.lab.program("edgectl"), "verify", "--config", self.site.config)
        compared = subprocess.run(
            self.site.router.words(*words), capture_output=True, text=True, check=False
        )
        assert compared.returncode == 0, compared.stdout + compared.stderr


def discovers(lab: Lab, site: Site) -> int:
    return sum(message["type"] == "DISCOVER" for message in lab.tapped(site))


def renewals(lab: Lab, site: Site) -> int:
    """ACKs that the kernel gave or may have: the subscriber had one before."""
    seen: set[object] = set()
    count = 0
    for message in lab.tapped(site):
        if message["type"] == "ACK":
            count += who_of(message) in seen
            seen.add(who_of(message))
    return count


def await_load(lab: Lab, site: Site) -> None:
    wait_until(lambda: renewals(lab, site) > UNANSWERED, "a settled load")


def acked(lab: Lab, site: Site) -> set[object]:
    return {who_of(message) for message in lab.tapped(site) if message["type"] == "ACK"}
