"""What real clients sent here, and shapes of clients that do not run here.

Each file holds one frame: a line on its origin, then the octets in hexadecimal. In all of them
the client is `CLIENT_MAC` at `ADDRESS`, the server `SERVER`. `scripts/capture_clients.py` makes
those of real clients anew; the others are in `shapes.py`.
"""

import random
from functools import cache
from pathlib import Path

from edge_agent.dhcp.options import option
from tests.kernel.grammar import some_relay_info
from tests.kernel.lab import ADDRESS
from tests.kernel.mutators import AREA_AT, BOOTP_AT, mend, options_of, summed
from tests.kernel.shapes import SHAPES
from tests.kernel.world import CLIENTS, RELAYS
from tests.packets import CLIENT_MAC, RELAY_MAC, ip

FOLDER = Path(__file__).parent / "corpus"


def read(path: Path) -> bytes:
    """The frame in a file, without the line on its origin."""
    lines = path.read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


@cache
def captured() -> dict[str, bytes]:
    """Frames of real clients by name."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.hex"))}


@cache
def all_frames() -> dict[str, bytes]:
    """Captures and shapes by name."""
    return captured() | {name: client.frame() for name, client in SHAPES.items()}


@cache
def of_client(number: int) -> tuple[bytes, ...]:
    """The corpus as client `number` of the tables would have sent it."""
    was, becomes = CLIENT_MAC.to_bytes(6, "big"), (CLIENT_MAC + number).to_bytes(6, "big")
    return tuple(
        summed(bytearray(frame.replace(was, becomes).replace(ip(ADDRESS), ip(ADDRESS + number))))
        for frame in all_frames().values()
    )


def some_frame(pick: random.Random, *, at_relay_port: bool) -> bytes:
    """A frame of the corpus as one of the tables' clients sent it, handed on by a relay or not."""
    frame = pick.choice(of_client(pick.randrange(CLIENTS)))
    if at_relay_port:
        return through_relay(pick, frame)
    return marked(pick, frame) if pick.random() < 0.3 else frame


def marked(pick: random.Random, frame: bytes) -> bytes:
    """As an access node hands an untagged frame on: option 82 before END, nothing else."""
    options = [*options_of(frame[AREA_AT:]), (82, some_relay_info(pick))]
    area = b"".join(option(*each) for each in options) + b"\xff"
    return mend(bytearray(frame[:AREA_AT] + area.ljust(60, b"\0")))


def through_relay(pick: random.Random, frame: bytes) -> bytes:
    """As a relay hands an untagged frame on: giaddr, a hop more, option 82 before END."""
    giaddr = ip(pick.choice(RELAYS))
    handed_on = bytearray(marked(pick, frame))
    handed_on[6:12] = RELAY_MAC.to_bytes(6, "big")
    handed_on[26:30] = giaddr
    handed_on[BOOTP_AT + 3] += 1
    handed_on[BOOTP_AT + 24 : BOOTP_AT + 28] = giaddr
    return mend(handed_on)
