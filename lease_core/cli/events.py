"""leasectl events: read a site's log as it grows."""

import json

import click

from lease_core.audit import event_name, fields_of
from lease_core.cli.common import json_option, opened, plain, redis_option, run, time_text
from lease_core.domain.events import Record
from lease_core.log.port import ZERO_ID, ForeignLogError, Head, SiteLog

SHOWN_FIRST = ("mac", "ip", "pool", "line", "cause")
FIRST_WINDOW_MS = 1000


@click.group()
def events() -> None:
    """Events of a site's log."""


@events.command("tail")
@click.argument("site")
@click.option("-n", "count", type=click.IntRange(0, 1000), default=20, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@redis_option
@json_option
def events_tail(site: str, count: int, follow: bool, url: str, as_json: bool) -> None:
    """Show the last events of SITE."""
    run(_tail(url, site, count, follow=follow, as_json=as_json))


async def _tail(url: str, site: str, count: int, *, follow: bool, as_json: bool) -> None:
    async with opened(url, site) as log:
        head = await log.head()
        if head is None:
            raise ForeignLogError(f"there is no log of site {site}")
        first = head.seq - count + 1
        after, block_ms = await entry_before(log, head, first), 0
        while True:
            records = await log.read(after, 1000, block_ms)
            for record in records:
                if record.seq >= first:
                    _show(record, as_json=as_json)
            after = records[-1].entry_id if records else after
            if not records and not follow:
                return
            block_ms = 1000 if follow else 0


async def entry_before(log: SiteLog, head: Head, seq: int) -> str:
    """An entry id before event `seq`; ids are times, so it looks back ever further from the end."""
    end_ms = int(head.last_id.partition("-")[0])
    window_ms = FIRST_WINDOW_MS
    while window_ms < end_ms:
        after = f"{end_ms - window_ms}-0"
        oldest = await log.read(after, 1)
        if oldest and oldest[0].seq <= seq:
            return after
        window_ms *= 4
    return ZERO_ID


def _show(record: Record, *, as_json: bool) -> None:
    fields = fields_of(record.event)
    if as_json:
        kind = type(record.event).__name__
        click.echo(json.dumps({"id": record.entry_id, "type": kind, "by": record.by, **fields}))
        return
    rest = {key: value for key, value in fields.items() if key not in SHOWN_FIRST}
    shown = " ".join(str(fields[key]) for key in SHOWN_FIRST if key in fields)
    more = " ".join(f"{key}={value}" for key, value in rest.items())
    name = event_name(record.event)
    line = f"{time_text(record.commit_ms)} #{record.seq:<6} {name:18} {shown} {more}"
    click.echo(plain(line).rstrip())
