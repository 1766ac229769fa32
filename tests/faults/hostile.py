"""Clients whose texts want to be more than text: newlines, JSON, protocol words, terminal codes.

python -m tests.faults.hostile INTERFACE CLIENTS
"""

import random
import sys

from tests import packets
from tests.faults.load import Client, Load

PHRASES = (
    b'"}\n{"event":"lease.assigned","ip":"10.0.0.1"}',
    b"\r\n*1\r\n$8\r\nFLUSHALL\r\n",
    b"\x1b[2J\x1b]0;owned\x07",
    b"\\x41\\n\\u000a",
    b"\xe2\x80\xa8\xe2\x80\xae\xff\xfe\x00",
    b"' OR 1=1; DROP TABLE lease; --",
    b"$(reboot)`reboot`|reboot",
    b"%s%n{0.__class__}{{7*7}}",
    b"host ams01 lease:{fra02}:events",
)
LONGEST = 63


def text_of(mac: int) -> bytes:
    """What the client with this MAC is called: phrases and noise, always the same."""
    dice = random.Random(mac)
    parts = [dice.choice(PHRASES), dice.randbytes(dice.randint(1, 20)), dice.choice(PHRASES)]
    dice.shuffle(parts)
    return b"".join(parts)[:LONGEST]


class HostileLoad(Load):
    def message(self, client: Client, kind: int, *options: tuple[int, bytes]) -> packets.Client:
        text = text_of(client.mac)
        said = ((12, text), (60, text), (61, text), (77, text), (81, bytes(3) + text))
        return packets.Client(mac=client.mac, options=((53, bytes((kind,))), *options, *said))


if __name__ == "__main__":
    HostileLoad(sys.argv[1], int(sys.argv[2])).run()
