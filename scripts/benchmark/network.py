"""Namespaces for load: a veth pair per server, nothing else on it, and clients that blast."""

import json
import shutil
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scripts.benchmark import build
from scripts.lab import BPFFS, CORE_IP, Lab, LabError, Namespace, Site

CLIENT_SIDE = "wire0"
SERVER_SIDE = "access0"
RELAY_SIDE = "access1"


@dataclass(frozen=True, slots=True)
class Blast:
    """What the blaster did, in how long; `resent` = requests that it had to repeat, `new_` = of
    clients that a storm meets for the first time.

    `cpu_s` is its own processor time, `server_s` that of the server's process, if it was named.
    """

    done: int
    seconds: float
    cpu_s: float
    server_s: float
    per_s: float
    resent: int
    refused: int
    new_done: int
    new_resent: int
    mean_us: float


@dataclass(frozen=True, slots=True)
class Wire:
    """Two ends of a veth pair, each in a namespace; `interface` is the server's."""

    clients: Namespace
    server: Namespace
    interface: str = SERVER_SIDE


class BenchLab(Lab):
    """The lab without its wire taps, which would be the busiest processes of all."""

    def __enter__(self) -> "BenchLab":
        super().__enter__()
        self.blaster = build.blaster(self.directory)
        return self

    @cached_property
    def roomy(self) -> Path:
        """Preloaded, it gives the sockets of a program room for what comes in."""
        return build.roomy(self.directory)

    def add_wire(self, name: str, gateway: str) -> Wire:
        """`gateway` is the server's address with its prefix length."""
        wire = self._wire(name, Namespace(self, f"{name}-server"), SERVER_SIDE)
        wire.server.run("ip", "addr", "add", gateway, "dev", SERVER_SIDE)
        return wire

    def _wire(self, name: str, server: Namespace, interface: str) -> Wire:
        wire = Wire(Namespace(self, f"{name}-clients"), server, interface)
        self.link(wire.clients, CLIENT_SIDE, wire.server, interface)
        # a veth end takes what XDP sends at its peer only while it has a program of its own
        wire.clients.run(sys.executable, "-m", "scripts.xdp_pass", CLIENT_SIDE)
        return wire

    def add_quiet_site(
        self, name: str, prefix: str, subscribers: int, relay: str
    ) -> tuple[Site, Wire, Wire]:
        """A planned site with its router: a wire of clients, and one of a relay at `relay`."""
        self.leasectl("site", "add", name)
        self.leasectl("pool", "add", f"{name}/res-1", prefix, "--dns", "192.0.2.53")
        base, length = prefix.split("/")
        wire = self.add_wire(name, f"{base.rsplit('.', 1)[0]}.1/{length}")
        relayed = self._wire(f"{name}-relay", wire.server, RELAY_SIDE)
        number = len(self.sites) + 10
        self.link(self.core, f"m{number}", wire.server, "mgmt0")
        self.core.run("ip", "link", "set", f"m{number}", "master", "mgmt")
        wire.server.run("ip", "addr", "add", f"{CORE_IP.rsplit('.', 1)[0]}.{number}/24",
                        "dev", "mgmt0")  # fmt: skip
        pins = BPFFS / self.directory.name / name
        self._pins.append(pins)
        settings = {
            "site": name, "edge": f"{name}-bng1", "redis": self.url, "datapath": self.datapath,
            "pin_dir": str(pins), "max_subscribers": subscribers,
        }  # fmt: skip
        config = self.directory / f"{name}.toml"
        lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        ports = (
            f'[[port]]\ninterface = "{SERVER_SIDE}"\n'
            f'[[port]]\ninterface = "{RELAY_SIDE}"\nrelays = ["{relay}"]\n'
        )
        config.write_text("".join(lines) + ports)
        site = Site(name, wire.server, wire.clients, config, pins)
        self.sites[name] = site
        return site, wire, relayed

    def blast(
        self, wire: Wire, mode: str, *, clients: int, window: int, seconds: float, first: int = 0,
        cpu: int | None = None, server: int | None = None,
    ) -> Blast:  # fmt: skip
        """Run the blaster on a wire; `cpu` pins it, `server` is a process whose time counts too.

        Raises:
            LabError: nothing was answered, or somebody got a NAK.
        """
        place = ("taskset", "-c", cpu) if cpu is not None else ()
        process = (server,) if server is not None else ()
        words = (self.blaster, CLIENT_SIDE, mode, clients, window, seconds, first, *process)
        found = Blast(**json.loads(wire.clients.run(*place, *words)))
        if not found.done or found.refused:
            raise LabError(f"blaster {mode}: {found}")
        return found

    def pin_directory(self) -> Path:
        """A place for pins, removed with the lab."""
        directory = BPFFS / self.directory.name / "bench"
        directory.mkdir(parents=True, exist_ok=True)
        self._pins.append(directory)
        return directory

    def attach(self, wire: Wire, program: Path) -> None:
        """Put a pinned program on the server's end."""
        words = ("net", "attach", "xdp", "pinned", program, "dev", SERVER_SIDE)
        wire.server.run("bpftool", *words)


def require(*tools: str) -> None:
    """Raises LabError naming what is not installed."""
    absent = [tool for tool in tools if not shutil.which(tool)]
    if absent:
        raise LabError(f"not installed: {', '.join(absent)}")


def is_installed(tool: str) -> bool:
    return shutil.which(tool) is not None
