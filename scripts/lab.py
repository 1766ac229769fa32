"""A small provider in network namespaces: Redis, allocators, routers with edges, homes.

    core: Redis, allocators --- mgmt0: router of a site --- access0 === wire0: homes, one macvlan
                                                                        namespace a subscriber

Namespaces are held by processes of ours and vanish with them; nothing is named in /run/netns, so
the lab also works in an unprivileged user namespace. Every process is stopped by its own number.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
CORE_IP = "192.0.2.1"
REDIS_PORT = 6390
BPFFS = Path("/sys/fs/bpf")


class LabError(Exception):
    """Something that the lab needs is missing or did not come up; the text says what."""


class LabTimeoutError(LabError):
    """Something did not come about in time."""


def wait_until(is_true: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    """Poll until something holds.

    Raises:
        LabTimeoutError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline:
            raise LabTimeoutError(f"waited {timeout_s:.0f} s in vain: {what}")
        time.sleep(0.02)


def call(*words: object, check: bool = True) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False,
                          cwd=ROOT)  # fmt: skip
    if check and done.returncode:
        raise LabError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout}")
    return done.stdout


def whole_lines(path: Path) -> list[str]:
    """The lines of a file that is being written, without one that is half there."""
    return path.read_text().split("\n")[:-1]


class Namespace:
    """A network namespace held by a sleeping process."""

    def __init__(self, lab: "Lab", name: str) -> None:
        self.name = name
        self._holder = lab.spawn(["unshare", "-n", "sleep", "infinity"], f"ns-{name}")
        own = Path("/proc/self/ns/net").stat().st_ino
        held = Path(f"/proc/{self.pid}/ns/net")
        wait_until(lambda: held.stat().st_ino != own, f"namespace {name}")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    def words(self, *words: object) -> list[str]:
        """A command line that runs inside."""
        return ["nsenter", "-t", str(self.pid), "-n", *map(str, words)]

    def run(self, *words: object, check: bool = True) -> str:
        return call(*self.words(*words), check=check)


@dataclass
class Site:
    """One site: its router, the wire to the homes, and what the edge was told."""

    name: str
    router: Namespace
    homes: Namespace
    config: Path
    pins: Path
    edge: subprocess.Popen[bytes] | None = None
    tap: Path = Path()
    horizon_s: int = 14_400
    reuse_guard_s: int = 120


@dataclass
class Home:
    """A subscriber with a MAC of its own."""

    name: str
    mac: str
    namespace: Namespace
    results: Path
    site: Site


