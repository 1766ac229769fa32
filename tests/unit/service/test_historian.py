"""Who had what when, in a database that may be read at any time by anybody at once."""

import threading
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lease_core.domain.commands import ReleaseLease
from lease_core.domain.desk import SECOND as NS
from lease_core.domain.events import (
    EpochStarted,
    Event,
    LeaseAdopted,
    LeaseReleased,
    Record,
    RecoveryStarted,
)
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import ForeignLogError
from lease_core.log.reader import BrokenChainError
from lease_core.log.replay import replay
from lease_core.log.snapshot import write_snapshot
from lease_core.log.writer import build
from lease_core.service.historian import Historian
from tests.forging import forge
from tests.site import FIRST, Site

GENESIS = "0e" * 16
ANEW = "0f" * 16
SECOND = Ipv4(FIRST + 1)
T0 = 1_700_000_000_000
MINUTE = 60_000


def adopted(number: int) -> LeaseAdopted:
    return LeaseAdopted(
        mac=Mac(number), ip=FIRST, pool="res-1", line="access0", cause="recovery", req="r"
    )


def released(number: int) -> LeaseReleased:
    return LeaseReleased(
        mac=Mac(number), ip=FIRST, pool="res-1", line="access0", cause="client", req="r"
    )


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
        self.ms = T0 + (self.site.now_ns - 1000 * NS) // 1_000_000
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


class TestALogMadeAnew:
    """After a loss: MAC 1 held until minute 10 and MAC 2 from minute 20 in the former log."""

    @pytest.fixture
    async def writer(self, path: Path) -> Writer:
        """Its history was read; then the log was lost, and made anew at minute 50."""
        writer = Writer()
        await writer.two_holders()
        await Historian(path).catch_up(writer.log)
        del writer.server.sites["ams01"]
        writer.ms = T0 + 50 * MINUTE
        await writer.log.create(ANEW)
        await writer.log.claim("allocator", 10**12, ANEW)
        return writer

    async def begin(self, writer: Writer, replaces: str) -> None:
        """What the new log begins with, and what an edge tells it a minute later."""
        await writer.append(EpochStarted(cause="first-start"))
        await writer.append(RecoveryStarted(cause="recreated", replaces=replaces))
        writer.ms += MINUTE
        await writer.append(adopted(2))

    async def test_it_goes_on_in_the_same_history(self, path: Path, writer: Writer) -> None:
        """What was known stays, the gap is told once, and the new log's holdings follow (I11)."""
        await self.begin(writer, f"{'ee' * 16} {GENESIS}")
        for history in (Historian(path), Historian(path)):
            await history.catch_up(writer.log)
        former, adopted = list(history.of_mac(Mac(2)))

        assert (former.from_ms, former.until_ms) == (T0 + 20 * MINUTE, T0 + 20 * MINUTE + 1)
        assert former.ended == "NotKnown"
        assert (adopted.from_ms, adopted.until_ms) == (T0 + 51 * MINUTE, None)
        assert [h.ended for h in history.of_mac(Mac(1))] == ["LeaseReleased"]
        assert history.lost() == [("ams01", T0 + 20 * MINUTE, T0 + 50 * MINUTE)]

    async def test_two_who_read_it_at_once_note_it_once(self, path: Path, writer: Writer) -> None:
        """Whoever comes second finds the history gone over already, and goes on with it."""
        await self.begin(writer, GENESIS)
        one, other = Historian(path), Historian(path)
        read = writer.log.read

        async def overtaken(*asked: Any) -> Sequence[Record]:
            writer.log.read = read  # type: ignore[method-assign]
            await other.catch_up(writer.log)
            return await read(*asked)

        writer.log.read = overtaken  # type: ignore[method-assign]
        await one.catch_up(writer.log)

        assert len(one.lost()) == 1
        assert len(list(one.of_mac(Mac(2)))) == 2

    async def test_one_that_stands_in_for_another_is_refused(
        self, path: Path, writer: Writer
    ) -> None:
        """It would be mixed into a history that it has nothing to do with."""
        await self.begin(writer, "ee" * 16)
        history = Historian(path)

        with pytest.raises(ForeignLogError):
            await history.catch_up(writer.log)
        assert history.lost() == []


