"""A binding that becomes another's while it is read: nobody is told a foreign address."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from edge_agent.datapath import abi
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import subscriber_key
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.builds import Patch, build
from tests.kernel.lab import ADDRESS, BINDING, Lab
from tests.packets import CLIENT_MAC, DISCOVER, Client, ip

SUBJECTS = 64
SECONDS = 40 if os.environ.get("LEASE_FULL") == "1" else 7
"""For each of three builds."""

SLOW: Patch = {
    "binding.h": (
        "*copy = *value;",
        "for (int i = 0; i < 64; i++) bpf_ktime_get_ns();\n\t*copy = *value;",
    )
}
"""Time for a swap between finding a value and copying it."""


class Seen(NamedTuple):
    asked: int
    answered: int
    foreign: int
    swaps: int


@pytest.fixture(scope="session")
def racer(kernel: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three threads."""
    if not shutil.which("cc") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("the race needs a C compiler and two processors")
    made = tmp_path_factory.mktemp("race") / "race"
    source = Path(__file__).with_name("race.c")
    words = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread"]
    subprocess.run([*words, "-o", str(made), str(source), "-lbpf"], check=True)
    return made


def subjects() -> bytes:
    """Key, value, address and DISCOVER of each."""
    octets = b""
    for number in range(SUBJECTS):
        mac, address = Mac(CLIENT_MAC + number), Ipv4(ADDRESS + number)
        key = subscriber_key(mac)
        bound = replace(BINDING, ip=address, slot=number, seq=number)
        value = abi.pack_assignment(key, bound).ljust(48, b"\0")
        frame = Client(mac=mac, options=((53, bytes((DISCOVER,))),)).frame()
        octets += key.to_bytes(8, "little") + value + ip(address) + frame
    return octets


def race(racer: Path, directory: Path) -> Seen:
    """Swap and ask on tables of one's own."""
    with XdpDatapath.open(directory, 128) as opened:
        Lab(opened)
        words = [str(racer), str(directory / "subscriber_pools"), str(directory / "prog")]
        ran = subprocess.run(
            [*words, str(SECONDS)], input=subjects(), capture_output=True, check=True
        )
    seen = Seen(*map(int, ran.stdout.split()))
    print(f"{seen}")
    assert seen.answered > 1000 < seen.swaps
    return seen


def test_nobody_gets_a_foreign_address(racer: Path, directory: Path) -> None:
    """The program as it is shipped tells nobody an address of another."""
    assert race(racer, directory).foreign == 0


def test_not_even_a_slow_reader(
    racer: Path, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With time for many swaps between finding and copying, the checks still hold."""
    made = build(tmp_path, patch=SLOW)
    monkeypatch.setattr("edge_agent.datapath.pins.object_file", lambda: made)

    assert race(racer, directory).foreign == 0


def test_without_the_check_the_race_is_lost(
    racer: Path, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow reader that trusts what it finds tells foreign addresses: these tests can fail."""
    trusting = f"{SLOW['binding.h'][1]}\n\treturn NO_REASON;"
    made = build(tmp_path, patch={"binding.h": (SLOW["binding.h"][0], trusting)})
    monkeypatch.setattr("edge_agent.datapath.pins.object_file", lambda: made)

    assert race(racer, directory).foreign > 0