class Lab:
    """Use as a context manager: leaving it stops and removes everything."""

    def __init__(self, datapath: str = "auto") -> None:
        self.datapath = datapath
        self.directory = Path(tempfile.mkdtemp(prefix="lease-lab-"))
        self.url = f"redis://{CORE_IP}:{REDIS_PORT}/0"
        self.cli_options: tuple[object, ...] = ()
        self.launcher: tuple[object, ...] = ()
        """What starts `leasectl` and `edgectl` in our stead; unless told they start themselves."""
        self.sites: dict[str, Site] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pins: list[Path] = []
        self._homes = 0

    def __enter__(self) -> "Lab":
        try:
            self.core = Namespace(self, "core")
            self.core.run("ip", "link", "add", "mgmt", "type", "bridge")
            self.core.run("ip", "addr", "add", f"{CORE_IP}/24", "dev", "mgmt")
            self.core.run("ip", "link", "set", "mgmt", "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what was started, in reverse; remove pins and the directory."""
        for process in reversed(self._processes):
            self.stop(process, signal.SIGTERM)
        for pins in self._pins:
            shutil.rmtree(pins, ignore_errors=True)
            with contextlib.suppress(OSError):
                pins.parent.rmdir()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- processes ---

    def program(self, name: str) -> tuple[object, ...]:
        """How a command line of one of our programs begins."""
        return (*self.launcher, name) if self.launcher else (BIN / name,)

    def spawn(self, words: Sequence[object], name: str) -> subprocess.Popen[bytes]:
        """Start a process; what it prints goes to `<name>.log`."""
        with (self.directory / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [str(w) for w in words], stdout=output, stderr=output, stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )  # fmt: skip
        self._processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        """Signal a process of ours and wait for its end; SIGKILL if it takes too long."""
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self._processes:
            self._processes.remove(process)

    def log_of(self, name: str) -> list[dict[str, object]]:
        """The audit lines of a process."""
        lines = whole_lines(self.directory / f"{name}.log")
        return [json.loads(line) for line in lines if line.startswith("{")]

    def start_redis(self, **more: object) -> subprocess.Popen[bytes]:
        """Redis with the settings that the service rests on, its data in the lab's directory."""
        data = self.directory / "redis"
        data.mkdir(exist_ok=True)
        options = {
            "bind": CORE_IP, "port": REDIS_PORT, "dir": data, "appendonly": "yes",
            "appendfsync": "always", "aof-load-truncated": "no", "save": "",
            "maxmemory-policy": "noeviction", "stream-node-max-bytes": "16384",
            "stream-node-max-entries": "1000",
            "protected-mode": "no",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }  # fmt: skip
        words = [w for key, value in options.items() for w in (f"--{key}", value)]
        redis = self.spawn(self.core.words("redis-server", *words), "redis")
        wait_until(lambda: "PONG" in self.redis_cli("PING"), "redis-server")
        self.redis = redis
        return redis

    def redis_cli(self, *words: object) -> str:
        base = ("redis-cli", "-h", CORE_IP, "-p", REDIS_PORT, *self.cli_options)
        return self.core.run(*base, *words, check=False)

    def leasectl(self, *words: object, check: bool = True) -> str:
        database = self.directory / "history.sqlite"
        environment = ("env", f"LEASE_REDIS={self.url}", f"LEASE_HISTORY={database}")
        return self.core.run(*environment, *self.program("leasectl"), *words, check=check)

    def start_allocator(
        self,
        name: str = "allocator",
        *options: object,
        program: Sequence[object] = (),
    ) -> subprocess.Popen[bytes]:
        program = program or self.program("leasectl")
        words = (*program, "allocator", "--redis", self.url, "--name", name, *options)
        return self.spawn(self.core.words(*words), name)

    # --- sites and homes ---

    def add_site(
        self,
        name: str,
        prefix: str,
        *,
        lease_s: int = 3600,
        horizon_s: int = 14_400,
        reuse_guard_s: int = 120,
        relay: str = "",
        **edge: object,
    ) -> Site:
        """Plan a site with one pool and build its router; `edge` are settings of its agent.

        With `relay` the wire carries what a relay with that address hands on, as perfdhcp does.
        """
        self.leasectl("site", "add", name, "--horizon", horizon_s, "--reuse-guard", reuse_guard_s)
        self.leasectl("pool", "add", f"{name}/res-1", prefix, "--lease-time", lease_s,
                      "--dns", "192.0.2.53")  # fmt: skip
        router, homes = Namespace(self, f"{name}-router"), Namespace(self, f"{name}-homes")
        number = len(self.sites) + 10
        self.link(self.core, f"m{number}", router, "mgmt0")
        self.core.run("ip", "link", "set", f"m{number}", "master", "mgmt")
        router.run("ip", "addr", "add", f"192.0.2.{number}/24", "dev", "mgmt0")
        self.link(homes, "wire0", router, "access0")
        if self.datapath != "user":
            homes.run(sys.executable, "-m", "scripts.xdp_pass", "wire0", check=False)
        base, length = prefix.split("/")
        gateway = f"{base.rsplit('.', 1)[0]}.1"
        router.run("ip", "addr", "add", f"{gateway}/{length}", "dev", "access0")
        pins = BPFFS / f"lease-lab-{os.getpid()}" / name
        self._pins.append(pins)
        config = self.directory / f"{name}.toml"
        settings = {
            "site": name, "edge": f"{name}-bng1", "redis": self.url, "datapath": self.datapath,
            "pin_dir": str(pins), "status_file": str(self.directory / f"{name}.status.json"),
            "max_subscribers": 65_536, **edge,
        }  # fmt: skip
        port = {"interface": "access0", "relays": [relay] if relay else []}
        text = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
        text += ["[[port]]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in port.items())]
        config.write_text("".join(text))
        if relay:
            homes.run("ip", "addr", "add", f"{relay}/{length}", "dev", "wire0")
        site = Site(name, router, homes, config, pins)
        site.horizon_s, site.reuse_guard_s = horizon_s, reuse_guard_s
        site.tap = self.directory / f"tap-{name}.log"
        tap = (sys.executable, "-m", "scripts.wiretap", "wire0", "access0")
        self.spawn(homes.words(*tap), f"tap-{name}")
        wait_until(lambda: site.tap.stat().st_size > 0, "the wire tap")
        self.sites[name] = site
        return site

    def link(self, left: Namespace, left_name: str, right: Namespace, right_name: str) -> None:
        call("ip", "link", "add", left_name, "netns", left.pid, "type", "veth",
             "peer", right_name, "netns", right.pid)  # fmt: skip
        for side, name in ((left, left_name), (right, right_name)):
            side.run("ip", "link", "set", name, "up")

    def spawn_edge(self, site: Site, program: Sequence[object] = ()) -> subprocess.Popen[bytes]:
        """Start the agent."""
        program = program or self.program("edgectl")
        words = site.router.words(*program, "run", "--config", site.config)
        site.edge = self.spawn(words, f"edge-{site.name}")
        return site.edge

    def start_edge(self, site: Site) -> subprocess.Popen[bytes]:
        """Start the agent and wait until it may answer."""
        name = f"edge-{site.name}"
        before = len(self.log_of(name)) if (self.directory / f"{name}.log").exists() else 0
        edge = self.spawn_edge(site)

        def is_ready() -> bool:
            if edge.poll() is not None:
                raise LabError(f"the edge of {site.name} ended; see {self.directory}/{name}.log")
            lines = self.log_of(name)[before:]
            return any(line["event"] == "edge.ready" for line in lines)

        wait_until(is_ready, f"the edge of {site.name}", 60)
        return edge

    def add_home(self, site: Site, name: str) -> Home:
        self._homes += 1
        mac = f"02:00:00:00:{self._homes >> 8:02x}:{self._homes & 255:02x}"
        namespace = Namespace(self, name)
        site.homes.run("ip", "link", "add", f"h{self._homes}", "link", "wire0", "address", mac,
                       "type", "macvlan", "mode", "bridge")  # fmt: skip
        site.homes.run("ip", "link", "set", f"h{self._homes}", "netns", namespace.pid)
        namespace.run("ip", "link", "set", f"h{self._homes}", "name", "eth0")
        namespace.run("ip", "link", "set", "eth0", "up")
        return Home(name, mac, namespace, self.directory / f"{name}.results", site)

    # --- what the wire saw ---

    def tapped(self, site: Site) -> Iterator[dict[str, object]]:
        for line in whole_lines(site.tap):
            message = json.loads(line)
            if message["type"] != "tap":
                yield message
