"""What the agent says of itself, with and without Redis, and what `edgectl status` makes of it."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from edge_agent.agent import status
from edge_agent.agent.status import Status, read_status
from edge_agent.cli.main import main
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from tests.waiting import until

REPORT = {
    "datapath": "user space",
    "following": "live",
    "applied": "7",
    "horizon_left_s": "14000",
    "heartbeats_unanswered": "0",
    "waiting": "0",
    "unserved": "0",
}


class Agent:
    """An agent that reports what it is told to."""

    def __init__(self, path: Path) -> None:
        self.server = MemoryServer()
        self.report = dict(REPORT)
        self.path = path
        self.log = MemoryLog("ams01", self.server)
        self.status = Status(self.log, "bng1", path, lambda: self.report, 3600)

    async def until_told(self, following: str) -> dict[str, str]:
        async def is_told() -> bool:
            return (await self.log.reports()).get("bng1", {}).get("following") == following

        await until(is_told, following)
        return (await self.log.reports())["bng1"]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    monkeypatch.setattr(status, "LOOK_S", 0.01)
    return Agent(tmp_path / "run" / "bng1.json")


def edgectl_status(agent: Agent, code: int = 0) -> dict[str, object]:
    config = agent.path.parent.parent / "edge.toml"
    config.write_text(
        'site = "ams01"\nedge = "bng1"\ninterfaces = ["access0"]\ndatapath = "user"\n'
        f"status_file = {json.dumps(str(agent.path))}\n"
        f"pin_dir = {json.dumps(str(agent.path.parent / 'nothing'))}\n"
    )
    result = CliRunner().invoke(main, ["status", "--config", str(config), "--json"])
    assert result.exit_code == code, result.output
    return {} if code else json.loads(result.stdout)


async def test_a_change_is_told_at_once(agent: Agent) -> None:
    """Nobody waits for the next heartbeat to hear that an edge halted."""
    task = asyncio.create_task(agent.status.run())
    told = await agent.until_told("live")
    agent.report["following"] = "halted"
    await agent.until_told("halted")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert int(told["at_ms"]) > 0


async def test_it_is_asked_without_redis(agent: Agent) -> None:
    """With Redis down `edgectl status` shows the follower's state; without an agent nothing old."""
    agent.server.is_down = True
    agent.report["following"] = "unreachable"
    task = asyncio.create_task(agent.status.run())
    await until(lambda: read_status(agent.path))
    shown = await asyncio.to_thread(edgectl_status, agent)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert shown["following"] == "unreachable"
    assert isinstance(shown["told_s_ago"], int)
    assert shown["told_s_ago"] <= 5
    assert not agent.path.exists()
    await asyncio.to_thread(edgectl_status, agent, 69)


async def test_a_file_that_cannot_be_written_is_told_once(agent: Agent) -> None:
    """The agent serves all the same (I12)."""
    agent.path.parent.write_text("no directory")
    with capture_logs() as lines:
        task = asyncio.create_task(agent.status.run())
        await agent.until_told("live")
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [line["event"] for line in lines] == ["status.unwritten"]
