"""Stock DHCP clients in a home's namespace: each call is one exchange, and tells what it got."""

import signal

from scripts.lab import Home, Lab, LabTimeoutError, wait_until

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


def lease_and_release(lab: Lab, home: Home) -> str | None:
    """Busybox udhcpc gets an address and gives it back (RFC 2131 4.4.6); the address it had."""
    before = _lines(home)
    script = _script(lab, "udhcpc-script", UDHCPC_SCRIPT)
    words = ("env", f"RESULTS={home.results}", "udhcpc", "-i", "eth0", "-f", "-s", script)
    client = lab.spawn(home.namespace.words(*words), f"udhcpc-{home.name}")
    wait_until(lambda: _lines(home) > before, f"an address for {home.name}")
    client.send_signal(signal.SIGUSR2)
    wait_until(
        lambda: any(m["type"] == "RELEASE" and m["mac"] == home.mac for m in lab.tapped(home.site)),
        "the release",
    )
    lab.stop(client, signal.SIGTERM)
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


class Resident:
    """A dhclient that stays and renews every few seconds, by unicast (RFC 2131 4.4.5).

    Not udhcpc: it opens the socket for the answer only after it has sent the renewal, and the
    kernel's 15 us are over by then. On a line with real delay it does not matter.
    """

    def __init__(self, lab: Lab, home: Home, renewal_s: int = 3) -> None:
        self.home = home
        before = _lines(home)
        script = _script(lab, "dhclient-script", DHCLIENT_SCRIPT)
        settings = lab.directory / "dhclient.conf"
        settings.write_text(f"supersede dhcp-renewal-time {renewal_s};\n")
        words = (
            "dhclient", "-4", "-d", "-sf", script, "-lf", lab.directory / f"{home.name}.resident",
            "-pf", lab.directory / f"{home.name}.resident.pid", "-cf", settings,
            "-e", f"RESULTS={home.results}", "eth0",
        )  # fmt: skip
        self.process = lab.spawn(home.namespace.words(*words), f"dhclient-{home.name}")
        wait_until(lambda: _lines(home) > before, f"an address for {home.name}")

    @property
    def address(self) -> str | None:
        return _last_address(self.home, 0)

    def is_renewed(self, timeout_s: float = 10.0) -> bool:
        """Wait for the next renewal; False if nobody answered in time."""
        before = _lines(self.home)
        try:
            wait_until(lambda: _lines(self.home) > before, "a renewal", timeout_s)
        except LabTimeoutError:
            return False
        return True
