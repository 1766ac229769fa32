"""Capture what real DHCP clients send, for tests/kernel/corpus: run it as root.

    .venv/bin/python -m scripts.capture_clients [CLIENT...]

Each client runs in namespaces of its own against a responder that gives short leases, answers one
renewal and then falls silent until the client broadcasts. So it discovers, selects, renews, rebinds
and, started anew, reboots. Those that can are started once more to release the address, to decline
it, because another answers for it, and to ask with an address that they have (INFORM).
Clients: dhclient, udhcpc, dhcpcd (package dhcpcd-base), networkd.
"""

import contextlib
import functools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.classify import RequestState, classify
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.fastpath import judge
from edge_agent.dhcp.frame import build
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import Assignment, Line, PoolOptions, Port, SiteState, subscriber_key
from lease_core.domain.values import Ipv4, Mac

CORPUS = Path(__file__).parents[1] / "tests/kernel/corpus"
CLIENT, SERVER, ADDRESS = Mac(0x020000000017), Ipv4(0x64400001), Ipv4(0x64400017)
PORT, IFINDEX = Mac(0x02AA00000001), 1
LEASE_S, T1_S, T2_S = 30, 5, 12
FIRST_LIFE_S, LATER_LIFE_S = 45, 12
ETH_P_IP = 0x0800
NETWORK = """
[Match]
Name=eth0
[Network]
DHCP=ipv4
[DHCPv4]
SendRelease=no
"""
CONFIGURE = """#!/bin/sh
[ -z "$new_ip_address$ip" ] || ip addr replace "${new_ip_address:-$ip}/16" dev eth0
"""
REFUSE = """#!/bin/sh
[ -z "$new_ip_address" ]
"""

DHCLIENT = "dhclient -4 -lf {tmp}/leases -pf {tmp}/pid"
UDHCPC = "udhcpc -f -i eth0 -s {tmp}/script -x hostname:subscriber"
DHCPCD = "dhcpcd -4 -f {tmp}/dhcpcd.conf"

CLIENTS: dict[str, tuple[str, dict[str, str]]] = {
    "dhclient": (
        "dhclient --version",
        {
            "rebinding": f"exec {DHCLIENT} -d -sf {{tmp}}/script eth0",
            "init-reboot": f"exec {DHCLIENT} -d -sf {{tmp}}/script eth0",
            "release": f"{DHCLIENT} -1 -sf {{tmp}}/script eth0; "
            f"exec {DHCLIENT} -d -r -sf {{tmp}}/script eth0",
            "decline": f"exec {DHCLIENT} -d -sf {{tmp}}/refuse eth0",
        },
    ),
    "udhcpc": (
        "busybox",
        {
            "rebinding": f"exec {UDHCPC}",
            "init-reboot": f"exec {UDHCPC}",
            "release": f"exec timeout 3 {UDHCPC} -R",
            "decline": f"ip addr add 100.64.0.23/32 dev wire0; exec {UDHCPC} -a",
        },
    ),
    "dhcpcd": (
        "dhcpcd --version",
        {
            "rebinding": f"exec {DHCPCD} -B eth0",
            "init-reboot": f"exec {DHCPCD} -B eth0",
            "release": f"{DHCPCD} -w eth0; {DHCPCD} -k eth0; exec sleep 9",
            "inform": f"ip addr add 100.64.0.23/16 dev eth0; exec {DHCPCD} -B --inform eth0",
        },
    ),
    "networkd": (
        "networkctl --version",
        {"rebinding": "exec /lib/systemd/systemd-networkd"},
    ),
}
"""By name what tells the version, and lives: each ends when such a message was heard."""


def own_namespaces(client: str) -> None:
    """Run this module once more, alone with a wire and a name that tells nothing."""
    words = ["unshare", "--net", "--uts", "--mount", sys.executable, "-m", __spec__.name]
    subprocess.run([*words, "--inside", client], check=True)


def shell(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True)


def prepare(tmp: Path) -> None:
    """A wire from eth0 to wire0, and state of the clients that vanishes."""
    (tmp / "script").write_text(CONFIGURE)
    (tmp / "refuse").write_text(REFUSE)
    for name in ("script", "refuse"):
        (tmp / name).chmod(0o755)
    (tmp / "dhcpcd.conf").write_text(
        "hostname\nduid\npersistent\nvendorclassid\noption domain_name_servers, domain_name\n"
        "option classless_static_routes\noption interface_mtu\nrequire dhcp_server_identifier\n"
        "noipv4ll\nnoarp\n"
    )
    (tmp / "net.network").write_text(NETWORK)
    (tmp / "machine-id").write_text("0123456789abcdef" * 2 + "\n")
    shell(
        f"""
        hostname subscriber
        ip link set lo up
        ip link add eth0 address 02:00:00:00:00:17 type veth peer name wire0
        ip link set wire0 up; ip link set eth0 up
        for d in /run /var/lib/dhcpcd; do [ ! -d $d ] || mount -t tmpfs tmpfs $d; done
        mkdir -p /run/systemd/network /run/systemd/netif/links /run/systemd/netif/leases
        chown -R systemd-network: /run/systemd/netif 2>/dev/null || true
        cp {tmp}/net.network /run/systemd/network/10-eth0.network
        mount --bind {tmp}/machine-id /etc/machine-id
        mount -t sysfs -o ro sysfs /sys
        """
    )


