"""edgectl metrics: the tables' counters in Prometheus' text format, read when it is asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from edge_agent.cli.inspect import SECOND_NS, pinned
from edge_agent.cli.run import config_option, load_config
from edge_agent.dhcp.tables import SiteState
from lease_core.clock import boot_ns


@click.command()
@config_option
def metrics(path: Path) -> None:
    """Print counters and state of the kernel's fast path for Prometheus."""
    config = load_config(path)
    with pinned(path) as datapath:
        state, counters = datapath.state(), datapath.counters()
        notices = datapath.notices.counts()
    labels = {"site": config.site, "edge": config.edge}
    for line in rendered(labels, counters, state, notices, boot_ns()):
        click.echo(line)


def rendered(
    labels: Mapping[str, str],
    counters: Mapping[str, int],
    state: SiteState,
    notices: tuple[int, int],
    now_boot_ns: int,
) -> Iterator[str]:
    """Lines of the text format 0.0.4; `labels` stand on every sample.

    `notices` are those that were told since the tables were made, and how many of them the agent
    has not taken yet.
    """
    yield "# HELP lease_edge_messages_total DHCP messages by verdict of the kernel program."
    yield "# TYPE lease_edge_messages_total counter"
    for verdict, number in counters.items():
        yield _sample("lease_edge_messages_total", {**labels, "verdict": verdict}, number)
    yield "# HELP lease_edge_notices_total What the kernel program told the agent."
    yield "# TYPE lease_edge_notices_total counter"
    yield _sample("lease_edge_notices_total", labels, notices[0])
    horizon_left_ns = max(0, state.horizon_boot_ns - now_boot_ns)
    silent_ns = max(0, now_boot_ns - state.touched_boot_ns)
    for name, help_text, value in (
        ("gate_open", "1 = the kernel program may answer.", int(state.gate)),
        ("horizon_left_seconds", "Until no promise is given.", horizon_left_ns / SECOND_NS),
        ("agent_silent_seconds", "Since the agent touched the tables.", silent_ns / SECOND_NS),
        ("applied_seq", "Last event of the log that the tables hold.", state.cursor_lo),
        ("epoch", "Of that event.", state.epoch),
        ("notices_untaken", "Of the notices, those that the agent has not taken.", notices[1]),
    ):
        yield f"# HELP lease_edge_{name} {help_text}"
        yield f"# TYPE lease_edge_{name} gauge"
        yield _sample(f"lease_edge_{name}", labels, value)


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    listed = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{listed}}} {value}"
