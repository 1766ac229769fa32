"""leasectl archive and trim: what is kept for good, and what the log need not hold any more."""

import sys
from pathlib import Path

import click

from lease_core.cli.catching_up import caught_up, database_option
from lease_core.cli.common import fail, json_option, opened, redis_option, run, show, user
from lease_core.log.errors import TrimRefusedError
from lease_core.log.snapshot_port import Archived
from lease_core.log.trim import find_cut

EXIT_REFUSED = 1


@click.command()
@redis_option
@database_option
@json_option
def archive(url: str, database: Path, as_json: bool) -> None:
    """Bring the history in DATABASE up to every log, and record there how far it is.

    Do it with the history that is kept for good, on the machine that keeps it: what it holds may
    be cut from the logs, and another history that is made from them then begins there.
    """
    marks, code = run(_archived(url, database))
    rows = ({"site": site, "seq": mark.seq, "by": mark.by} for site, mark in marks.items())
    show(rows, ("site", "seq", "by"), as_json=as_json)
    sys.exit(code)


async def _archived(url: str, database: Path) -> tuple[dict[str, Archived], int]:
    caught = await caught_up(url, database)
    caught.history.close()
    marks = {}
    for site, position in sorted(caught.positions.items()):
        marks[site] = Archived(
            genesis=position.genesis, seq=position.seq, h=position.h, by=f"operator:{user()}"
        )
        async with opened(url, site) as log:
            await log.set_archived(marks[site])
    return marks, caught.tell_lacking()


@click.command()
@click.argument("site")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--lost", multiple=True, help="An edge that will never come back with its tables; repeatable."
)
@redis_option
def trim(site: str, url: str, *, dry_run: bool, lost: tuple[str, ...]) -> None:
    """Cut the log of SITE below its newest verified snapshot.

    Refused, with every reason, while anybody needs what would go: an edge that has not applied
    it, a history that has not archived it.
    """
    seq, count, reasons = run(_trimmed(url, site, lost, dry_run=dry_run))
    if reasons:
        fail("\n  ".join((f"{site} is not cut:", *reasons)), EXIT_REFUSED)
    would = "would go" if dry_run else "went"
    click.echo(f"{site}: {count} events before event {seq} {would}")


async def _trimmed(
    url: str, site: str, lost: tuple[str, ...], *, dry_run: bool
) -> tuple[int, int, list[str]]:
    """The event to cut below, how many went, and what stands against it."""
    async with opened(url, site) as log:
        try:
            cut = await find_cut(log)
            return cut.seq, await log.trim(cut, lost, dry_run=dry_run), []
        except TrimRefusedError as error:
            return 0, 0, error.reasons
