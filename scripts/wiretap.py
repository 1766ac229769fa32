"""Write every DHCP message seen on an interface as one JSON line, with the kernel's time stamp.

    python -m scripts.wiretap INTERFACE

The lines are what the demo shows and what the checkers join with the log.
"""

import json
import socket
import struct
import sys

SO_TIMESTAMPNS = 35
ETH_P_ALL = 3
HEADERS = 42
TYPES = dict(
    enumerate(("DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"), 1)
)


def options_of(area: bytes) -> dict[int, bytes]:
    """The options of a message, the last one of each code."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 1 < len(area) and area[at] != 255:
        if area[at] == 0:
            at += 1
            continue
        found[area[at]] = area[at + 2 : at + 2 + area[at + 1]]
        at += 2 + area[at + 1]
    return found


def describe(frame: bytes, at_ns: int) -> dict[str, object] | None:
    """What a frame says, None if it is no DHCP message."""
    if len(frame) < HEADERS + 240 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return None
    if not set(struct.unpack("!HH", frame[34:38])) <= {67, 68}:
        return None
    bootp = frame[HEADERS:]
    options = options_of(bootp[240:])
    if 53 not in options:
        return None
    return {
        "at_ns": at_ns,
        "type": TYPES.get(options[53][0], "?"),
        "mac": bootp[28:34].hex(":"),
        "xid": bootp[4:8].hex(),
        "ciaddr": socket.inet_ntoa(bootp[12:16]),
        "yiaddr": socket.inet_ntoa(bootp[16:20]),
        "requested": socket.inet_ntoa(options.get(50, bytes(4))),
        "lease_s": int.from_bytes(options.get(51, b""), "big"),
        "server": socket.inet_ntoa(options.get(54, bytes(4))),
    }


def main() -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    tap.bind((sys.argv[1], ETH_P_ALL))
    print(json.dumps({"type": "tap", "interface": sys.argv[1]}), flush=True)
    while True:
        frame, ancillary, *_ = tap.recvmsg(2048, 64)
        stamp = next((data for _, kind, data in ancillary if kind == SO_TIMESTAMPNS), bytes(16))
        seconds, nanoseconds = struct.unpack("qq", stamp)
        message = describe(frame, seconds * 1_000_000_000 + nanoseconds)
        if message:
            print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
