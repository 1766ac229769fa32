"""edgectl watch: what the kernel program does, per second, and what it tells, as it happens."""

import time
from collections.abc import Mapping
from pathlib import Path

import click

from edge_agent.cli.inspect import SECOND_NS, lines_of, pinned
from edge_agent.cli.run import config_option, load_config
from edge_agent.datapath.notices import Notice, NoticeKind
from edge_agent.sync.lines import Lines
from lease_core.clock import boot_ns
from lease_core.domain.values import ip_text, mac_text

CLOCK = "%H:%M:%S"


@click.command()
@config_option
@click.option(
    "--every", "every_s", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True
)
@click.option("--lines", type=click.IntRange(1), help="End after so many lines.")
def watch(path: Path, *, every_s: float, lines: int | None) -> None:
    """Show verdicts of the kernel program in messages per second, and notices; Ctrl-C ends it.

    Nothing is taken from the agent, which tells notices in its audit lines.
    """
    names = lines_of(load_config(path))
    with pinned(path) as datapath:
        before, started, at = datapath.counters(), time.monotonic(), datapath.notices.produced
        while lines != 0:
            time.sleep(every_s)
            notices, at = datapath.notices.look(at)
            for notice in notices:
                click.echo(told(notice, names, boot_ns()))
            after, now = datapath.counters(), time.monotonic()
            click.echo(f"{time.strftime(CLOCK)}  {rates(before, after, now - started)}")
            before, started = after, now
            lines = lines and lines - 1


def told(notice: Notice, names: Lines, now_boot_ns: int) -> str:
    """A notice as one line, with the wall clock's time of what it tells."""
    ago_s = (now_boot_ns - notice.at_boot_ns) / SECOND_NS
    clock = time.strftime(CLOCK, time.localtime(time.time() - ago_s))
    what = notice.kind.name.lower().replace("_", "-")
    more = (
        f"{notice.verdict} from {mac_text(notice.sender)}"
        if notice.kind is NoticeKind.SUSPECT
        else f"{ip_text(notice.ip)}, event {notice.seq}"
    )
    return f"{clock}  {what} of {mac_text(notice.mac)} on {names.text(notice.line)}: {more}"


def rates(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> str:
    """Counters that moved, with how often a second; the most frequent first."""
    moved = {name: number - before[name] for name, number in after.items()}
    ordered = sorted((name for name in moved if moved[name]), key=lambda name: -moved[name])
    return "  ".join(f"{name} {moved[name] / seconds:.1f}/s" for name in ordered) or "-"
