"""What becomes of a history whose log holds no more what it should read next (adr/0020)."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lease_core.domain.events import (
    EpochStarted,
    LeaseAdopted,
    LeaseReleased,
    Record,
    RecoveryStarted,
)
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.port import ForeignLogError
from lease_core.log.replay import replay
from lease_core.log.snapshot import write_snapshot
from lease_core.service.historian import Historian
from tests.site import FIRST
from tests.unit.service.test_historian import GENESIS, MINUTE, T0, Writer, path

__all__ = ["path"]

ANEW = "0f" * 16
SECOND = Ipv4(FIRST + 1)


def adopted(number: int) -> LeaseAdopted:
    return LeaseAdopted(
        mac=Mac(number), ip=FIRST, pool="res-1", line="access0", cause="recovery", req="r"
    )


def released(number: int) -> LeaseReleased:
    return LeaseReleased(
        mac=Mac(number), ip=FIRST, pool="res-1", line="access0", cause="client", req="r"
    )


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
