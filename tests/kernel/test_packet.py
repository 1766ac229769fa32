"""`edgectl packet` on the loaded program: every key mode and type, by its own words."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent.cli.main import main
from edge_agent.cli.packet import OTHER_PROGRAM
from edge_agent.datapath.dry_run import XDP_PASS
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import KeyMode, Limit, Line, Port, key_of
from lease_core.domain.values import NO_IP, Ipv4, Mac, ip_text, mac_text
from tests.kernel.builds import build
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, KEY, POOL, SECOND, Lab, now_boot_ns
from tests.packets import CLIENT_MAC, DISCOVER, PORT_MAC, RELAY, dhclient

CLIENT = mac_text(Mac(CLIENT_MAC))
IP = ip_text(Ipv4(ADDRESS))
TAGGED = Line(IFINDEX, 100, 7)
CIRCUIT = Line(IFINDEX, giaddr=Ipv4(RELAY), circuit=b"port-4")


@pytest.fixture
def site(directory: Path, tmp_path: Path) -> Iterator[tuple[XdpDatapath, Path]]:
    """A site with one subscriber, and the file that names its pins."""
    config = tmp_path / "edge.toml"
    config.write_text(f'site = "s"\nedge = "e"\ninterfaces = ["lo"]\npin_dir = "{directory}"\n')
    with XdpDatapath.open(directory, 64, has_circuits=True) as opened:
        Lab(opened)
        yield opened, config


def edgectl(config: Path, *words: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["packet", CLIENT, "--config", str(config), *words])
    return result.exit_code, result.output


def bind(opened: XdpDatapath, line: Line, mode: KeyMode) -> None:
    relays = (line.giaddr,) if line.giaddr else ()
    opened.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=relays, key=mode, trusted=not relays))
    key = key_of(Mac(CLIENT_MAC), line, mode)
    opened.put(key, replace(BINDING, slot=5, line=line, mac=Mac(CLIENT_MAC)))


def test_types(site: tuple[XdpDatapath, Path]) -> None:
    """Each type is a message of its own; what the program leaves to the agent has its reason."""
    _, config = site
    code, told = edgectl(config)
    assert (code, "discover of 02:00:00:00:00:17 on lo: offer" in told) == (0, True)
    assert f"yiaddr      {IP}" in told
    assert "message     OFFER" in told
    for state in ("selecting", "init-reboot", "renewing", "rebinding"):
        code, told = edgectl(config, "--type", "request", "--state", state)
        assert (code, "message     ACK" in told) == (0, True)
    code, told = edgectl(config, "--type", "inform")
    assert (code, "on lo: inform_ack" in told, "message     ACK" in told) == (0, True, True)
    code, told = edgectl(config, "--type", "release")
    assert (code, "pass_message_type" in told) == (1, True)


def test_lines_by_vlan(site: tuple[XdpDatapath, Path]) -> None:
    """A binding on VLANs is found and asked for there; on another line it has another verdict."""
    opened, config = site
    opened.remove(key_of(Mac(CLIENT_MAC), BINDING.line, KeyMode.MAC))
    bind(opened, TAGGED, KeyMode.LINE)

    code, told = edgectl(config)
    assert (code, "on lo:100.7: offer" in told) == (0, True)
    assert f"yiaddr      {IP}" in told
    assert "message     OFFER" in told
    assert "pass_unknown_client" in edgectl(config, "--line", "lo:100.8")[1]
    assert edgectl(config, "--line", "lo:100.x")[0] == 2


def test_lines_by_circuit(site: tuple[XdpDatapath, Path]) -> None:
    """A binding behind a relay is asked for through it; its unicast comes past it."""
    opened, config = site
    opened.remove(key_of(Mac(CLIENT_MAC), BINDING.line, KeyMode.MAC))
    bind(opened, CIRCUIT, KeyMode.CIRCUIT)
    config.write_text(
        config.read_text().replace('interfaces = ["lo"]\n', "")
        + f'[[port]]\ninterface = "lo"\nrelays = ["{ip_text(Ipv4(RELAY))}"]\nkey = "circuit"\n'
    )

    code, told = edgectl(config)
    assert (code, f"on lo#{ip_text(Ipv4(RELAY))}=port-4: offer" in told) == (0, True)
    assert f" {ip_text(Ipv4(RELAY))}" in told
    assert "option 82" in told
    assert "ack" in edgectl(config, "--type", "request", "--state", "rebinding")[1]
    assert "pass_circuit" in edgectl(config, "--type", "request", "--state", "renewing")[1]


def test_live_traffic_does_not_mix_in(site: tuple[XdpDatapath, Path]) -> None:
    """While others are served, the verdict is the packet's alone."""
    opened, config = site
    other, done = dhclient(DISCOVER, mac=CLIENT_MAC + 1).frame(), threading.Event()

    def serve() -> None:
        while not done.is_set():
            opened.test_run(other, IFINDEX)

    traffic = threading.Thread(target=serve)
    traffic.start()
    verdicts = [edgectl(config)[1].splitlines()[0] for _ in range(5)]
    done.set()
    traffic.join()

    assert verdicts == [f"discover of {CLIENT} on lo: offer"] * 5
    assert opened.counters()["pass_unknown_client"] > 0


