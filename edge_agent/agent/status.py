"""What the agent says of itself: in Redis for everybody, in a file for whoever is on the router."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from edge_agent.agent.answering import Now
from edge_agent.agent.edge import Edge
from lease_core.log.port import LogError, SiteLog

audit = structlog.get_logger("edge")

LOOK_S = 1.0
Report = Callable[[], Mapping[str, str]]


def report_of(edge: Edge, now: Now) -> dict[str, str]:
    """What operators see of an edge, also in its report hash."""
    state = edge.datapath.state()
    return {
        "edge": edge.identity.edge,
        "datapath": edge.datapath.kind,
        "following": edge.following,
        "applied": str(state.cursor_lo),
        "digest": f"{edge.projection.census.digest.text()}@{state.cursor_lo}",
        "epoch": str(state.epoch),
        "incarnation": state.life,
        "horizon_left_s": str(int(edge.horizon.remaining_s(now.elapsed_ns))),
        "heartbeats_unanswered": str(edge.unanswered),
        "waiting": str(len(edge.slow_path.waiting)),
        "stock": str(len(edge.stock)),
        "unserved": str(edge.projection.unserved),
        **edge.notices.report(),
    }


class Status:
    """Says it each second in a file, and to the log when something begins or ends, else seldom."""

    def __init__(
        self, log: SiteLog, edge: str, path: Path | None, report: Report, every_s: float
    ) -> None:
        self._log = log
        self._edge = edge
        self._path = path
        self._report = report
        self._every_s = every_s
        self._said_at = -every_s
        self._told = ("", False)
        self._is_writable = True

    async def run(self) -> None:
        """Say it for ever; take the file away at the end."""
        try:
            while True:
                await self._say()
                await asyncio.sleep(LOOK_S)
        finally:
            if self._path:
                self._path.unlink(missing_ok=True)

    async def _say(self) -> None:
        report = {**self._report(), "at_ms": str(time.time_ns() // 1_000_000)}
        if self._path:
            self._write(self._path, report)
        is_due = time.monotonic() - self._said_at >= self._every_s
        told = report["following"], report["horizon_left_s"] == "0"
        if not is_due and told == self._told:
            return
        self._said_at, self._told = time.monotonic(), told
        try:
            await self._log.report(self._edge, report)
        except LogError as error:
            audit.debug("report.unsent", edge=self._edge, reason=str(error))

    def _write(self, path: Path, report: Mapping[str, str]) -> None:
        draft = path.with_suffix(".new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(json.dumps(report))
            draft.replace(path)
            self._is_writable = True
        except OSError as error:
            if self._is_writable:
                audit.warning("status.unwritten", path=str(path), reason=str(error))
            self._is_writable = False


def read_status(path: Path) -> dict[str, str]:
    """What an agent last said there; empty where none does."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
