"""Cheap neighbours of good frames: flipped octets, splices, cut and grown ends, other tags.

A mutator takes frames and gives one; lengths of IP and UDP are mended in most of them, because a
frame whose lengths do not fit is left alone before anything else is looked at.
"""

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.dhcp.options import option
from tests.packets import checksum

MAX_LEN: Final = 1600
TPIDS: Final = (0x8100, 0x88A8, 0x9100)
EDGES: Final = (0, 1, 2, 4, 5, 6, 53, 54, 61, 82, 127, 128, 254, 255)
BOOTP_AT: Final = 42
AREA_AT: Final = BOOTP_AT + 240
FIELDS: Final = (0, 5, *range(12, 24), 30, 33, *range(36, 58), *range(66, 80), *range(278, 300))
"""Where an octet decides something in an untagged frame."""

Mutator = Callable[[random.Random, Sequence[bytes]], bytes]


def one_of(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    return frames[int(pick.random() * len(frames))]


def tags_end(frame: bytes) -> int:
    """Where the EtherType behind the tags stands."""
    at = 12
    while at < 24 and frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
        at += 4
    return at


def mend(frame: bytearray) -> bytes:
    """Make the lengths of IP and UDP those of the frame, and the checksum of IP right."""
    at = tags_end(frame) + 2
    if len(frame) >= at + 28:
        struct.pack_into("!H", frame, at + 2, len(frame) - at)
        struct.pack_into("!H", frame, at + 24, len(frame) - at - 20)
    return summed(frame)


def summed(frame: bytearray) -> bytes:
    """Make the checksum of IP right."""
    at = tags_end(frame) + 2
    if len(frame) >= at + 20:
        frame[at + 10 : at + 12] = b"\0\0"
        frame[at + 10 : at + 12] = checksum(bytes(frame[at : at + 20])).to_bytes(2, "big")
    return bytes(frame)


def as_is(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """Another transaction of the same client: what every reply copies."""
    frame = bytearray(one_of(pick, frames))
    at = tags_end(frame) + 34
    if len(frame) > at + 8:
        frame[at : at + 4] = pick.getrandbits(32).to_bytes(4, "big")
        frame[at + 6] = pick.getrandbits(8)
    return bytes(frame)


def flip(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """One to four octets changed, mostly where something is decided."""
    frame = bytearray(one_of(pick, frames))
    shift = tags_end(frame) - 12
    for _ in range(1 + int(pick.random() * pick.random() * 4)):
        if pick.random() < 0.5:
            at = FIELDS[int(pick.random() * len(FIELDS))] + shift
        else:
            at = int(pick.random() * len(frame))
        if at < len(frame):
            how = pick.random()
            if how < 0.4:
                frame[at] ^= 1 << int(pick.random() * 8)
            elif how < 0.7:
                frame[at] = EDGES[int(pick.random() * len(EDGES))]
            else:
                frame[at] = (frame[at] + (1 if how < 0.85 else -1)) & 0xFF
    return summed(frame) if pick.random() < 0.9 else bytes(frame)


def splice(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """The head of one frame and the tail of another, cut at the same place or elsewhere."""
    head, tail = one_of(pick, frames), one_of(pick, frames)
    at = AREA_AT + int(pick.random() * 60) if pick.random() < 0.7 else int(pick.random() * 400)
    shifted = at if pick.random() < 0.5 else AREA_AT + int(pick.random() * 60)
    spliced = bytearray((head[:at] + tail[shifted:])[:MAX_LEN])
    return mend(spliced) if pick.random() < 0.9 else bytes(spliced)


def resize(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """Any length from 0 to 1600; what is added is padding, END, or more of the same."""
    frame = bytearray(one_of(pick, frames))
    if pick.random() < 0.5:
        length = min(MAX_LEN, max(0, len(frame) + int(pick.gauss(0, 40))))
    else:
        length = int(pick.random() * (MAX_LEN + 1))
    fill = (b"\0", b"\xff", bytes(frame[-64:]) or b"\0", b"\x0c\x01a")[int(pick.random() * 4)]
    frame += fill * (max(0, length - len(frame)) // len(fill) + 1)
    del frame[length:]
    return mend(frame) if pick.random() < 0.7 else bytes(frame)


def retag(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """None to three tags, with ids of somebody or of nobody."""
    frame = one_of(pick, frames)
    octets = b"".join(
        struct.pack(
            "!HH",
            TPIDS[int(pick.random() * 3)],
            (7, 7, 100, 0, 4095, pick.getrandbits(12))[int(pick.random() * 6)]
            | int(pick.random() * 16) << 12,
        )
        for _ in range(int(pick.random() * 4))
    )
    return frame[:12] + octets + frame[tags_end(frame) :]


def reoption(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """The options of a frame in another order, one left out, doubled, split, or from elsewhere."""
    frame = one_of(pick, frames)
    at = tags_end(frame) - 12 + AREA_AT
    options = options_of(frame[at:])
    if not options:
        return flip(pick, frames)
    chosen = int(pick.random() * len(options))
    how = pick.random()
    if how < 0.3:
        pick.shuffle(options)
    elif how < 0.5:
        del options[chosen]
    elif how < 0.6:
        options.append(options[chosen])
    elif how < 0.7:
        code, value = options[chosen]
        options[chosen : chosen + 1] = [(code, value[:2]), (code, value[2:])]
    elif how < 0.9:
        other = one_of(pick, frames)
        options += options_of(other[tags_end(other) - 12 + AREA_AT :])[:1]
    else:
        options[chosen] = (options[chosen][0], pick.randbytes(int(pick.random() * 8)))
    area = b"".join(option(*each) for each in options) + b"\xff"
    return mend(bytearray((frame[:at] + area).ljust(at + 60, b"\0"))[:MAX_LEN])


def taking(frame: bytes, address: bytes, server: bytes) -> bytes:
    """The REQUEST of who sent this DISCOVER, for what he was offered."""
    at = tags_end(frame) - 12 + AREA_AT
    others = [each for each in options_of(frame[at:]) if each[0] not in (50, 53, 54)]
    options = [(53, b"\x03"), (50, address), (54, server), *others]
    area = b"".join(option(*each) for each in options) + b"\xff"
    request = bytearray((frame[:at] + area).ljust(at + 60, b"\0"))
    request[at - 228 : at - 224] = bytes(4)  # ciaddr
    return mend(request)


def options_of(area: bytes) -> list[tuple[int, bytes]]:
    """What a walk finds before the first thing that is odd."""
    found, at = [], 0
    while at + 1 < len(area) and area[at] != 0xFF:
        if not area[at]:
            at += 1
            continue
        end = at + 2 + area[at + 1]
        if end > len(area):
            break
        found.append((area[at], area[at + 2 : end]))
        at = end
    return found


MUTATORS: Final[tuple[tuple[Mutator, int], ...]] = (
    (as_is, 30),
    (flip, 26),
    (splice, 10),
    (resize, 10),
    (retag, 10),
    (reoption, 14),
)
CHOICES: Final = tuple(mutator for mutator, weight in MUTATORS for _ in range(weight))


def mutant(pick: random.Random, frames: Sequence[bytes]) -> bytes:
    """A neighbour of some frames."""
    return CHOICES[int(pick.random() * len(CHOICES))](pick, frames)
