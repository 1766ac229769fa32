"""`edgectl watch` and `edgectl status` beside the agent that takes the notices."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent.cli.main import main
from edge_agent.datapath.xdp import XdpDatapath
from tests.kernel.lab import ADDRESS, IFINDEX, Lab
from tests.packets import CLIENT_MAC, DISCOVER, REQUEST, SERVER, dhclient

SPOOFED = dhclient(DISCOVER).but(src_mac=CLIENT_MAC + 1)
RENEWING = dhclient(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)


@pytest.fixture
def site(directory: Path, tmp_path: Path) -> Iterator[tuple[XdpDatapath, Path]]:
    """A site with one subscriber, and the file that names its pins."""
    config = tmp_path / "edge.toml"
    config.write_text(f'site = "s"\nedge = "e"\ninterfaces = ["lo"]\npin_dir = "{directory}"\n')
    with XdpDatapath.open(directory, 64) as opened:
        Lab(opened)
        yield opened, config


def edgectl(config: Path, *words: str) -> str:
    result = CliRunner().invoke(main, [*words, "--config", str(config)])
    assert result.exit_code == 0, result.output
    return result.output


def test_watch_shows_notices_and_takes_none(site: tuple[XdpDatapath, Path]) -> None:
    """Notices stand between the counters' rates as they happen, and the agent gets them all."""
    opened, config = site
    opened.test_run(SPOOFED.frame(), IFINDEX)  # before, so not shown
    done = threading.Event()

    def serve() -> None:
        while not done.wait(0.01):
            opened.test_run(SPOOFED.frame(), IFINDEX)
            opened.test_run(RENEWING.frame(), IFINDEX)

    server = threading.Thread(target=serve)
    server.start()
    shown = edgectl(config, "watch", "--every", "0.3", "--lines", "2")
    done.set()
    server.join()

    suspect = "suspect of 02:00:00:00:00:17 on lo: pass_source_mac from 02:00:00:00:00:18"
    assert 2 <= shown.count(suspect) <= len(opened.take_notices(10_000)) - 2
    assert "pass_source_mac " in shown.splitlines()[-1]


def test_status_counts_notices(site: tuple[XdpDatapath, Path]) -> None:
    """What was told since the tables were made, and what of it the agent has not taken."""
    opened, config = site
    opened.test_run(SPOOFED.frame(), IFINDEX)
    opened.test_run(RENEWING.frame(), IFINDEX)
    opened.take_notices(1)

    assert "2, 1 of them not taken by the agent yet" in edgectl(config, "status")
    metrics = edgectl(config, "metrics")
    assert 'lease_edge_notices_total{site="s",edge="e"} 2' in metrics
    assert 'lease_edge_notices_untaken{site="s",edge="e"} 1' in metrics