class TestWhatTheLogHoldsNoMore:
    """MAC 3 holds SECOND all the time; FIRST as ever."""

    @pytest.fixture
    async def writer(self) -> Writer:
        """Up to minute 10."""
        writer = Writer(addresses=2)
        await writer.one_holder(3)
        return writer

    def macs(self, history: Historian, ip: Ipv4, minute: float) -> list[int]:
        return [each.mac for each in history.who(ip, T0 + int(minute * MINUTE))[0]]

    async def test_a_log_that_went_back(self, path: Path, writer: Writer) -> None:
        """I11: what was read of the lost end stays; who held what in the meantime is not known, and
        from the new epoch on it is told again, of those, too, of whom no further event speaks."""
        at_10 = deepcopy(writer.server.sites["ams01"])
        await writer.another()
        history = Historian(path)
        await history.catch_up(writer.log)
        writer.server.sites["ams01"] = at_10
        with pytest.raises(ForeignLogError):
            await history.catch_up(writer.log)
        writer.ms = T0 + 50 * MINUTE
        await writer.log.claim("another", 10**12, GENESIS, dead="allocator")
        await writer.append(EpochStarted(cause="takeover"))
        await writer.append(RecoveryStarted(cause="log-went-back"))
        await writer.append(adopted(2))
        for _ in range(2):
            await history.catch_up(writer.log)

        told = {ip: [self.macs(history, ip, m) for m in (5, 20, 30, 51)] for ip in (FIRST, SECOND)}
        assert told == {FIRST: [[1], [2], [], [2]], SECOND: [[3], [3], [], [3]]}
        assert history.lost() == [("ams01", T0 + 20 * MINUTE, T0 + 50 * MINUTE)]

    @pytest.mark.parametrize("read_before", [False, True])
    async def test_a_log_that_was_cut(self, path: Path, writer: Writer, read_before: bool) -> None:
        """A history that comes too late begins with what the log still tells, for all who hold."""
        history = Historian(path)
        if read_before:
            await history.catch_up(writer.log)
        await writer.another()
        await writer.append(EpochStarted(cause="takeover"))
        meta = await write_snapshot(writer.log, *await replay(writer.log))
        writer.server.site("ams01").events.drop_below((meta.commit_ms, meta.seq))
        writer.ms += MINUTE
        await writer.append(released(2))
        for _ in range(2):
            await history.catch_up(writer.log)

        told = {ip: [self.macs(history, ip, m) for m in (5, 15, 20, 21)] for ip in (FIRST, SECOND)}
        known = [1] if read_before else []
        before = [3] if read_before else []
        assert told == {FIRST: [known, [], [2], []], SECOND: [before, [], [3], [3]]}
        known_ms = T0 + 10 * MINUTE if read_before else 0
        assert history.lost() == [("ams01", known_ms, T0 + 20 * MINUTE)]

    async def test_a_log_that_was_cut_right_behind(self, path: Path, writer: Writer) -> None:
        """Nothing is lacking, so nothing begins anew, whatever epochs follow."""
        history = Historian(path)
        await history.catch_up(writer.log)
        head = await writer.log.head()
        assert head
        await writer.another()
        await writer.log.claim("another", 10**12, GENESIS, dead="allocator")
        await writer.append(EpochStarted(cause="takeover"))
        events = writer.server.site("ams01").events
        events.drop_below(next(entry_id for entry_id in events.ids if entry_id[1] > head.seq))
        await history.catch_up(writer.log)

        assert history.lost() == []
        assert self.macs(history, FIRST, 20) == [2]


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
