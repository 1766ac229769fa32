"""Legal histories of a site as records, made by the real decisions; and what tables must hold."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.tables import Line, SiteState, key_mac
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import Projection
from edge_agent.sync.removals import ACKED_POOL, NO_SLOT, TOMBSTONE, UNSERVED_POOL, discriminator
from lease_core.domain.commands import DeclineAddress, Heartbeat, ReleaseLease, RevokeLease
from lease_core.domain.events import Event, Record
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.port import ZERO_HASH, ZERO_ID, Batch, Head
from lease_core.log.writer import build
from tests.histories import read_back
from tests.site import Site

SECOND = 10**9
NOW_BOOT = 5_000 * SECOND
GENESIS = "0f" * 16
LINES = Lines({"access0": 7, "access1": 8})
NAMES = ("access0", "access1", "access0:100", "access0:100.7")
START = Head(
    genesis=GENESIS,
    epoch=1,
    seq=0,
    h=ZERO_HASH,
    last_id=ZERO_ID,
    batch="",
    cursor=ZERO_ID,
    owner="",
)


def batch_of(events: Sequence[Event], head: Head = START) -> Batch:
    """The events as an allocator would write them at once."""
    return build(head, events, by="allocator", epoch=1, commit_ms=1_700_000_000_000, batch_id="b")


def records_of(events: Sequence[Event], head: Head = START) -> tuple[Record, ...]:
    return batch_of(events, head).records


def read_of(events: Sequence[Event]) -> Sequence[Record]:
    """The events as an edge reads them."""
    return read_back(batch_of(events))


def random_events(seed: int, steps: int, size: int = 6, macs: int = 4) -> list[Event]:
    """What happens at a small site where everybody is busy; every event is a real decision."""
    chance = random.Random(seed)
    site = Site(size=size)
    for _ in range(steps):
        mac, name = chance.randint(1, macs), chance.choice(NAMES)
        binding = site.ledger.binding_of(Mac(mac), name)
        match chance.randint(0, 6):
            case 0 | 1 | 2:
                if ip := site.offer(mac, name):
                    site.request(mac, ip, name)
            case 3 if binding:
                site.do(ReleaseLease(req="x", mac=Mac(mac), line=name, ip=binding.ip))
            case 4 if binding:
                kind = chance.choice((RevokeLease, DeclineAddress))
                if kind is RevokeLease:
                    site.do(RevokeLease(req="x", ip=binding.ip, cause="operator"))
                else:
                    site.do(DeclineAddress(req="x", mac=Mac(mac), line=name, ip=binding.ip))
            case 5 if site.ledger.removed:
                site.ack(chance.choice(list(site.ledger.removed)), chance.randint(0, 50))
            case 6:
                site.do(Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0))
                site.wait(chance.choice((10, 200)))
            case _:
                pass
    return site.log


def ledger_of(records: Sequence[Record]) -> Ledger:
    ledger = Ledger()
    for record in records:
        ledger.evolve(record.seq, record.epoch, record.event)
    return ledger


def open_tables(size: int = 64, datapath: MemoryDatapath | None = None) -> MemoryDatapath:
    """Empty tables whose horizon is far away."""
    made = datapath or MemoryDatapath(size)
    made.set_state(SiteState(gate=True, horizon_boot_ns=NOW_BOOT + 14_400 * SECOND))
    return made


def projection_of(
    datapath: MemoryDatapath, records: Sequence[Record] = (), lines: Lines = LINES, size: int = 64
) -> Projection:
    """A projection as a new process makes it, with these records applied."""
    projection = Projection(datapath, lines, size, "ams01")
    for record in records:
        projection.apply(record, NOW_BOOT)
    return projection


@dataclass(frozen=True)
class View:
    """What tables say, whatever slots and discriminators stand for it."""

    bindings: dict[tuple[Mac, Line], tuple[Ipv4, int, int]]
    owed: dict[Ipv4, int]


def view(datapath: MemoryDatapath) -> View:
    """Read tables and check what holds for any: no hole, no line twice, no slot shared."""
    bindings, owed, slots, numbers = {}, {}, [], {}
    for key, found in datapath.entries():
        if found.slot != NO_SLOT:
            slots.append(found.slot)
        if discriminator(key) >= TOMBSTONE:
            assert found.ip not in owed, "two tombstones for one address"
            if found.pool_id not in (ACKED_POOL, UNSERVED_POOL):
                owed[found.ip] = found.seq
            continue
        assert found.check_ok, "another's value"
        assert datapath.raise_promise(found.slot, 0), "no promise can be recorded"
        assert (key_mac(key), found.line) not in bindings, "a line stands twice"
        bindings[key_mac(key), found.line] = (found.ip, found.pool_id, found.seq)
        numbers.setdefault(key_mac(key), set()).add(discriminator(key))
    assert len(slots) == len(set(slots)), "a slot is shared"
    assert all(found == set(range(len(found))) for found in numbers.values()), "a hole"
    return View(bindings, owed)


def expected(ledger: Ledger) -> View:
    """What tables must say when everything up to the ledger's state was applied."""
    bindings = {}
    for binding in ledger.bound.values():
        line = LINES.parse(binding.line)
        if line:
            number = ledger.pools[binding.pool].number
            bindings[binding.mac, line] = (binding.ip, number, binding.seq)
    owed = {
        ip: removal.seq for ip, removal in ledger.removed.items() if removal.quarantine_s is None
    }
    return View(bindings, owed)