def test_a_run_leaves_no_trace(site: tuple[XdpDatapath, Path]) -> None:
    """No promise is raised, no token taken, nothing counted or told, and nothing stays pinned
    (I6)."""
    opened, config = site
    opened.put_port(IFINDEX, Port(Mac(PORT_MAC), mac_limit=Limit(1, 1), line_limit=Limit(1, 1)))
    before, pinned = opened.counters(), sorted(path.name for path in opened.directory.iterdir())
    for words, verdict in (
        (("--type", "request"), "ack"),
        (("--type", "request", "--ip", "192.0.2.9"), "pass_other_address"),
        (("--type", "request", "--ip", "192.0.2.9"), "pass_other_address"),
        (("--line", "lo:7"), "pass_other_line"),
    ):
        assert edgectl(config, *words)[1].splitlines()[0].endswith(f": {verdict}")

    assert opened.counters() == before
    assert opened.promise(BINDING.slot) == 0
    assert opened.notices.counts() == (0, 0)
    assert sorted(path.name for path in opened.directory.iterdir()) == pinned
    stranger = dhclient(DISCOVER, mac=CLIENT_MAC + 1).frame()
    assert opened.test_run(stranger, IFINDEX)[0] == XDP_PASS


def test_a_stranger_takes_nothing_from_the_stock(site: tuple[XdpDatapath, Path]) -> None:
    """Told is what a stranger would be offered, and the address stays nobody's."""
    opened, config = site
    Lab(opened).set_state(current_until_boot_ns=now_boot_ns() + 900 * SECOND)
    opened.put_port(IFINDEX, Port(Mac(PORT_MAC), offers_stock=True))
    opened.remove(KEY)
    opened.stock.put(0, BINDING.ip, POOL, NO_IP, now_boot_ns() + 900 * SECOND)
    opened.set_stock_groups(1)

    code, told = edgectl(config, "--line", "lo")
    assert (code, "on lo: offer" in told, f"yiaddr      {IP}" in told) == (0, True, True)
    assert opened.stock.owner(0) == 0
    opened.stock.clear(0)
    assert "pass_unknown_client" in edgectl(config, "--line", "lo")[1]


def test_another_program_is_told(
    site: tuple[XdpDatapath, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the program that serves is of another release than the one that judges, it is said."""
    _, config = site
    assert OTHER_PROGRAM not in edgectl(config)[1]
    made = build(tmp_path, patch={"reply.h": ("#define REPLY_TTL 64", "#define REPLY_TTL 63")})
    monkeypatch.setattr("edge_agent.datapath.pins.object_file", lambda: made)
    code, told = edgectl(config)

    assert (code, OTHER_PROGRAM in told) == (0, True)


def test_lines_of_an_access_node(site: tuple[XdpDatapath, Path]) -> None:
    """A binding on a circuit without relay is asked for as the access node marks it."""
    opened, config = site
    opened.remove(key_of(Mac(CLIENT_MAC), BINDING.line, KeyMode.MAC))
    bind(opened, Line(IFINDEX, circuit=b"port-4"), KeyMode.CIRCUIT)
    config.write_text(
        config.read_text().replace('interfaces = ["lo"]\n', "")
        + '[[port]]\ninterface = "lo"\ntrusted = true\nkey = "circuit"\n'
    )

    code, told = edgectl(config)
    assert (code, "on lo#0.0.0.0=port-4: offer" in told) == (0, True)
    assert "ack" in edgectl(config, "--type", "request", "--state", "renewing")[1]
