"""leasectl allocator: run the allocator process."""

from pathlib import Path

import click

from lease_core import audit
from lease_core.cli.common import endpoint, redis_help, run
from lease_core.config import check, load
from lease_core.log.port import SiteLog
from lease_core.log.redis_log import connect
from lease_core.outlet import Outlet
from lease_core.service.allocator import Allocator
from lease_core.service.config import AllocatorConfig
from lease_core.service.snapshots import SnapshotPolicy
from lease_core.shutdown import run_until_signal


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="TOML file.")
@click.option("--redis", "url", envvar="LEASE_REDIS", help=f"{redis_help} Overrides the file.")
@click.option("--name", help="Overrides the file; shows in every event as `by`.")
def allocator(path: Path | None, url: str | None, name: str | None) -> None:
    """Decide for every site of the plan; as many may run as you like."""
    with Outlet() as outlet:
        audit.configure(outlet)
        run(_serve(path, url, name))


async def _serve(path: Path | None, url: str | None, name: str | None) -> None:
    config = load(path, AllocatorConfig) if path else AllocatorConfig()
    given = {"redis": endpoint(url).model_dump() if url else None, "name": name}
    overrides = {key: value for key, value in given.items() if value}
    config = check({**config.model_dump(), **overrides}, AllocatorConfig, "command line")

    async def opened(site: str) -> SiteLog:
        return connect(config.redis, site)

    policy = SnapshotPolicy(config.snapshot_events, config.snapshot_minutes * 60)
    deciding = Allocator(opened, config.name, config.deposed_writer_s, policy)
    await run_until_signal(deciding.run())
