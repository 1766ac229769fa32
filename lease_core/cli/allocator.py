"""leasectl allocator: run the allocator process."""

from pathlib import Path

import click

from lease_core import audit
from lease_core.cli.common import endpoint, json_option, opened, redis_help, redis_option, run, show
from lease_core.collecting import spare_the_old
from lease_core.config import check, load
from lease_core.log.connecting import Connector
from lease_core.log.keys import PLAN
from lease_core.log.members import RedisMembers
from lease_core.service.allocator import Allocator
from lease_core.service.config import AllocatorConfig
from lease_core.service.planner import read_plan
from lease_core.service.snapshots import SnapshotPolicy
from lease_core.shutdown import run_until_signal


@click.group(invoke_without_command=True)
@click.option("--config", "path", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--redis", "url", envvar="LEASE_REDIS", help=f"{redis_help} Overrides the file.")
@click.option("--name", help="Overrides the file; shows in every event as `by`.")
@click.pass_context
def allocator(context: click.Context, path: Path | None, url: str | None, name: str | None) -> None:
    """Decide for the sites of the plan; as many may run as you like, and share them."""
    if context.invoked_subcommand is None:
        with audit.written_out():
            run(_serve(path, url, name))


@allocator.command("list")
@redis_option
@json_option
def list_allocators(url: str, as_json: bool) -> None:
    """Show the allocators that live, and the sites that each leads."""
    rows = run(_allocators(url))
    show(rows, ("allocator", "leads", "sites"), as_json=as_json)


async def _allocators(url: str) -> list[dict[str, object]]:
    members = RedisMembers(endpoint(url))
    try:
        living = await members.living()
    finally:
        await members.close()
    led: dict[str, list[str]] = {member: [] for member in living}
    async with opened(url, PLAN) as log:
        sites = (await read_plan(log))[0].sites
    for site in sites:
        async with opened(url, site) as log:
            head = await log.head()
        if head and head.owner in led:
            led[head.owner].append(site)
    return [
        {"allocator": member, "leads": len(own), "sites": " ".join(sorted(own))}
        for member, own in sorted(led.items())
    ]


async def _serve(path: Path | None, url: str | None, name: str | None) -> None:
    config = load(path, AllocatorConfig) if path else AllocatorConfig()
    given = {"redis": endpoint(url).model_dump() if url else None, "name": name}
    overrides = {key: value for key, value in given.items() if value}
    config = check({**config.model_dump(), **overrides}, AllocatorConfig, "command line")

    policy = SnapshotPolicy(config.snapshot_events, config.snapshot_minutes * 60)
    connector = Connector(config.redis, config.replicas)
    deciding = Allocator(
        connector,
        config.name,
        config.deposed_writer_s,
        policy,
        RedisMembers(config.redis),
        allows_unsafe=config.allow_unsafe_redis_settings,
    )
    spare_the_old()
    try:
        await run_until_signal(deciding.run())
    finally:
        await connector.close()
