"""Verification in a real lab: log, kernel maps and edge tell one story, or the tools say where."""

import json
import subprocess
import time

import pytest

from edge_agent.cli.inspect import pinned
from edge_agent.cli.verify import ALIVE_NS
from edge_agent.dhcp.tables import subscriber_key
from lease_core.domain.values import mac_from_text
from scripts.clients import udhcpc
from scripts.lab import BIN, Lab, Site
from tests.faults.test_kills import kill

pytestmark = pytest.mark.net


def edgectl(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    command = (BIN / "edgectl", "verify", "--config", site.config, *words)
    return subprocess.run(site.router.words(*command), capture_output=True, text=True, check=False)


def test_a_lost_map_entry_is_named_and_repaired(lab: Lab, site: Site) -> None:
    """I4: equal while the agent runs; a binding that somebody deletes from the pinned map is
    named with what the log says, and comes back by --repair once the agent is stopped."""
    lab.start_allocator()
    edge = lab.start_edge(site)
    home = lab.add_home(site, "home-1")
    assert udhcpc(lab, home)
    before = edgectl(site)
    assert before.returncode == 0, before.stderr
    with pinned(site.config, writable=True) as datapath:
        datapath.remove(subscriber_key(mac_from_text(home.mac)))
    [row] = [json.loads(line) for line in edgectl(site, "--json").stdout.splitlines()]

    assert (row["mac"], row["tables"]) == (home.mac, "nothing")
    assert edgectl(site, "--repair").returncode == 69, "the agent is the one writer"
    kill(lab, edge)
    time.sleep(ALIVE_NS / 10**9 + 1)
    repaired = edgectl(site, "--repair")
    assert repaired.returncode == 0, repaired.stderr
    assert edgectl(site).returncode == 0
    lab.leasectl("verify", site.name)
