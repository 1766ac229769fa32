"""edgectl run: serve DHCP on this router."""

import asyncio
import sys
from pathlib import Path

import click

from edge_agent.agent.config import EdgeConfig
from edge_agent.agent.opening import open_datapath
from edge_agent.agent.runtime import Runtime
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.packet_socket import PacketSocketError
from lease_core import audit
from lease_core.collecting import spare_the_old
from lease_core.config import ConfigError, load
from lease_core.log.connecting import connect
from lease_core.shutdown import run_until_signal

EXIT_UNAVAILABLE = 69
EXIT_CONFIG = 78

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("/etc/lease/edge.toml"),
    show_default=True,
    help="The edge's TOML file.",
)


def load_config(path: Path) -> EdgeConfig:
    """Read the configuration, or end the program with all its faults."""
    try:
        return load(path, EdgeConfig)
    except ConfigError as error:
        click.echo(f"edgectl: {error}", err=True)
        sys.exit(EXIT_CONFIG)


@click.command()
@config_option
@click.option("--check-config", is_flag=True, help="Check the file and end.")
def run(path: Path, *, check_config: bool) -> None:
    """Serve until stopped; the kernel goes on answering known clients afterwards."""
    config = load_config(path)
    if check_config:
        click.echo(f"{path}: no faults")
        return
    with audit.written_out():
        try:
            asyncio.run(_serve(config))
        except (FastPathError, PacketSocketError) as error:
            click.echo(f"edgectl: {error}", err=True)
            sys.exit(EXIT_UNAVAILABLE)


async def _serve(config: EdgeConfig) -> None:
    datapath = open_datapath(config)
    runtime = Runtime(config, connect(config.redis, config.site), datapath)
    spare_the_old()
    await run_until_signal(runtime.run())
    datapath.close()
