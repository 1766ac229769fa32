"""edgectl: one edge agent, and what it left in the kernel."""

import click

from edge_agent.cli.inspect import detach, show_map, status
from edge_agent.cli.metrics import metrics
from edge_agent.cli.packet import packet
from edge_agent.cli.run import run
from edge_agent.cli.verify import verify
from edge_agent.cli.watch import watch


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run the edge agent of an access router, or look at what it keeps in the kernel."""


for command in (run, status, metrics, watch, show_map, packet, verify, detach):
    main.add_command(command)
