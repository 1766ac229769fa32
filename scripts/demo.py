"""The demo: two sites with real clients, a power cut of the centre, and what the log says then.

python -m scripts.demo --datapath auto|user --why REASON
"""

import argparse
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from scripts.clients import Resident, dhclient, udhcpc
from scripts.exchange import watch
from scripts.lab import BIN, Home, Lab, Site

SITES = {"ams01": "100.64.0.0/24", "fra02": "100.65.0.0/24"}
HOMES_PER_SITE = 3
CLIENTS = {"udhcpc": udhcpc, "dhclient": dhclient}


@contextmanager
def chapter(title: str) -> Iterator[None]:
    print(f"\n== {title}", flush=True)
    yield


def exchange(lab: Lab, home: Home, client: str, act: Callable[[], object] | None = None) -> None:
    """Run one client and print one line for what it was told and by whom."""
    answers = watch(lab, home, act or (lambda: CLIENTS[client](lab, home)))
    told = "   ".join(map(str, answers)) or "silence: nobody can decide now, so nobody says NAK"
    print(f"{home.site.name:6} {home.name:7} {home.mac} {client:9} {told}", flush=True)


def build(lab: Lab) -> list[tuple[Home, str]]:
    lab.start_redis()
    lab.start_allocator()
    homes = []
    for name, prefix in SITES.items():
        site = lab.add_site(name, prefix)
        lab.start_edge(site)
        ready = next(x for x in lab.log_of(f"edge-{name}") if x["event"] == "edge.ready")
        print(f"site {name}: {prefix}, edge {name}-bng1 answers with {ready['datapath']}")
        for number in range(1, HOMES_PER_SITE + 1):
            home = lab.add_home(site, f"{name[:3]}-{number}")
            homes.append((home, "udhcpc" if number % 2 else "dhclient"))
    return homes


def show_log(lab: Lab, site: Site) -> None:
    key = f"lease:{{{site.name}}}:events"
    print(f"$ redis-cli XRANGE '{key}' - +")
    raw = lab.redis_cli("--json", "XRANGE", key, "-", "+", "COUNT", 12)
    for entry_id, fields in json.loads(raw):
        pairs = zip(fields[::2], fields[1::2], strict=True)
        print(f"  {entry_id} " + " ".join(f"{name} {value}" for name, value in pairs))


def show_who(lab: Lab, home: Home) -> None:
    shown = home.results.read_text().splitlines()[-1].split()[1]
    at = datetime.now(UTC).isoformat(timespec="seconds")
    print(f"$ leasectl who {shown} --at {at}")
    print(lab.leasectl("who", shown, "--at", at, check=False), end="")


def show_map(site: Site) -> None:
    pinned = site.pins / "subscriber_pools"
    if not pinned.exists():
        print("subscriber_pools lives in the agent's memory here: no BPF, no bpftool")
        return
    print(f"$ bpftool map dump pinned {pinned}   (first entry)")
    words = ["bpftool", "map", "dump", "pinned", str(pinned)]
    dump = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    print("  " + "\n  ".join(dump.splitlines()[:14]))
    print("$ edgectl map")
    print(site.router.run(BIN / "edgectl", "map", "--config", site.config), end="")


def story(lab: Lab) -> None:
    with chapter("two sites"):
        homes = build(lab)
    with chapter("new subscribers: the allocator decides, the log remembers, the agent answers"):
        for home, client in homes:
            exchange(lab, home, client)
    with chapter("the same again: known now"):
        for home, client in homes:
            exchange(lab, home, client)
    site = lab.sites["ams01"]
    residents = {home.name: Resident(lab, home) for home, _ in homes}
    with chapter("pull the plug on Redis: known subscribers are renewed, a new one must wait"):
        lab.stop(lab.redis, signal.SIGKILL)
        for home, _ in homes:
            exchange(lab, home, "renewal", residents[home.name].is_renewed)
        newcomer = lab.add_home(site, "ams-new")
        exchange(lab, newcomer, "udhcpc")
    with chapter("Redis is back: the new one is served"):
        lab.start_redis()
        time.sleep(2)
        exchange(lab, newcomer, "udhcpc")
    with chapter("the log of ams01"):
        show_log(lab, site)
    with chapter("the abuse desk asks"):
        show_who(lab, homes[0][0])
    with chapter("the table in the kernel"):
        show_map(site)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--datapath", choices=("auto", "user"), required=True)
    parser.add_argument("--why", required=True)
    chosen = parser.parse_args()
    started = time.monotonic()
    print(f"running in network namespaces, datapath {chosen.datapath}: {chosen.why}")
    with Lab(chosen.datapath) as lab:
        story(lab)
    print(f"\nall stopped and removed; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
