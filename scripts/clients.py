"""Stock DHCP clients in a home's namespace: each call is one exchange, and tells what it got."""

from scripts.lab import Home, Lab

UDHCPC_SCRIPT = """#!/bin/sh
case "$1" in bound|renew)
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/$mask" dev "$interface"
    ip route replace default via "$router" 2>/dev/null
    echo "$1 $ip $lease" >> "$RESULTS" ;;
nak) echo "nak" >> "$RESULTS" ;;
esac
"""
DHCLIENT_SCRIPT = """#!/bin/sh
case "$reason" in BOUND|RENEW|REBIND|REBOOT)
    ip -4 addr flush dev "$interface"
    ip addr add "$new_ip_address/$new_subnet_mask" dev "$interface"
    echo "$reason $new_ip_address $new_dhcp_lease_time" >> "$RESULTS" ;;
esac
exit 0
"""


def _script(lab: Lab, name: str, text: str) -> str:
    path = lab.directory / name
    if not path.exists():
        path.write_text(text)
        path.chmod(0o755)
    return str(path)


def _last_address(home: Home, before: int) -> str | None:
    lines = home.results.read_text().splitlines()[before:] if home.results.exists() else []
    addresses = [line.split()[1] for line in lines if len(line.split()) > 1]
    return addresses[-1] if addresses else None


def _lines(home: Home) -> int:
    return len(home.results.read_text().splitlines()) if home.results.exists() else 0


def udhcpc(lab: Lab, home: Home, *options: object) -> str | None:
    """Busybox udhcpc: DISCOVER, REQUEST, then leave. The address, None if there was no answer."""
    before = _lines(home)
    script = _script(lab, "udhcpc-script", UDHCPC_SCRIPT)
    home.namespace.run(
        "env", f"RESULTS={home.results}", "udhcpc", "-i", "eth0", "-f", "-q", "-n", "-t", 4, "-T",
        1, "-s", script, *options, check=False,
    )  # fmt: skip
    return _last_address(home, before)


def dhclient(lab: Lab, home: Home) -> str | None:
    """ISC dhclient: INIT-REBOOT if it knows an address, else DISCOVER; then leave."""
    before = _lines(home)
    script = _script(lab, "dhclient-script", DHCLIENT_SCRIPT)
    leases, pid = (lab.directory / f"{home.name}.{ending}" for ending in ("leases", "pid"))
    home.namespace.run(
        "timeout", 15, "dhclient", "-4", "-1", "-q", "-sf", script, "-lf", leases, "-pf", pid,
        "-e", f"RESULTS={home.results}", "--no-pid", "eth0", check=False,
    )  # fmt: skip
    home.namespace.run("pkill", "-x", "--ns", home.namespace.pid, "dhclient", check=False)
    return _last_address(home, before)
