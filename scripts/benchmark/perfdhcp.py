"""perfdhcp, Kea's load generator: the highest rate that a server keeps up with.

It sends from port 67 with giaddr set, so the server has to take it for a relay.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.measure import say
from scripts.benchmark.network import CLIENT_SIDE, Wire
from scripts.lab import LabError

PROGRAM = "perfdhcp"
WHY_ABSENT = "perfdhcp is not installed (Debian: kea-admin)"
SECONDS = 2
LOSS_MAX = 0.002
"""Of a run that a server kept up with; the generator itself loses the last exchanges."""
PROBES_MAX = 14
PADDING = f"60,{'70' * 48}"
"""A vendor class, so that requests have 300 octets of BOOTP as real clients' have. perfdhcp's own
are shorter than the reply, and making a frame longer is not what is measured."""

FIRST_MAC = 0x02_CD_00_00_00_00
CLIENT_BITS = 24
"""perfdhcp adds a client's number to the base octet by octet and carries nothing, so each run of
newcomers has the lower octets to itself."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run completed, in four-way exchanges per second, and the share that it lost.

    `delays_ms` are the mean times from DISCOVER to OFFER and from REQUEST to ACK.
    """

    per_s: float
    loss: float
    delays_ms: tuple[float, ...]


class Perfdhcp:
    """Relayed clients on a wire, new ones in every run unless they `stay`."""

    def __init__(self, wire: Wire, relay: str, server: str, roomy: Path) -> None:
        """Give the clients' end the address `relay` (with prefix length); `roomy` is preloaded."""
        self._wire = wire
        self._program = ("env", f"LD_PRELOAD={roomy}", PROGRAM)
        self._relay = relay.partition("/")[0]
        self._server = server
        self._newcomers = 0
        [link] = json.loads(wire.server.run("ip", "-j", "link", "show", "dev", wire.interface))
        wire.clients.run("ip", "addr", "add", relay, "dev", CLIENT_SIDE)
        wire.clients.run("ip", "neigh", "replace", server, "lladdr", link["address"],
                         "dev", CLIENT_SIDE)  # fmt: skip

    def run(self, rate: int, clients: int, *, stay: bool = False, seconds: int = SECONDS) -> Run:
        """Exchanges at `rate` per second for some seconds."""
        if not stay:
            self._newcomers += 1
        mac = (FIRST_MAC + (self._newcomers << CLIENT_BITS)).to_bytes(6, "big").hex(":")
        words = ("-4", "-r", rate, "-R", clients, "-p", seconds, "-W", 300_000,
                 "-b", f"mac={mac}", "-o", PADDING, "-l", self._relay, self._server)  # fmt: skip
        text = self._wire.clients.run(*self._program, *words, check=False)
        sent = [int(n) for n in re.findall(r"^sent packets: (\d+)", text, re.M)]
        if "received packets" not in text:
            raise LabError(f"perfdhcp: {text}")
        received = [int(n) for n in re.findall(r"^received packets: (\d+)", text, re.M)]
        delays_ms = tuple(float(ms) for ms in re.findall(r"^avg delay: ([\d.]+) ms", text, re.M))
        return Run(received[1] / seconds, 1 - sum(received) / sum(sent), delays_ms)

    def mean_delay_us(self, rate: int) -> float:
        """Mean time that a reply takes at `rate` exchanges per second; lost ones do not count.

        Raises:
            LabError: there was none.
        """
        found = self.run(rate, rate * (SECONDS + 1))
        say(f"perfdhcp at {rate}/s: {found.loss:.2%} lost")
        if not found.delays_ms:
            raise LabError(f"perfdhcp: no reply at {rate}/s")
        return 1000 * sum(found.delays_ms) / len(found.delays_ms)

    def highest_rate(self, start: int, *, stay: bool = False, clients: int = 0) -> float:
        """Double until the server falls behind, then close in on the limit.

        Returns what the best run completed, 0 if even the slowest lost too much.
        """
        best, low, high, rate = 0.0, 0, 0, start
        for _ in range(PROBES_MAX):
            found = self._best_of_two(rate, clients or rate * (SECONDS + 1), stay=stay)
            if found.loss <= LOSS_MAX:
                best, low = max(best, found.per_s), rate
            else:
                high = rate
            if high and high - low <= max(low, 100) // 10:
                break
            rate = (low + high) // 2 if high else rate * 2
        return best

    def _best_of_two(self, rate: int, clients: int, *, stay: bool) -> Run:
        """A second run where the first lost too much: neighbours stall this machine by the way."""
        for _ in range(2):
            found = self.run(rate, clients, stay=stay)
            say(f"perfdhcp at {rate}/s: {found.per_s:,.0f}/s done, {found.loss:.2%} lost")
            if found.loss <= LOSS_MAX:
                break
        return found
