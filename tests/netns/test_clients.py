"""Stock clients against the running service, on a real wire."""

import json
import sys
import time
from itertools import count
from pathlib import Path

import pytest

from scripts.clients import Resident, dhclient, lease_and_release, udhcpc
from scripts.exchange import watch
from scripts.lab import BIN, Home, Lab, Site, wait_until

pytestmark = pytest.mark.net

ROOT = Path(__file__).parents[2]
_numbers = count(1)


@pytest.fixture
def home(lab: Lab, site: Site) -> Home:
    """A subscriber nobody has seen yet."""
    return lab.add_home(site, f"home-{next(_numbers)}")


def known_by(lab: Lab) -> str:
    """Who answers a known subscriber here."""
    return "kernel" if lab.datapath == "xdp" else "agent"


def events_of(lab: Lab, home: Home) -> list[str]:
    lines = lab.leasectl("events", "tail", home.site.name, "-n", 1000, "--json").splitlines()
    events = map(json.loads, lines)
    return [event["type"] for event in events if event.get("mac") == home.mac]


@pytest.mark.parametrize("client", [udhcpc, dhclient])
def test_first_time_upstream_second_time_known(lab: Lab, home: Home, client) -> None:
    """A new subscriber is served through the log, and the second time by the tables alone."""
    first = watch(lab, home, lambda: client(lab, home))
    second = watch(lab, home, lambda: client(lab, home))

    assert [(a.request, a.reply, a.by) for a in first] == [
        ("DISCOVER", "OFFER", "upstream"),
        ("REQUEST", "ACK", "upstream"),
    ]
    assert second
    assert {answer.by for answer in second} == {known_by(lab)}
    assert {answer.ip for answer in second} == {first[0].ip}
    assert events_of(lab, home) == ["LeaseAssigned"]


def test_unicast_renewal(lab: Lab, home: Home) -> None:
    """A client that renews by unicast is answered from the tables, and keeps its address."""
    resident = Resident(lab, home)
    address = resident.address
    answers = watch(lab, home, resident.is_renewed)

    assert answers
    assert {(a.request, a.reply, a.by) for a in answers} == {("REQUEST", "ACK", known_by(lab))}
    assert resident.address == address


def test_release_goes_through_the_log_and_the_address_comes_back(lab: Lab, home: Home) -> None:
    """A RELEASE ends the binding in the log; its holder gets the same address again."""
    address = lease_and_release(lab, home)
    wait_until(lambda: "RemovalAcked" in events_of(lab, home), "the acknowledged release")
    again = udhcpc(lab, home)

    assert again == address
    assert events_of(lab, home) == [
        "LeaseAssigned", "LeaseReleased", "RemovalAcked", "LeaseAssigned",
    ]  # fmt: skip


def test_a_stranger_with_anothers_address_is_told_no(lab: Lab, site: Site) -> None:
    """A client that reboots with an address bound to another gets a NAK, then its own."""
    holder = lab.add_home(site, f"holder-{next(_numbers)}")
    address = dhclient(lab, holder)
    thief = lab.add_home(site, f"thief-{next(_numbers)}")
    stolen = (lab.directory / f"{holder.name}.leases").read_text()
    (lab.directory / f"{thief.name}.leases").write_text(stolen)
    answers = watch(lab, thief, lambda: dhclient(lab, thief))

    assert answers[0].reply == "NAK"
    assert answers[-1].reply == "ACK"
    assert answers[-1].ip != address


def test_hostile_host_name_forges_no_line(lab: Lab, home: Home) -> None:
    """Control bytes in a host name reach no log line, stream field or terminal."""
    hostile = 'x\n{"event":"forged"}\x1b[2J'
    udhcpc(lab, home, "-x", f"0x0c:{hostile.encode().hex()}")
    wait_until(lambda: bool(events_of(lab, home)), "the assignment")
    names = {line["event"] for line in lab.log_of(f"edge-{home.site.name}")}
    raw = (lab.directory / f"edge-{home.site.name}.log").read_bytes()
    raw += (lab.directory / "allocator.log").read_bytes()
    stream = lab.redis_cli("XRANGE", f"lease:{{{home.site.name}}}:events", "-", "+")

    assert "forged" not in names
    assert not any(octet < 0x20 and octet != 0x0A for octet in raw)
    assert "\x1b" not in stream


def test_status_map_and_who_tell_the_same(lab: Lab, home: Home) -> None:
    """What the wire saw, the map holds, the log says and the historian answers."""
    address = udhcpc(lab, home)
    time.sleep(1.1)
    told = json.loads(lab.leasectl("who", address, "--json"))
    shown = lab.leasectl("lease", "show", home.site.name, home.mac, "--json")

    assert told["mac"] == home.mac
    assert json.loads(shown)["ip"] == address
    if lab.datapath == "xdp":
        words = (BIN / "edgectl", "map", "--config", home.site.config, "--json")
        rows = map(json.loads, home.site.router.run(*words).splitlines())
        assert any(r["mac"] == home.mac and r["ip"] == address for r in rows)


def test_status_says_that_all_is_well(lab: Lab, home: Home) -> None:
    """The centre knows of each edge, and the router of itself."""

    def central() -> dict[str, object]:
        told = lab.leasectl("status", home.site.name, "--json", check=False)
        row: dict[str, object] = json.loads(told)
        return row

    wait_until(lambda: central()["trouble"] == "", "a site without trouble")
    row = central()
    words = (BIN / "edgectl", "status", "--config", home.site.config, "--json")
    own = json.loads(home.site.router.run(*words))

    assert (row["leader"], row["follows"], row["edge"]) == (
        "allocator",
        "live",
        f"{home.site.name}-bng1",
    )
    assert own["following"] == "live"
    assert own["told_s_ago"] <= 5


def test_packet_shows_what_the_program_would_answer(lab: Lab, home: Home) -> None:
    """`edgectl packet` gives the kernel's own answer for a known client, the reason for others."""
    if lab.datapath != "xdp":
        return  # there is no program to ask
    address = udhcpc(lab, home)

    def packet(*words: str) -> str:
        command = (BIN / "edgectl", "packet", "--config", home.site.config, *words)
        return home.site.router.run(*command, check=False)

    assert f"yiaddr      {address}" in packet(home.mac, "--type", "discover")
    assert "message     ACK" in packet(home.mac, "--type", "request")
    assert "pass_other_address" in packet(home.mac, "--type", "request", "--ip", "192.0.2.9")
    assert "pass_unknown_client" in packet("02:00:00:00:99:99")


SPOOF = """
import socket
from tests.packets import DISCOVER, dhclient
mac = int({mac!r}.replace(":", ""), 16)
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    wire.send(dhclient(DISCOVER, mac=mac + (1 << 24)).but(src_mac=mac).frame())
"""


def test_a_sender_with_anothers_mac_is_told(lab: Lab, home: Home) -> None:
    """What the kernel notices of a sender stands in the agent's audit lines within seconds."""
    if lab.datapath != "xdp":
        return  # there is no kernel part to notice
    home.namespace.run(
        "env", f"PYTHONPATH={ROOT}", sys.executable, "-c", SPOOF.format(mac=home.mac)
    )

    def told() -> list[dict[str, object]]:
        lines = lab.log_of(f"edge-{home.site.name}")
        return [line for line in lines if line["event"] == "sender.suspicious"]

    wait_until(lambda: any(line["sender"] == home.mac for line in told()), "the notice")
    assert {line["verdict"] for line in told()} == {"pass_source_mac"}
