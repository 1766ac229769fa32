"""leasectl site and pool: change and show the plan."""

import secrets
from collections.abc import Callable, Iterable
from typing import TextIO

import click

from lease_core.cli.common import json_option, opened, redis_option, run, show, user
from lease_core.cli.plan_file import line_of, read_lines
from lease_core.domain.dhcp_options import show_options
from lease_core.domain.events import Event, PrefixPlanned, SiteAdded
from lease_core.domain.plan import (
    Plan,
    PlanRefusedError,
    add_site,
    options_of,
    plan_options,
    plan_prefix,
    replace_log,
)
from lease_core.domain.values import ip_text, name
from lease_core.log.keys import PLAN
from lease_core.service.planner import change_plan, import_plan, read_plan


async def _change(url: str, make: Callable[[Plan], Event]) -> Event:
    async with opened(url, PLAN) as log:
        return await change_plan(log, f"operator:{user()}", make)


async def _plan(url: str) -> Plan:
    async with opened(url, PLAN) as log:
        return (await read_plan(log))[0]


@click.group()
def plan() -> None:
    """The whole plan, to keep it outside of Redis."""


@plan.command("export")
@redis_option
def plan_export(url: str) -> None:
    """Print the plan, one event a line; keep it where a lost Redis takes nothing with it."""
    for event in run(_plan(url)).events:
        click.echo(line_of(event))


@plan.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@redis_option
def plan_import(file: TextIO, url: str) -> None:
    """Write the plan of FILE, as `leasectl plan export` printed it, where there is none.

    Then restart the allocators, and for each site whose log is gone: leasectl site recreate.
    """
    run(_import(url, file))
    click.echo("plan imported; next: restart the allocators, see: leasectl site list")


async def _import(url: str, lines: Iterable[str]) -> None:
    events = read_lines(lines)
    async with opened(url, PLAN) as log:
        await import_plan(log, f"operator:{user()}", events)


@click.group()
def site() -> None:
    """Sites: one access router and one log each."""


@site.command("add")
@click.argument("site_name")
@click.option("--horizon", "horizon_s", type=click.IntRange(600, 604_800), default=14_400)
@click.option("--reuse-guard", "reuse_guard_s", type=click.IntRange(10, 3600), default=120)
@redis_option
def site_add(site_name: str, horizon_s: int, reuse_guard_s: int, url: str) -> None:
    """Add SITE_NAME; the allocators take it up within a second.

    A long horizon (seconds) lets the site serve through a long partition; a short one brings the
    addresses of a dead site back sooner.
    """
    run(_add_site(url, site_name, horizon_s, reuse_guard_s))
    click.echo(f"site {site_name} added; next: leasectl pool add {site_name}/POOL PREFIX")


async def _add_site(url: str, site_name: str, horizon_s: int, reuse_guard_s: int) -> None:
    async with opened(url, name(site_name)) as log:
        genesis = await log.create(secrets.token_hex(16))
    await _change(
        url,
        lambda plan: add_site(
            plan,
            site=site_name,
            genesis=genesis,
            horizon_s=horizon_s,
            reuse_guard_s=reuse_guard_s,
            cause="leasectl",
        ),
    )


@site.command("recreate")
@click.argument("site_name")
@click.option("--yes", is_flag=True, help="I answer for it that the log will not come back.")
@redis_option
def site_recreate(site_name: str, url: str, *, yes: bool) -> None:
    """Begin a new log in the place of SITE_NAME's, which is lost and will not come back.

    Restore the old one if there is any copy: events that the copy lacks are recovered from the
    edge by itself. Known clients are served meanwhile; edges come over when the new log knows
    what they promised. If another log than the plan's stands there, as a copy from before a
    former recreate is, that one is taken up.
    """
    if not yes:
        raise click.UsageError("a log that comes back later would be another one; say --yes")
    run(_recreate(url, site_name))
    click.echo(f"{site_name} has another log; follow it with: leasectl events tail {site_name}")


