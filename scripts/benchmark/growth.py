"""What an operation costs as the work grows: more leases held, more pools; processor time alone."""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from edge_agent.agent.runtime import now
from edge_agent.datapath.xdp import XdpDatapath
from lease_core import audit
from lease_core.clock import elapsed_ns
from lease_core.domain.commands import Command, RequestLease, RequestOffer, Sent
from lease_core.domain.desk import Timing
from lease_core.domain.events import Event, PrefixPlanned
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac, ip_text
from lease_core.log.port import ZERO_HASH, ZERO_ID, Batch, Head
from lease_core.log.reader import Position, advance_all
from lease_core.log.writer import build
from lease_core.service.site_allocator import SiteAllocator
from scripts.benchmark.bare import FIRST_ADDRESS, FIRST_MAC, LINE, assigned, leased, pool_added
from scripts.benchmark.edge import edge_of
from scripts.benchmark.harness import datapath_of
from scripts.benchmark.measure import Table, at_least, run_rounds, say
from tests.histories import read_back

LEASES = (1_000, 10_000, 100_000, 1_000_000)
NEW = 5_000
BATCH = 1_000
POOLS = (1, 10, 100, 1_000)
PER_POOL = 250
REPEATS = 8
FLAT = at_least(0.8)

Case = Callable[[], float]


def measure(rounds: int) -> list[Table]:
    """Audit lines are written as in production, but to nowhere."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        audit.configure(nowhere)
        deciding = {size: _deciding(size) for size in LEASES}
        tables = [_table("Deciding an offer and a lease, so many held", deciding, rounds)]
        with _appliers() as applying:
            tables.append(_table("Applying an event at the edge, so many held", applying, rounds))
        among = {pools: lambda pools=pools: _among(pools) for pools in POOLS}
        tables.append(
            _table("Deciding an offer and a lease in the last of many pools", among, rounds)
        )
    return tables


def _table(title: str, cases: dict[int, Case], rounds: int) -> Table:
    """The smallest is what the others are compared with."""
    table = Table(title, "a second of processor time")
    names = {size: f"{size:,}" for size in cases}
    found = run_rounds({names[size]: case for size, case in cases.items()}, rounds)
    first, *others = names.values()
    table.add(first, found[first])
    for name in others:
        table.add(name, found[name], first, FLAT)
    return table


def _deciding(held: int) -> Case:
    """Newcomers among so many who hold an address; each round's are new ones."""
    say(f"a ledger of {held:,} leases")
    ledger = leased(held, held + 100 * NEW)
    allocator = SiteAllocator("bench", ledger, Timing(), 1, elapsed_ns())
    allocator.begin("bench", elapsed_ns())
    firsts = count(held, NEW)

    def decide() -> float:
        first = next(firsts)
        numbers = range(first, first + NEW)
        return _decided(allocator, [(n, Ipv4(FIRST_ADDRESS + n)) for n in numbers])

    return decide


def _decided(allocator: SiteAllocator, newcomers: Sequence[tuple[int, Ipv4]]) -> float:
    """Commands a second for an offer and a lease each, without a log."""
    commands: list[Command] = []
    for n, ip in newcomers:
        subscriber = {"req": f"r{n}", "mac": Mac(FIRST_MAC + n), "line": LINE}
        commands.append(RequestOffer(**subscriber, wanted=ip))  # type: ignore[arg-type]
        commands.append(RequestLease(**subscriber, ip=ip, kind="selecting"))  # type: ignore[arg-type]
    sent = [Sent(entry_id=f"1-{n}", by="bng1", command=c) for n, c in enumerate(commands, 1)]
    start, events = time.process_time(), 0
    for at in range(0, len(sent), BATCH):
        events += len(allocator.handle(sent[at : at + BATCH], elapsed_ns()).events)
    taken = time.process_time() - start
    assert events == len(newcomers)
    return len(sent) / taken


def _among(pools: int) -> float:
    base = [Ipv4(10 << 24 | number << 8) for number in range(pools)]
    prefixes = [
        PrefixPlanned(
            site="bench",
            pool=f"res-{number}",
            network=f"{ip_text(first)}/24",
            first=Ipv4(first + 2),
            last=Ipv4(first + 254),
            gateway=Ipv4(first + 1),
            dns="",
            lease_time_s=3600,
            cause="bench",
        )
        for number, first in enumerate(base, 1)
    ]
    rates = []
    for _ in range(REPEATS):
        allocator = SiteAllocator("bench", Ledger(), Timing(), 1, elapsed_ns())
        allocator.begin("bench", elapsed_ns())
        allocator.plan(prefixes, elapsed_ns())
        rates.append(_decided(allocator, [(n, Ipv4(base[-1] + 2 + n)) for n in range(PER_POOL)]))
    return len(rates) / sum(1 / rate for rate in rates)


@contextmanager
def _appliers() -> Iterator[dict[int, Case]]:
    """Each with tables of its own, all of them there from the first round to the last."""
    found: dict[int, Case] = {}
    with ExitStack() as stack:
        for size in LEASES:
            say(f"an edge of {size:,} leases")
            room = datapath_of(size + 100 * NEW, f"growth-{size}")
            found[size] = _Applier(stack.enter_context(room), size).apply_new
        yield found


class _Applier:
    """An edge that follows a log of which nothing is stored."""

    def __init__(self, datapath: XdpDatapath, held: int) -> None:
        self._edge = edge_of(datapath)
        genesis = secrets.token_hex(16)
        self._head = Head(
            genesis=genesis, epoch=1, seq=0, h=ZERO_HASH, last_id=ZERO_ID, batch="", cursor="",
            owner="bench",
        )  # fmt: skip
        self._position = Position(genesis)
        self._edge.record.adopt(self._position)
        self._held = 0
        self._apply([pool_added(datapath.max_subscribers)])
        self._assign(held)

    def apply_new(self) -> float:
        """Events a second, for a few new ones."""
        return NEW / self._assign(NEW)

    def _assign(self, more: int) -> float:
        taken = 0.0
        for first in range(self._held, self._held + more, BATCH):
            last = min(first + BATCH, self._held + more)
            taken += self._apply([assigned(number) for number in range(first, last)])
        self._held += more
        return taken

    def _apply(self, events: Sequence[Event]) -> float:
        batch = self._built(events)
        self._head = batch.after
        records = read_back(batch)
        start = time.process_time()
        self._position = advance_all(self._position, records)
        self._edge.apply(records, self._position, now())
        return time.process_time() - start

    def _built(self, events: Sequence[Event]) -> Batch:
        return build(
            self._head,
            events,
            by="allocator",
            epoch=1,
            commit_ms=time.time_ns() // 1_000_000,
            batch_id=secrets.token_hex(8),
        )
