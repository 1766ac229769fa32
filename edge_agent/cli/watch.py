"""edgectl watch: what the kernel program does with messages, per second, as it happens."""

import time
from collections.abc import Mapping
from pathlib import Path

import click

from edge_agent.cli.inspect import pinned
from edge_agent.cli.run import config_option


@click.command()
@config_option
@click.option(
    "--every", "every_s", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True
)
@click.option("--lines", type=click.IntRange(1), help="End after so many lines.")
def watch(path: Path, *, every_s: float, lines: int | None) -> None:
    """Show the verdicts of the kernel program in messages per second; Ctrl-C ends it."""
    with pinned(path) as datapath:
        before, started = datapath.counters(), time.monotonic()
        while lines != 0:
            time.sleep(every_s)
            after, now = datapath.counters(), time.monotonic()
            click.echo(f"{time.strftime('%H:%M:%S')}  {rates(before, after, now - started)}")
            before, started = after, now
            lines = lines and lines - 1


def rates(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> str:
    """Counters that moved, with how often a second; the most frequent first."""
    moved = {name: number - before[name] for name, number in after.items()}
    ordered = sorted((name for name in moved if moved[name]), key=lambda name: -moved[name])
    return "  ".join(f"{name} {moved[name] / seconds:.1f}/s" for name in ordered) or "-"
