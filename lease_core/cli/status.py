"""leasectl status: how every site fares, on one page."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

import click

from lease_core.cli.common import json_option, opened, redis_option, run, show, side_by_side
from lease_core.domain.speakers import speaker
from lease_core.log.converters import read_int
from lease_core.log.keys import PLAN
from lease_core.log.port import MAX_COUNT, Head, LogError, SiteLog
from lease_core.service.condition import LEADS
from lease_core.service.planner import read_plan

EXIT_TROUBLE = 1
SILENT_S = 180
"""Three heartbeats without a word."""

COLUMNS = (
    *("site", "leader", "epoch", "event", "waiting"),
    *("edge", "follows", "lag", "horizon", "told", "trouble"),
)
Row = dict[str, object]


@click.command()
@click.argument("sites", nargs=-1, metavar="[SITE]...")
@redis_option
@json_option
def status(sites: tuple[str, ...], url: str, *, as_json: bool) -> None:
    """Show who leads each site, how far its edges are, and what is wrong.

    Ends with 1 where anything is.
    """
    rows = run(_rows(url, sites))
    show(rows, COLUMNS, as_json=as_json)
    if not rows:
        click.echo("no sites are planned; add one with: leasectl site add", err=True)
    sys.exit(EXIT_TROUBLE if not rows or any(row["trouble"] for row in rows) else 0)


async def _rows(url: str, sites: tuple[str, ...]) -> list[Row]:
    if not sites:
        async with opened(url, PLAN) as log:
            sites = tuple((await read_plan(log))[0].sites)

    async def rows_of(site: str) -> list[Row]:
        async with opened(url, site) as log:
            return await _rows_of(log)

    return list(chain.from_iterable(await side_by_side(rows_of, sites)))


async def _rows_of(log: SiteLog) -> list[Row]:
    """One row for each edge; what cannot be read is trouble, too."""
    row: Row = {**dict.fromkeys(COLUMNS, "-"), "site": log.site}
    try:
        head, told, reports = await log.head(), await log.status(), await log.reports()
        waiting = len(await log.commands(head.cursor, MAX_COUNT)) if head else 0
    except LogError as error:
        return [row | {"trouble": str(error)}]
    trouble = _of_allocator(told)
    leads = told.get("is") == LEADS
    row |= {
        "leader": speaker(told["by"]) if leads else "-",
        "epoch": head.epoch if head else "-",
        "event": head.seq if head else "-",
        "waiting": f"{MAX_COUNT}+" if waiting >= MAX_COUNT else waiting,
    }
    if head is None:
        trouble = [*trouble, "there is no log"]
    edges = [_Edge(name, report) for name, report in reports.items()]
    if not edges:
        return [row | {"trouble": "; ".join([*trouble, "no edge has reported"])}]
    now_ms = time.time_ns() // 1_000_000
    return [row | edge.columns(head, now_ms, trouble) for edge in edges]


def _of_allocator(told: Mapping[str, str]) -> list[str]:
    if not told:
        return ["no allocator says anything of it"]
    if told["is"] == LEADS:
        return []
    since = time.strftime("%H:%M:%S", time.gmtime(_number(told.get("since_ms", "")) // 1000))
    return [f"{told['is']} since {since} UTC: {told.get('reason', '')}"]


@dataclass(frozen=True, slots=True)
class _Edge:
    name: str
    report: Mapping[str, str]

    def columns(self, head: Head | None, now_ms: int, trouble: list[str]) -> Row:
        follows = self.report.get("following", "unknown")
        applied = _number(self.report.get("applied", ""))
        at_ms = _number(self.report.get("at_ms", ""))  # a former version does not say
        age_s = max(0, now_ms - at_ms) // 1000 if at_ms else 0
        horizon_s = max(0, _number(self.report.get("horizon_left_s", "")) - age_s)
        own = [] if follows in {"live", "catching-up"} else [f"the edge's log is {follows}"]
        if age_s > SILENT_S:
            own.append(f"the edge is silent for {_span(age_s)}")
        if not horizon_s:
            own.append("its horizon is over")
        return {
            "edge": self.name,
            "follows": follows,
            "lag": max(0, head.durable_seq - applied) if head else "-",
            "horizon": _span(horizon_s),
            "told": f"{_span(age_s)} ago" if at_ms else "-",
            "trouble": "; ".join([*trouble, *own]),
        }


def _number(text: str) -> int:
    """What an edge or an allocator says need not be one."""
    try:
        return read_int(text.encode())
    except ValueError:
        return 0


def _span(seconds: int) -> str:
    """Like `3h58m`, `12m`, `40s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m" if minutes else f"{rest}s"