def tables() -> MemoryDatapath:
    """A site with one subscriber, who is answered for ever."""
    filled = MemoryDatapath()
    filled.put(subscriber_key(CLIENT), Assignment(ADDRESS, 1, 1, Line(IFINDEX), 1))
    netmask, dns = Ipv4(0xFFFF0000), (Ipv4(0x08080808),)
    options = render_pool_options(SERVER, netmask, (SERVER,), dns).always
    filled.put_pool(1, PoolOptions(Ipv4(0x64400000), netmask, SERVER, 3600, options))
    filled.put_port(IFINDEX, Port(PORT))
    filled.set_state(SiteState(gate=True, horizon_boot_ns=1 << 62))
    return filled


class Responder(threading.Thread):
    """Answers on wire0 and keeps the first frame of each kind."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.kept: dict[str, bytes] = {}
        self._renewals = 0
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
        self._wire.bind(("wire0", ETH_P_IP))
        self._tables = tables()

    def has(self, kind: str) -> bool:
        """Whether such a message was heard."""
        return kind in self.kept

    def run(self) -> None:
        while True:
            octets, (_, _, kind, _, _) = self._wire.recvfrom(2048)
            request = parse_request(octets)
            if kind != socket.PACKET_OUTGOING and isinstance(request, Request):
                name = kind_of(request)
                self.kept.setdefault(name, octets)
                self._renewals += name == "renewing"
                reply = judge(octets, IFINDEX, self._tables, 0).frame
                if reply and (name != "renewing" or self._renewals == 1):
                    self._wire.send(short_lived(reply))


def kind_of(request: Request) -> str:
    message = request.message
    if message.options.message_type != MessageType.REQUEST:
        return MessageType(message.options.message_type).name.lower()
    state = classify(message, request.frame.dst_ip)
    return state.value if isinstance(state, RequestState) else "malformed"


def short_lived(reply: bytes) -> bytes:
    """The reply with times that a capture can wait for."""
    payload = bytearray(reply[42:])
    for at, seconds in ((251, LEASE_S), (257, T1_S), (263, T2_S)):
        payload[at : at + 4] = seconds.to_bytes(4, "big")
    return build(
        dst_mac=Mac(int.from_bytes(reply[:6], "big")), src_mac=PORT, src_ip=SERVER,
        dst_ip=Ipv4(int.from_bytes(reply[30:34], "big")),
        dst_port=int.from_bytes(reply[36:38], "big"), payload=bytes(payload),
    )  # fmt: skip


def live(script: str, seconds: float, is_enough: Callable[[], bool]) -> None:
    """Let a client run for some time, and die without a word."""
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not is_enough():
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def version(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    line = (done.stdout + done.stderr).splitlines()[0]
    found = re.search(r"v?\d+\.\d[\w.+~-]*|\d{3}", line)
    return found[0] if found else line


def capture(client: str) -> None:
    """Inside the namespaces: let the client live each of its lives and write what it sent."""
    version_command, lives = CLIENTS[client]
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        responder = Responder()
        responder.start()
        seconds = FIRST_LIFE_S
        for kind, script in lives.items():
            shell(
                "ip addr flush dev eth0; rm -f /run/dhcpcd/*.pid /run/dhcpcd/pid;"
                "ip neigh replace 100.64.0.1 lladdr 02:aa:00:00:00:01 dev eth0 nud permanent"
            )
            live(script.format(tmp=folder), seconds, functools.partial(responder.has, kind))
            seconds = LATER_LIFE_S
    CORPUS.mkdir(exist_ok=True)
    for kind, octets in sorted(responder.kept.items()):
        origin = (
            f"# {client} {version(version_command)}, {kind}; captured by scripts/capture_clients.py"
        )
        lines = re.findall(".{1,64}", octets.hex())
        (CORPUS / f"{client}-{kind}.hex").write_text("\n".join((origin, *lines, "")))
        print(f"{client}-{kind}: {len(octets)} octets")


def main(words: list[str]) -> None:
    if words[:1] == ["--inside"]:
        capture(words[1])
        return
    for client in words or list(CLIENTS):
        own_namespaces(client)


if __name__ == "__main__":
    main(sys.argv[1:])
