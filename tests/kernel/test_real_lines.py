"""Real clients on a QinQ line and behind a real relay.

A tagger stands where the access network is:

client, eth0 === wire, tagger, trunk === access, the program
"""

import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.datapath.packet_socket import _with_tag
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import KeyMode, Line, Port, key_of
from lease_core.domain.values import Ipv4, Mac, ip_text, mac_text
from scripts.lab import Lab as Namespaces
from scripts.lab import Namespace
from tests.kernel.lab import ADDRESS, BINDING, Lab
from tests.packets import CLIENT_MAC, PORT_MAC, RELAY, SERVER

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
TAGS = struct.pack("!HHHH", 0x88A8, 0x6007, 0x8100, 0x0064)
LINE = (7, 100)
SCRIPT = """#!/bin/sh
case "$1$reason" in bound|BOUND)
    echo "${ip:-$new_ip_address}" >"$RESULT.new" && mv "$RESULT.new" "$RESULT" ;; esac
"""
CLIENTS = {
    "udhcpc": "udhcpc -i eth0 -f -q -n -t 3 -T 1 -s {tmp}/script",
    "dhclient": "dhclient -4 -1 -d -e RESULT={tmp}/result -sf {tmp}/script "
    "-lf {tmp}/leases -pf {tmp}/pid -cf {tmp}/conf eth0",
}


