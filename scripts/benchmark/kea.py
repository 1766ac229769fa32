"""Kea's DHCPv4 server as the peer: leases in memory, each written to a file (memfile, persist)."""

import json
from pathlib import Path

from scripts.benchmark.network import SERVER_SIDE, Wire
from scripts.lab import Lab, wait_until

PROGRAM = "kea-dhcp4"
WHY_ABSENT = "kea-dhcp4 is not installed (Debian: kea-dhcp4-server)"


def _configuration(folder: Path, subnet: str, pool: str, router: str) -> dict[str, object]:
    leases = {
        "type": "memfile",
        "persist": True,
        "name": str(folder / "leases.csv"),
        "lfc-interval": 0,
    }
    options = [
        {"name": "routers", "data": router},
        {"name": "domain-name-servers", "data": "192.0.2.53"},
    ]
    return {
        "interfaces-config": {"interfaces": [SERVER_SIDE]},
        "lease-database": leases,
        "valid-lifetime": 3600,
        "subnet4": [{"subnet": subnet, "pools": [{"pool": pool}], "option-data": options}],
        # at INFO it writes several lines a lease
        "loggers": [{"name": "kea-dhcp4", "severity": "WARN"}],
    }


def start(
    lab: Lab, wire: Wire, subnet: str, pool: str, router: str, name: str, preload: Path | None
) -> int:
    """Start it on the server's end of a wire and wait until it serves; the lab stops it.

    Returns its process.
    """
    folder = lab.directory / name
    folder.mkdir()
    config = folder / "kea.json"
    config.write_text(json.dumps({"Dhcp4": _configuration(folder, subnet, pool, router)}))
    places = (f"{place}={folder}" for place in ("KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR"))
    preloaded = (f"LD_PRELOAD={preload}",) if preload else ()
    words = ("env", *places, *preloaded, "KEA_LOGGER_DESTINATION=stdout", PROGRAM, "-c", config)
    process = lab.spawn(wire.server.words(*words), name)
    wait_until((folder / "leases.csv").exists, "kea-dhcp4")
    wait_until(lambda: ":67" in wire.server.run("ss", "-Hlnu"), "the port of kea-dhcp4")
    return process.pid
