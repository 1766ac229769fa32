"""leasectl recovery: what an operator knows of a log that lost events."""

import secrets

import click

from lease_core.cli.common import opened, redis_option, run, user
from lease_core.domain.commands import EndRecovery, StartRecovery
from lease_core.domain.values import InvalidValueError
from lease_core.service.border import fault_of


@click.group()
def recovery() -> None:
    """Recovery of a site whose log lost events; see docs/operating.md."""


@recovery.command("start")
@click.argument("site")
@click.option("--cause", default="operator", help="Why; stands in the log.")
@redis_option
def recovery_start(site: str, cause: str, url: str) -> None:
    """Assign nothing anew at SITE until its edge agrees with the log, or A + Q passed.

    For a log that was restored from a copy while no allocator that saw the lost events runs.
    """
    run(_ask(url, site, StartRecovery(req=secrets.token_hex(6), cause=f"{cause}:{user()}")))
    click.echo(f"asked; follow it with: leasectl events tail {site}")


@recovery.command("end")
@click.argument("site")
@click.option("--cause", default="operator", help="Why; stands in the log.")
@click.option("--yes", is_flag=True, help="I answer for it that no client is promised anything.")
@redis_option
def recovery_end(site: str, cause: str, url: str, *, yes: bool) -> None:
    """Assign at SITE again before the edge agrees with the log.

    Only where no client can use an address that the lost events gave it: then two would hold it.
    """
    if not yes:
        raise click.UsageError("a client may still use an address of lost events; say --yes")
    run(_ask(url, site, EndRecovery(req=secrets.token_hex(6), cause=f"{cause}:{user()}")))
    click.echo(f"asked; follow it with: leasectl events tail {site}")


async def _ask(url: str, site: str, command: StartRecovery | EndRecovery) -> None:
    if fault := fault_of(command):
        raise InvalidValueError(fault)
    async with opened(url, site) as log:
        await log.send(command, f"operator:{user()}")
