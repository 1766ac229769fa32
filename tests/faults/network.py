"""Hosts beside the core, and cuts: a leg taken off the bridge loses every frame in silence.

Carrier and addresses stay, no RST and no ICMP comes back: as behind a switch that forgot us.
"""

import signal
from dataclasses import dataclass

from scripts.lab import CORE_IP, REDIS_PORT, Lab, Namespace, Site, wait_until

CORE_OWN_IP = "192.0.2.2"
"""Of the core, once the address of Redis has moved to another host."""


@dataclass
class Host:
    namespace: Namespace
    leg: str
    ip: str


def add_host(lab: Lab, name: str, number: int) -> Host:
    """A namespace on the management network at 192.0.2.`number`."""
    host = Host(Namespace(lab, name), f"x{number}", f"192.0.2.{number}")
    lab.link(lab.core, host.leg, host.namespace, "mgmt0")
    lab.core.run("ip", "link", "set", host.leg, "master", "mgmt")
    host.namespace.run("ip", "addr", "add", f"{host.ip}/24", "dev", "mgmt0")
    return host


def leg_of(lab: Lab, site: Site) -> str:
    """The bridge's end of a router's management link."""
    return f"m{10 + list(lab.sites).index(site.name)}"


def cut(lab: Lab, leg: str) -> None:
    lab.core.run("ip", "link", "set", leg, "nomaster")


def mend(lab: Lab, leg: str) -> None:
    lab.core.run("ip", "link", "set", leg, "master", "mgmt")


class Replica:
    """A second Redis that copies the first; promoted, it takes over the first one's address."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self.host = host
        self._lab = lab
        data = lab.directory / host.namespace.name
        data.mkdir()
        words = (
            "redis-server", "--bind", "0.0.0.0", "--port", REDIS_PORT, "--dir", data, "--save", "",
            "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no",
            "--maxmemory-policy", "noeviction", "--aof-load-truncated", "no",
            "--repl-diskless-sync-delay", 0, "--replicaof", CORE_IP, REDIS_PORT,
        )  # fmt: skip
        self.process = lab.spawn(host.namespace.words(*words), host.namespace.name)
        wait_until(lambda: "master_link_status:up" in self.cli("INFO", "replication"), "a copy")

    def cli(self, *words: object) -> str:
        base = ("redis-cli", "-h", self.host.ip, "-p", REDIS_PORT)
        return self.host.namespace.run(*base, *words, check=False)

    def promote(self) -> None:
        """Make it the master at the service's address; the core keeps another one."""
        self.cli("REPLICAOF", "NO", "ONE")
        self._address(self._lab.core, "mgmt", CORE_OWN_IP, instead_of=CORE_IP)
        self._address(self.host.namespace, "mgmt0", CORE_IP, instead_of=self.host.ip)

    def step_down(self) -> None:
        """It is gone for good; the core has the service's address again."""
        self._lab.stop(self.process, signal.SIGKILL)
        self._address(self.host.namespace, "mgmt0", self.host.ip, instead_of=CORE_IP)
        self._address(self._lab.core, "mgmt", CORE_IP, instead_of=CORE_OWN_IP)

    def _address(self, where: Namespace, device: str, ip: str, *, instead_of: str) -> None:
        where.run("ip", "addr", "del", f"{instead_of}/24", "dev", device)
        where.run("ip", "addr", "add", f"{ip}/24", "dev", device)
        for each in (self._lab.core, *(site.router for site in self._lab.sites.values())):
            each.run("ip", "neigh", "flush", "all")
