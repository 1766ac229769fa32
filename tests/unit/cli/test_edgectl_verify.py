"""edgectl verify from the outside: what it shows, how it ends, and what it repairs."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge_agent.agent.config import EdgeConfig
from edge_agent.cli import verify as command
from edge_agent.cli.inspect import absent, lines_of
from edge_agent.cli.main import main
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.tables import Line, subscriber_key
from edge_agent.sync.drift import drift_of
from lease_core.clock import boot_ns
from lease_core.domain.values import Mac, mac_text
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.writer import build
from tests.site import Site
from tests.unit.sync.histories import GENESIS, LINES, ledger_of, open_tables, projection_of

CONFIG = 'site = "ams01"\nedge = "bng1"\ninterfaces = ["access0"]\n'


class Edgectl:
    """Runs the command against tables and a log in memory."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.datapath: MemoryDatapath = open_tables()
        self.server = MemoryServer()
        self._config = folder / "edge.toml"
        self._config.write_text(CONFIG)
        monkeypatch.setattr(command, "connect", lambda _, site: MemoryLog(site, self.server))
        monkeypatch.setattr(command, "pinned", self._pinned)
        monkeypatch.setattr(command, "lines_of", lambda _: LINES)
        monkeypatch.setattr(command, "absent", lambda _: [])
        self.site = Site()
        for mac in (1, 2, 3):
            self.site.lease(mac)
        self.records = asyncio.run(self._write())
        projection_of(self.datapath, self.records)
        self.stand_at(len(self.records))

    async def _write(self) -> Any:
        log = MemoryLog("ams01", self.server)
        await log.create(GENESIS)
        await log.claim("allocator", 10_000, GENESIS)
        head = await log.head()
        assert head
        batch = build(
            head,
            self.site.log,
            by="allocator",
            epoch=1,
            commit_ms=await log.now_ms(),
            batch_id="b",
        )
        await log.append(batch)
        return batch.records

    def stand_at(self, seq: int, touched_boot_ns: int = 0) -> None:
        """Move the tables' cursor; `touched_boot_ns` is when an agent was last seen."""
        state = replace(self.datapath.state(), cursor_lo=seq, cursor_hi=seq)
        state.genesis, state.touched_boot_ns = bytes.fromhex(GENESIS), touched_boot_ns
        self.datapath.set_state(state)

    @contextmanager
    def _pinned(self, _: Path, *, writable: bool = False) -> Iterator[MemoryDatapath]:
        yield self.datapath

    def __call__(self, *words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(main, ["verify", "--config", str(self._config), *words])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert result.exit_code == code, result.output
        return result


@pytest.fixture
def edgectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edgectl:
    return Edgectl(tmp_path, monkeypatch)


def test_equal_tables_end_with_0(edgectl: Edgectl) -> None:
    """Tables that say what the log says at their cursor are told so."""
    result = edgectl()

    assert result.stdout == ""
    assert f"0 differences at event {len(edgectl.records)}" in result.stderr


def test_tables_are_compared_at_their_cursor(edgectl: Edgectl) -> None:
    """Tables that are behind the log are right for the event they stand at."""
    edgectl.datapath.remove(subscriber_key(Mac(3)))
    edgectl(code=1)
    edgectl.stand_at(len(edgectl.records) - 1)

    edgectl()


def test_every_subscriber_that_differs_is_shown(edgectl: Edgectl) -> None:
    """A lost binding is named with what the log says; nothing is changed without being asked."""
    edgectl.datapath.remove(subscriber_key(Mac(2)))
    [row] = [json.loads(line) for line in edgectl("--json", code=1).stdout.splitlines()]
    text = edgectl(code=1).stdout

    assert (row["mac"], row["tables"]) == (mac_text(Mac(2)), "nothing")
    assert "bound in res-1 by event" in row["log"]
    assert mac_text(Mac(2)) in text
    assert edgectl.datapath.lookup(subscriber_key(Mac(2))) is None


def test_repair_makes_the_tables_right(edgectl: Edgectl) -> None:
    """With --repair what differs is shown and mended, and the next look finds nothing."""
    edgectl.datapath.remove(subscriber_key(Mac(2)))
    assert mac_text(Mac(2)) in edgectl("--repair").stdout

    assert drift_of(edgectl.datapath, LINES, ledger_of(edgectl.records)) == []
    edgectl()


def test_an_absent_interface_is_named_and_nothing_written(
    edgectl: Edgectl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I8: without its number no line of an interface can be judged or written."""
    edgectl.datapath.remove(subscriber_key(Mac(2)))
    before = dict(edgectl.datapath.entries())
    monkeypatch.setattr(command, "absent", absent)
    told = edgectl("--repair", code=69).stderr

    assert "no interface access0" in told
    assert "take it out of the configuration" in told
    assert dict(edgectl.datapath.entries()) == before


def test_lines_are_of_interfaces_that_are_there() -> None:
    """I8: an absent interface has no lines, rather than those of number 0."""
    config = EdgeConfig(site="ams01", edge="bng1", interfaces=("lo", "access77"))

    assert lines_of(config).parse("lo") == Line(socket.if_nametoindex("lo"))
    assert lines_of(config).parse("access77") is None
    assert absent(config) == ["access77"]


def test_an_agent_with_other_lines_rebuilds_what_was_repaired(edgectl: Edgectl) -> None:
    """I8: repaired tables say which lines they were made for."""
    edgectl.datapath.remove(subscriber_key(Mac(2)))
    edgectl("--repair")

    assert edgectl.datapath.state().lines == LINES.fingerprint()


def test_a_running_agent_stays_the_one_writer(edgectl: Edgectl) -> None:
    """Tables of a running agent are compared, never repaired."""
    edgectl.datapath.remove(subscriber_key(Mac(2)))
    edgectl.stand_at(len(edgectl.records), touched_boot_ns=boot_ns())
    edgectl(code=1)

    assert "stop it" in edgectl("--repair", code=69).stderr
    assert edgectl.datapath.lookup(subscriber_key(Mac(2))) is None


@pytest.mark.parametrize("what", ["down", "foreign", "behind"])
def test_without_that_log_nothing_is_judged(edgectl: Edgectl, what: str) -> None:
    """Where the log is out of reach, another, or shorter than the tables, no verdict is given
    and nothing is repaired."""
    edgectl.datapath.remove(subscriber_key(Mac(2)))
    if what == "down":
        edgectl.server.is_down = True
    elif what == "foreign":
        edgectl.server.sites.clear()
    else:
        edgectl.stand_at(len(edgectl.records) + 1)

    edgectl("--repair", code=69 if what == "down" else 65)
    assert edgectl.datapath.lookup(subscriber_key(Mac(2))) is None