async def _recreate(url: str, site_name: str) -> None:
    if site_name not in (await _plan(url)).sites:
        raise PlanRefusedError(f"there is no site {site_name}; see: leasectl site list")
    async with opened(url, name(site_name)) as log:
        genesis = await log.create(secrets.token_hex(16))
    await _change(url, lambda plan: replace_log(plan, site=site_name, genesis=genesis))


@site.command("list")
@redis_option
@json_option
def site_list(url: str, as_json: bool) -> None:
    """Show every site of the plan."""
    rows = (_site_row(added) for added in run(_plan(url)).sites.values())
    show(rows, ("site", "horizon_s", "reuse_guard_s", "genesis"), as_json=as_json)


def _site_row(added: SiteAdded) -> dict[str, object]:
    return {
        "site": added.site,
        "horizon_s": added.horizon_s,
        "reuse_guard_s": added.reuse_guard_s,
        "genesis": added.genesis,
    }


@click.group()
def pool() -> None:
    """Pools: the prefixes that sites assign from; they never overlap."""


option_option = click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="What clients are told, by name or code: mtu=1500, dns=192.0.2.53,192.0.2.54, "
    "121='10.0.0.0/8 via 192.0.2.1', 43=hex:0104c0000201; may be repeated.",
)


@pool.command("add")
@click.argument("site_and_pool", metavar="SITE/POOL")
@click.argument("prefix")
@click.option("--gateway", help="First or last usable address; the first unless told.")
@click.option("--dns", multiple=True, help="A DNS server; may be repeated.")
@click.option("--lease-time", "lease_time_s", type=int, default=3600, show_default=True)
@option_option
@redis_option
def pool_add(
    *,
    site_and_pool: str,
    prefix: str,
    gateway: str | None,
    dns: tuple[str, ...],
    lease_time_s: int,
    options: tuple[str, ...],
    url: str,
) -> None:
    """Give PREFIX to SITE as POOL."""
    site_name, _, pool_name = site_and_pool.partition("/")
    planned = run(
        _change(
            url,
            lambda plan: plan_prefix(
                plan,
                site=site_name,
                pool=pool_name,
                network=prefix,
                gateway=gateway,
                dns=dns,
                lease_time_s=lease_time_s,
                cause="leasectl",
                options=options,
            ),
        )
    )
    assert isinstance(planned, PrefixPlanned)
    size = planned.last - planned.first + 1
    click.echo(f"pool {site_and_pool} added: {size} addresses, gateway {ip_text(planned.gateway)}")


@pool.command("set")
@click.argument("site_and_pool", metavar="SITE/POOL")
@option_option
@click.option("--unset", multiple=True, metavar="NAME", help="Tell it no more; may be repeated.")
@redis_option
def pool_set(
    site_and_pool: str, options: tuple[str, ...], unset: tuple[str, ...], url: str
) -> None:
    """Change what clients of POOL are told; those that are not named stay as they are.

    Clients hear of it with their next renewal.
    """
    if not options and not unset:
        raise click.UsageError("nothing to change; name it with --option or --unset")
    site_name, _, pool_name = site_and_pool.partition("/")
    run(
        _change(
            url,
            lambda plan: plan_options(
                plan,
                site=site_name,
                pool=pool_name,
                changed=options,
                unset=unset,
                cause="leasectl",
            ),
        )
    )
    click.echo(f"pool {site_and_pool} set; see: leasectl pool list")


@pool.command("list")
@redis_option
@json_option
def pool_list(url: str, as_json: bool) -> None:
    """Show every pool of the plan."""
    rows = (
        {
            "pool": f"{planned.site}/{planned.pool}",
            "network": planned.network,
            "first": ip_text(planned.first),
            "last": ip_text(planned.last),
            "gateway": ip_text(planned.gateway),
            "lease_time_s": planned.lease_time_s,
            "options": show_options(options_of(planned)),
        }
        for planned in run(_plan(url)).prefixes
    )
    columns = ("pool", "network", "first", "last", "gateway", "lease_time_s", "options")
    show(rows, columns, as_json=as_json)
