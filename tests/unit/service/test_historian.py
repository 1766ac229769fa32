"""Who had what when, in a database that may be read at any time by anybody at once."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from lease_core.domain.commands import ReleaseLease
from lease_core.domain.desk import SECOND
from lease_core.domain.events import Event
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import ForeignLogError
from lease_core.log.reader import BrokenChainError
from lease_core.log.writer import build
from lease_core.service.historian import Historian
from tests.forging import forge
from tests.site import FIRST, Site

GENESIS = "0e" * 16
T0 = 1_700_000_000_000
MINUTE = 60_000


class Writer:
    """Writes what happens at a site, each event at its time."""

    def __init__(self, name: str = "ams01", addresses: int = 1) -> None:
        self.ms = T0
        self.server = MemoryServer(now_ms=lambda: self.ms)
        self.log = MemoryLog(name, self.server)
        self.site = Site(size=addresses)
        self.written = 0

    async def write(self) -> None:
        """Append what the site decided since last time, at its time."""
        await self.log.create(GENESIS)
        await self.log.claim("allocator", 10**12, GENESIS)
        self.ms = T0 + (self.site.now_ns - 1000 * SECOND) // 1_000_000
        for event in self.site.log[self.written :]:
            await self.append(event)
        self.written = len(self.site.log)

    async def append(self, event: Event) -> None:
        head = await self.log.head()
        assert head
        batch = build(
            head, [event], by="a", epoch=head.epoch, commit_ms=self.ms, batch_id=f"b{head.seq}"
        )
        await self.log.append(batch)

    async def two_holders(self) -> None:
        """MAC 1 from minute 0 to 10, promised until 12; MAC 2 from minute 20."""
        await self.one_holder()
        await self.another()

    async def one_holder(self, *others: int) -> None:
        site = self.site
        for number in (1, *others):
            site.lease(number)
        await self.write()
        site.wait(600)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=FIRST))
        site.ack(FIRST, remaining_s=120)
        await self.write()

    async def another(self) -> None:
        self.site.wait(600)
        self.site.lease(2)
        await self.write()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "history.sqlite"


async def test_who_held_an_address_at_a_time(path: Path) -> None:
    """Before, at and after every moment: at most one holder (I11), and its neighbours."""
    writer, history = Writer(), Historian(path)
    await writer.two_holders()
    await history.catch_up(writer.log)

    def macs(minute: float) -> tuple[list[int], int | None, int | None]:
        held, before, after = history.who(FIRST, T0 + int(minute * MINUTE))
        return [h.mac for h in held], before and before.mac, after and after.mac

    assert macs(-1) == ([], None, 1)
    assert macs(0) == ([1], None, 2)
    assert macs(9.99) == ([1], None, 2)
    assert macs(10) == ([], 1, 2)
    assert macs(15) == ([], 1, 2)
    assert macs(20) == ([2], 1, None)
    assert macs(99_999) == ([2], 1, None)


async def test_a_holding_names_its_evidence(path: Path) -> None:
    """Events that open and close it, how it ended, and until when it was promised."""
    writer, history = Writer(), Historian(path)
    await writer.two_holders()
    await history.catch_up(writer.log)
    first, second = history.of_ip(FIRST)
    ids = {type(r.event).__name__: r.entry_id for r in reversed(await writer.log.read("0-0"))}

    assert (first.from_id, first.until_id) == (ids["LeaseAssigned"], ids["LeaseReleased"])
    assert first.ended == "LeaseReleased"
    assert first.until_ms == T0 + 10 * MINUTE
    assert first.quiet_ms == T0 + 12 * MINUTE
    assert (second.until_ms, second.ended, second.quiet_ms) == (None, "", None)
    assert [h.ip for h in history.of_mac(Mac(2))] == [FIRST]
    assert list(history.of_mac(Mac(3))) == []
    assert list(history.of_ip(Ipv4(1))) == []


async def test_catching_up_twice_changes_nothing(path: Path) -> None:
    """What was read is not read again, in this process or the next."""
    writer = Writer()
    await writer.two_holders()
    first = Historian(path)
    end = await first.catch_up(writer.log)
    holdings = list(first.of_ip(FIRST))
    assert await first.catch_up(writer.log) == end
    first.close()
    second = Historian(path)

    assert await second.catch_up(writer.log) == end
    assert list(second.of_ip(FIRST)) == holdings


async def test_it_goes_on_where_it_stopped(path: Path) -> None:
    """Read in pieces, the history is that of one reading."""
    writer, pieces = Writer(), Historian(path)
    await writer.two_holders()
    whole = Historian(path.with_name("whole.sqlite"))
    await whole.catch_up(writer.log)
    records = await writer.log.read("0-0")
    position = type(await whole.catch_up(writer.log))(GENESIS)
    for record in records:
        position = pieces._take("ams01", position, [record])

    assert list(pieces.of_ip(FIRST)) == list(whole.of_ip(FIRST))


async def test_what_replicas_do_not_hold_yet_is_no_history(path: Path) -> None:
    """I2: an event that a takeover may lose is taken when replicas hold it, and not before."""
    writer, history = Writer(), Historian(path)
    await writer.one_holder()
    stored = writer.server.site("ams01")
    assert stored.head
    held = stored.head
    await writer.another()
    stored.head = replace(stored.head, committed=held.seq, committed_h=held.h)
    await history.catch_up(writer.log)
    assert list(history.of_mac(Mac(2))) == []

    stored.head = replace(stored.head, committed=stored.head.seq)
    await history.catch_up(writer.log)
    assert [each.mac for each in history.who(FIRST, T0 + 21 * MINUTE).held] == [Mac(2)]


async def test_two_at_once_write_each_holding_once(path: Path) -> None:
    """Two processes that ask at the same time do not both write what they read (I11)."""
    writer = Writer()
    await writer.two_holders()
    records = await writer.log.read("0-0")
    start = type(await Historian(path.with_name("x")).catch_up(writer.log))(GENESIS)
    Historian(path)
    barrier, faults = threading.Barrier(4), []

    def work() -> None:
        try:
            mine = Historian(path)
            barrier.wait()
            mine._take("ams01", start, records)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert faults == []
    assert len(list(Historian(path).of_ip(FIRST))) == 2


async def test_sites_are_kept_apart(path: Path) -> None:
    """The same address at two sites has two histories, told by site."""
    history = Historian(path)
    for name in ("ams01", "fra01"):
        writer = Writer(name)
        await writer.two_holders()
        await history.catch_up(writer.log)

    assert [h.site for h in history.of_ip(FIRST)].count("fra01") == 2
    assert all(h.until_ms for h in history.of_mac(Mac(1)))


@pytest.mark.parametrize("how", ["regressed", "foreign", "gone"])
async def test_another_log_is_refused(path: Path, how: str) -> None:
    """A log that went back, or is not the one read before, does not become history."""
    writer, history = Writer(), Historian(path)
    await writer.two_holders()
    await history.catch_up(writer.log)
    before = list(history.of_ip(FIRST))
    stored = writer.server.site("ams01")
    assert stored.head
    if how == "regressed":
        stored.head = replace(stored.head, seq=stored.head.seq - 1, h="ab" * 8)
    elif how == "foreign":
        stored.head = replace(stored.head, genesis="ee" * 16)
    else:
        stored.head = None

    with pytest.raises(ForeignLogError):
        await history.catch_up(writer.log)
    assert list(history.of_ip(FIRST)) == before


async def test_an_edited_log_is_refused(path: Path) -> None:
    """A rewritten event breaks the chain, and nothing of its batch is kept."""
    writer, history = Writer(), Historian(path)
    await writer.two_holders()
    events = writer.server.site("ams01").events
    index = next(i for i, e in enumerate(events.entries) if b"LeaseAssigned" in e)
    forge(events, index, b"mac", b"02:00:00:00:00:66")

    with pytest.raises(BrokenChainError):
        await history.catch_up(writer.log)
    assert list(history.of_ip(FIRST)) == []