def call(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


class Tagger(threading.Thread):
    """Puts the tags on what comes from the client, and takes the same off what goes there."""

    def __init__(self, wire: str, trunk: str) -> None:
        super().__init__(daemon=True)
        self.others = 0
        self._wire, self._trunk = self._open(wire), self._open(trunk)
        self._end, self._ending = os.pipe()

    @staticmethod
    def _open(device: str) -> socket.socket:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        opened.bind((device, ETH_P_ALL))
        opened.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        return opened

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([self._wire, self._trunk, self._end], [], [])
            if self._end in ready:
                return
            for end in ready:
                octets, beside, _, (_, _, kind, *_) = end.recvmsg(2048, 256)
                if kind != socket.PACKET_OUTGOING:
                    self._hand_on(end, _with_tag(octets, beside))

    def _hand_on(self, end: socket.socket, frame: bytes) -> None:
        if end is self._wire:
            self._trunk.send(frame[:12] + TAGS + frame[12:])
        elif frame[12:20] == TAGS:
            self._wire.send(frame[:12] + frame[20:])
        elif frame[6:12] == PORT_MAC.to_bytes(6, "big"):
            self.others += 1

    def close(self) -> None:
        os.write(self._ending, b"x")
        self.join()
        for end in (self._wire, self._trunk):
            end.close()


class Access:
    """The port with its program, and a client behind the tagger."""

    def __init__(self, tables: XdpDatapath, home: Namespace, port: str, tmp: Path) -> None:
        self.tables, self.ifindex = tables, socket.if_nametoindex(port)
        self._home, self._tmp = home, tmp
        (tmp / "script").write_text(SCRIPT)
        (tmp / "script").chmod(0o755)
        (tmp / "conf").write_text("timeout 3;\n")

    def bind(self, line: Line, mode: KeyMode, relays: tuple[Ipv4, ...] = ()) -> None:
        self.tables.put_port(self.ifindex, Port(Mac(PORT_MAC), relays=relays, key=mode))
        mac = Mac(CLIENT_MAC)
        holder = BINDING.mac if mode is KeyMode.MAC else mac
        self.tables.put(key_of(mac, line, mode), replace(BINDING, line=line, mac=holder))

    def lease(self, client: str) -> str:
        """The address that a real client gets; empty = none."""
        result = self._tmp / "result"
        words = CLIENTS[client].format(tmp=self._tmp).split()
        command = self._home.words("env", f"RESULT={result}", *words)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while process.poll() is None and not result.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()  # dhclient stays with its lease
        process.wait()
        return result.read_text().strip() if result.exists() else ""


@pytest.fixture
def wires() -> Iterator[tuple[str, str, str, Namespace]]:
    """Port and trunk, wire and eth0 in a namespace."""
    name = f"lq{os.getpid()}"
    port, trunk, wire = f"{name}p", f"{name}t", f"{name}w"
    with Namespaces() as namespaces:
        home = Namespace(namespaces, "home")
        call("ip", "link", "add", port, "type", "veth", "peer", "name", trunk)
        try:
            call("ip", "link", "add", wire, "type", "veth", "peer", "name", f"{name}e")
            call("ip", "link", "set", f"{name}e", "netns", home.pid)
            home.run("ip", "link", "set", f"{name}e", "name", "eth0")
            home.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:17", "up")
            for device in (port, trunk, wire):
                call("ip", "link", "set", device, "up")
            yield port, trunk, wire, home
        finally:  # the other wire goes with its end in the namespace
            call("ip", "link", "del", port)


@pytest.fixture
def access(
    directory: Path, tmp_path: Path, wires: tuple[str, str, str, Namespace]
) -> Iterator[Access]:
    port, trunk, wire, home = wires
    with XdpDatapath.open(directory, 4096) as tables:
        Lab(tables)
        for device in (port, trunk):  # a veth end delivers what XDP sent only if it has XDP too
            tables.attach(device)
        tagger = Tagger(wire, trunk)
        tagger.start()
        yield Access(tables, home, port, tmp_path)
        tagger.close()
        assert not tagger.others, "replies without the line's tags"


@pytest.mark.parametrize("mode", [KeyMode.MAC, KeyMode.LINE], ids=["by MAC", "by line"])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_behind_two_tags_is_served(access: Access, client: str, mode: KeyMode) -> None:
    """DISCOVER to ACK in the kernel, on the line that the binding belongs to."""
    access.bind(Line(access.ifindex, *LINE), mode)

    assert access.lease(client) == ip_text(Ipv4(ADDRESS))
    assert access.tables.counters()["ack"] == 1


def test_a_client_on_another_line_is_not(access: Access) -> None:
    """The same client, bound to the next VLAN, hears nothing (I8)."""
    access.bind(Line(access.ifindex, 7, 101), KeyMode.MAC)

    assert access.lease("udhcpc") == ""
    counters = access.tables.counters()
    assert (counters["offer"], counters["ack"]) == (0, 0)
    assert counters["pass_other_line"] > 1


@pytest.fixture
def behind_relay(directory: Path, tmp_path: Path) -> Iterator[Access]:
    """Client, eth0 === down0, dhcrelay, up0 === port; the relay names the circuit `down0`."""
    if not shutil.which("dhcrelay"):
        pytest.skip("not installed: dhcrelay")
    port = f"lr{os.getpid()}p"
    with Namespaces() as namespaces:
        home, relay = Namespace(namespaces, "home"), Namespace(namespaces, "relay")
        relay.run("ip", "link", "add", "down0", "type", "veth", "peer", "name", "eth0",
                  "netns", home.pid)  # fmt: skip
        home.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:17", "up")
        call("ip", "link", "add", port, "type", "veth", "peer", "name", f"{port}u")
        call("ip", "link", "set", f"{port}u", "netns", relay.pid)
        relay.run("ip", "link", "set", f"{port}u", "name", "up0")
        for words in (
            ("addr", "add", f"{ip_text(Ipv4(RELAY))}/24", "dev", "down0"),
            ("addr", "add", "10.8.8.2/24", "dev", "up0"),
            ("link", "set", "down0", "up"),
            ("link", "set", "up0", "up"),
            ("route", "add", ip_text(Ipv4(SERVER)), "dev", "up0"),
            ("neigh", "add", ip_text(Ipv4(SERVER)), "dev", "up0", "lladdr",
             mac_text(Mac(PORT_MAC))),
        ):  # fmt: skip
            relay.run("ip", *words)
        relay.run(sys.executable, "scripts/xdp_pass.py", "up0")
        call("ip", "link", "set", port, "up")
        words = ("dhcrelay", "-4", "-d", "-a", "--no-pid", "-id", "down0", "-iu", "up0")
        namespaces.spawn(relay.words(*words, ip_text(Ipv4(SERVER))), "dhcrelay")
        with XdpDatapath.open(directory, 4096, has_circuits=True) as tables:
            Lab(tables)
            tables.attach(port)
            yield Access(tables, home, port, tmp_path)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_behind_a_relay_is_served(behind_relay: Access, client: str) -> None:
    """By the circuit that dhcrelay writes into option 82, which it takes off the reply again."""
    access, relay = behind_relay, Ipv4(RELAY)
    line = Line(access.ifindex, giaddr=relay, circuit=b"down0")
    access.bind(line, KeyMode.CIRCUIT, relays=(relay,))

    assert access.lease(client) == ip_text(Ipv4(ADDRESS))
    assert access.tables.counters()["ack"] == 1


def test_a_client_on_another_circuit_is_not(behind_relay: Access) -> None:
    """The same client, bound to another circuit of the relay, hears nothing (I8)."""
    access, relay = behind_relay, Ipv4(RELAY)
    line = Line(access.ifindex, giaddr=relay, circuit=b"down1")
    access.bind(line, KeyMode.CIRCUIT, relays=(relay,))

    assert access.lease("udhcpc") == ""
    counters = access.tables.counters()
    assert (counters["offer"], counters["ack"]) == (0, 0)
    assert counters["pass_unknown_client"] > 1
