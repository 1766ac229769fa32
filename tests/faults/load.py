"""Clients that come, renew and leave, many at once, on one interface of the homes.

    python -m tests.faults.load INTERFACE CLIENTS

Each plays RFC 2131 honestly: it uses an address only from ACK to RELEASE or to the end of its
lease. Half of them stay for good; whoever else leaves is replaced by a newcomer. They sit on lines
with no, one and two VLAN tags, by turns, and every fourth has the MAC of one on another line.
"""

import itertools
import random
import select
import sys
import time
from dataclasses import dataclass

from scripts.wiretap import HEADERS, open_tap, options_of, receive
from tests import packets
from tests.packets import ACK, DISCOVER, NAK, OFFER, RELEASE, REQUEST

RETRY_S = 0.5
RENEW_S = 0.4
RENEWALS = 4
NUMBERS = itertools.count(1)
TAGS = {(): (), (100,): ((0x8100, 100),), (100, 200): ((0x88A8, 100), (0x8100, 200))}
LINES = tuple(TAGS)
"""By the VLAN ids that the wire shows."""


@dataclass
class Client:
    """One subscriber; `ip` is set while it has an address."""

    mac: int
    line: tuple[int, ...]
    stays: bool
    ip: bytes = b""
    until_s: float = 0.0
    sent_s: float = 0.0
    server: bytes = b""
    xid: int = 0
    renewals: int = 0
    due_s: float = 0.0


class Load:
    def __init__(self, interface: str, clients: int) -> None:
        self._wire = open_tap(interface)
        self._clients: dict[tuple[int, tuple[int, ...]], Client] = {}
        self._came = 0
        for _ in range(clients):
            self._come(stays=self._came % 2 == 0)

    def _come(self, *, stays: bool) -> None:
        number = self._came
        self._came += 1
        mac = 0x02_10_00_00_00_00 + number - (number % 4 == 3)
        line = LINES[number % len(LINES)]
        self._clients[mac, line] = Client(mac, line, stays)

    def run(self) -> None:
        while True:
            now_s = time.monotonic()
            for client in list(self._clients.values()):
                if now_s >= client.due_s:
                    self._speak(client, now_s)
            if select.select([self._wire], [], [], 0.02)[0]:
                self._hear(*receive(self._wire)[:2])

    def _speak(self, client: Client, now_s: float) -> None:
        """Ask for an address, renew it, or leave."""
        client.due_s = now_s + RETRY_S
        client.xid = next(NUMBERS)
        if now_s >= client.until_s:
            client.ip = b""
        if not client.ip:
            self._send(client, DISCOVER)
        elif client.stays or client.renewals < RENEWALS:
            self._send(client, REQUEST)
        else:
            self._send(client, RELEASE, (54, client.server))
            del self._clients[client.mac, client.line]
            self._come(stays=False)

    def _send(self, client: Client, kind: int, *options: tuple[int, bytes]) -> None:
        own = int.from_bytes(client.ip, "big")
        to = int.from_bytes(client.server, "big") if client.ip else 0xFFFFFFFF
        message = self.message(client, kind, *options)
        sent = message.but(
            xid=client.xid, ciaddr=own, src_ip=own, dst_ip=to, tags=TAGS[client.line]
        )
        client.sent_s = time.monotonic()
        self._wire.send(sent.frame())

    def message(self, client: Client, kind: int, *options: tuple[int, bytes]) -> packets.Client:
        return packets.udhcpc(kind, *options, mac=client.mac)

    def _hear(self, frame: bytes, line: tuple[int, ...]) -> None:
        bootp = frame[HEADERS:]
        if len(bootp) < 240 or frame[12:14] != b"\x08\x00" or bootp[0] != 2:
            return
        client = self._clients.get((int.from_bytes(bootp[28:34], "big"), line))
        if client is None or client.xid != int.from_bytes(bootp[4:8], "big"):
            return
        options, yiaddr = options_of(bootp[240:]), bootp[16:20]
        client.server = options.get(54, b"")
        kind = options[53][0]
        if kind == OFFER and not client.ip:
            self._send(client, REQUEST, (50, yiaddr), (54, client.server))
        elif kind == NAK:
            client.ip = b""
        elif kind == ACK:
            client.renewals += bool(client.ip)
            client.ip = yiaddr
            client.until_s = client.sent_s + int.from_bytes(options[51], "big")
            client.due_s = time.monotonic() + RENEW_S * random.uniform(0.5, 1.5)


if __name__ == "__main__":
    Load(sys.argv[1], int(sys.argv[2])).run()
