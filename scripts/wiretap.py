"""Write every DHCP message seen on an interface as one JSON line, with the kernel's time stamp.

    python -m scripts.wiretap INTERFACE [PORT]

The lines are what the demo shows and what the checkers join with the log. PORT is what the router
calls the other end: each message then tells the line it was seen on, as the log names it.
"""

import json
import socket
import struct
import sys
from collections.abc import Iterable

SO_TIMESTAMPNS = 35
SOL_PACKET = 263
PACKET_AUXDATA = 8
AUXDATA = struct.Struct("=I12xHH")
VLAN_VALID = 1 << 4
ETH_P_ALL = 3
TPIDS = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
HEADERS = 42
Ancillary = Iterable[tuple[int, int, bytes]]
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


def open_tap(interface: str) -> socket.socket:
    """A socket that hears every frame; read it with `receive`."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    tap.bind((interface, ETH_P_ALL))
    return tap


def receive(tap: socket.socket) -> tuple[bytes, tuple[int, ...], Ancillary]:
    """The next frame without its VLAN tags, their ids from the outer to the inner, and what came
    beside it. The kernel takes the outer tag of what arrives off and tells it there."""
    frame, ancillary, *_ = tap.recvmsg(2048, 128)
    ids = []
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, control, _ = AUXDATA.unpack_from(data)
            ids += [control & 0xFFF] if status & VLAN_VALID else []
    while frame[12:14] in TPIDS:
        ids.append(int.from_bytes(frame[14:16], "big") & 0xFFF)
        frame = frame[:12] + frame[16:]
    return frame, tuple(ids), ancillary


def describe(frame: bytes, at_ns: int) -> dict[str, object] | None:
    """What an untagged frame says, None if it is no DHCP message."""
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


def line_of(port: str, ids: tuple[int, ...]) -> str:
    """`access0`, `access0:100` or `access0:100.200`."""
    return f"{port}:{'.'.join(map(str, ids))}" if ids else port


def main() -> None:
    interface, *port = sys.argv[1:]
    tap = open_tap(interface)
    tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    print(json.dumps({"type": "tap", "interface": interface}), flush=True)
    while True:
        frame, ids, ancillary = receive(tap)
        stamp = next((data for _, kind, data in ancillary if kind == SO_TIMESTAMPNS), bytes(16))
        seconds, nanoseconds = struct.unpack("qq", stamp)
        message = describe(frame, seconds * 1_000_000_000 + nanoseconds)
        if message:
            line = {"line": line_of(port[0], ids)} if port else {}
            print(json.dumps(message | line), flush=True)


if __name__ == "__main__":
    main()
