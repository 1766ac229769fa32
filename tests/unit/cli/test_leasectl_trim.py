"""leasectl verify, archive and trim from the outside."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lease_core.cli import common
from lease_core.cli.main import main
from lease_core.domain.columns import bindings_digest
from lease_core.domain.commands import ConfirmSnapshot, Sent
from lease_core.domain.decide import decide
from lease_core.domain.events import Event, SnapshotTaken
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.replay import ledger_at, replay
from lease_core.log.snapshot import write_snapshot
from lease_core.log.writer import build
from tests.forging import forge
from tests.site import Site


class Told:
    """A site in memory with a snapshot that the log tells of, and commands upon it."""

    def __init__(self, folder: Path) -> None:
        self.server = MemoryServer()
        self.log = MemoryLog("ams01", self.server)
        self.site = Site(size=20)
        self._done = 0
        self._runner = CliRunner(env={"LEASE_HISTORY": str(folder / "history.sqlite")})

    def __call__(self, *words: str, code: int = 0) -> Result:
        result = self._runner.invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), words
        assert result.exit_code == code, result.output
        return result

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        result = self(*words, "--json", code=code)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def do(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work()

        return asyncio.run(run())

    async def write(self) -> None:
        """Append what happened at the site."""
        head = await self.log.head()
        assert head
        if not head.epoch:
            await self.log.claim("allocator", 10**9, head.genesis)
            head = await self.log.head()
            assert head
        events, self._done = self.site.log[self._done :], len(self.site.log)
        batch = build(
            head,
            events,
            by="allocator",
            epoch=1,
            commit_ms=max(await self.log.now_ms(), int(head.last_id.split("-")[0])),
            batch_id=secrets.token_hex(4),
        )
        await self.log.append(batch)

    async def snap(self) -> SnapshotTaken:
        """Take a snapshot of what the log holds, and tell of it."""
        meta = await write_snapshot(self.log, *await replay(self.log))
        taken = SnapshotTaken(
            covers=meta.seq, digest=meta.digest, chunks=meta.chunks, taker="one#1"
        )
        self.site.record(taken)
        await self.write()
        return taken

    async def report(self, *, seq: int | None = None, digest: str = "", **more: str) -> None:
        """What an edge that applied everything up to `seq` reports."""
        seq = self.site.ledger.seq if seq is None else seq
        ledger = await ledger_at(self.log, seq)
        digest = digest or bindings_digest(ledger.bound.values())
        report = {"applied": str(seq), "digest": f"{digest}@{seq}", "following": "live"}
        await self.log.report("bng1", report | more)

    async def decide_commands(self) -> list[Event]:
        """What an allocator makes of the commands that wait."""
        events: list[Event] = []
        for sent in await self.log.commands("0-0"):
            assert isinstance(sent, Sent)
            assert isinstance(sent.command, ConfirmSnapshot)
            events += decide(self.site.ledger, self.site.desk, sent.command, 0).events
        for event in events:
            self.site.record(event)
        await self.write()
        return events


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    made = Told(tmp_path)
    monkeypatch.setattr(common, "connect", lambda _, site: MemoryLog(site, made.server))
    made("site", "add", "ams01")
    for mac in range(1, 6):
        made.site.lease(mac)
    made.do(made.write)
    made.do(made.snap)
    for mac in range(6, 9):
        made.site.lease(mac)
    made.do(made.write)
    made.do(made.report)
    return made


class TestVerify:
    def test_one_story_ends_with_0(self, told: Told) -> None:
        """Replay, snapshot and edge are shown with equal digests."""
        rows = told.rows("verify", "ams01")

        assert {row["verdict"] for row in rows} == {"equal"}
        assert [row["who"].split()[0] for row in rows] == ["replay", "bng1", "snapshot"]
        assert all(row["told"] == row["log_says"] for row in rows)
        assert "equal" in told("verify", "ams01").stdout

    def test_an_edge_that_differs_ends_with_1(self, told: Told) -> None:
        """I4: tables that say something else than the log at the event they stand at are told."""
        told.do(lambda: told.report(digest="ab" * 8))
        rows = {row["who"]: row["verdict"] for row in told.rows("verify", "ams01", code=1)}

        assert rows["bng1"] == "differs"
        told.do(lambda: told.report(seq=4))
        told("verify", "ams01")
        told.do(lambda: told.report(seq=4, digest=bindings_digest(told.site.ledger.bound.values())))
        told("verify", "ams01", code=1)

    def test_an_allocator_that_differs_ends_with_1(self, told: Told) -> None:
        """I3: what the leader decides by is held against a replay, too."""
        seq = told.site.ledger.seq
        digest = bindings_digest(told.site.ledger.bound.values())

        def say(digest: str) -> None:
            status = {"by": "core-1#5f0c", "is": "leads", "digest": digest}
            told.do(lambda: told.log.set_status(status, 60_000))

        say("")
        assert len(told.rows("verify", "ams01")) == 3
        say(f"{digest}@{seq}")
        rows = {row["who"]: row["verdict"] for row in told.rows("verify", "ams01")}
        assert rows["allocator core-1#5f0c"] == "equal"
        say(f"{'ab' * 8}@{seq}")
        rows = {row["who"]: row["verdict"] for row in told.rows("verify", "ams01", code=1)}
        assert rows["allocator core-1#5f0c"] == "differs"

    def test_a_snapshot_that_cannot_be_read_ends_with_1(self, told: Told) -> None:
        """A damaged snapshot is told, though nobody would start from it."""
        [meta] = told.do(told.log.snapshots)
        told.do(lambda: told.log.put_chunk(meta.seq, 0, b"\xc1"))
        [row] = [r for r in told.rows("verify", "ams01", code=1) if "snapshot" in r["who"]]

        assert (row["told"], row["verdict"]) == ("unreadable", "differs")
        assert told.do(lambda: told.log.commands("0-0")) == []

    def test_a_snapshot_of_another_state_is_found_out(self, told: Told) -> None:
        """I3: a snapshot that reads well and says something else than the log is shown with the
        first subscriber that differs."""
        wrong, position = told.do(lambda: replay(told.log))
        ip = min(wrong.bound)
        wrong.removed.pop(ip, None)
        del wrong.bound[ip]
        told.do(lambda: write_snapshot(told.log, wrong, position))
        result = told("verify", "ams01", code=1)

        assert "100.64.0.2: bound to 00:00:00:00:00:01 on access0" in result.stderr
        assert "/ free" in result.stderr

    def test_what_is_found_right_is_recorded_once(self, told: Told) -> None:
        """The allocator hears of a right snapshot from another process; a second look and a
        look that must not write say nothing."""
        told("verify", "ams01", "--read-only")
        assert told.do(lambda: told.log.commands("0-0")) == []
        told("verify", "ams01")
        [verified] = told.do(told.decide_commands)
        told("verify", "ams01")

        assert verified.verifier.startswith("leasectl#")
        assert told.site.ledger.verified
        assert len(told.do(lambda: told.log.commands("0-0"))) == 1

    def test_an_edge_without_a_digest_is_no_difference(self, told: Told) -> None:
        """An agent that reports no digest, one of an older form or of an event that was cut off,
        is not judged."""
        told.do(lambda: told.log.report("bng1", {"applied": "4"}))
        told("verify", "ams01")
        told.do(lambda: told.log.report("bng1", {"digest": "ab@x"}))
        told("verify", "ams01")
        told.do(lambda: told.report(digest="ab" * 16))
        told("verify", "ams01")
        told.do(lambda: told.report(seq=2))
        [meta] = told.do(told.log.snapshots)
        told.server.site("ams01").events.drop_below((meta.commit_ms, meta.seq))
        rows = {row["who"]: row["verdict"] for row in told.rows("verify", "ams01")}

        assert rows["bng1"] == "not to be told"
        assert rows[f"replay after event {meta.seq}"] == "equal"

    def test_a_log_that_is_not_whole_is_no_verdict(self, told: Told) -> None:
        """An edited event ends it before anything is compared."""
        forge(told.server.site("ams01").events, 3, b"cause", b"forged")

        told("verify", "ams01", code=65)
        told("verify", "fra01", code=65)


class TestTrim:
    def test_the_whole_way(self, told: Told) -> None:
        """Verify, archive, look, cut: afterwards leases, verification and history are as before."""
        before = told("lease", "list", "ams01").stdout
        told("verify", "ams01")
        told.do(told.decide_commands)
        [archived] = told.rows("archive")
        assert (archived["site"], archived["seq"]) == ("ams01", told.site.ledger.seq)
        [meta] = told.do(told.log.snapshots)
        look = told("trim", "ams01", "--dry-run").stdout
        assert f"{meta.seq - 1} events before event {meta.seq} would go" in look
        told("trim", "ams01")

        assert told.do(lambda: told.log.read("0-0"))[0].seq == meta.seq
        assert told("lease", "list", "ams01").stdout == before
        told("verify", "ams01")
        assert "00:00:00:00:00:01" in told("who", "100.64.0.2").stdout
        assert "0 events" in told("trim", "ams01").stdout

    def test_what_stands_against_it_is_told(self, told: Told) -> None:
        """Each reason stands on a line of its own, and nothing is cut."""
        told.do(lambda: told.report(seq=2))
        lines = told("trim", "ams01", code=1).stderr.splitlines()

        assert [line.strip() for line in lines[1:]] == [
            "no other process has verified the snapshot; run: leasectl verify",
            "the history is archived up to event 0 only; run: leasectl archive",
            "edge bng1 has applied events up to 2 only",
        ]
        assert told.do(lambda: told.log.read("0-0"))[0].seq == 1

    def test_a_lost_edge_is_named_by_the_operator(self, told: Told) -> None:
        """Only the operator says that an edge will not come back."""
        told("verify", "ams01")
        told.do(told.decide_commands)
        told("archive")
        told.do(lambda: told.report(seq=2))
        told("trim", "ams01", code=1)
        told("trim", "ams01", "--lost", "bng1")

        assert told.do(lambda: told.log.read("0-0"))[0].seq > 1

    def test_no_snapshot_no_cut(self, told: Told) -> None:
        """A site that has none is told so."""
        told("site", "add", "fra01")

        assert "there is no snapshot yet" in told("trim", "fra01", code=1).stderr
