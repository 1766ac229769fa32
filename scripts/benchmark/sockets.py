"""What it costs to receive a request and to send a reply: one by one, many a call, from a ring.

Each way runs in a process and a network namespace of its own, at one end of a veth pair. Requests
come from the other end in bursts; only receiving and replying is measured.
"""

import ctypes
import mmap
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from edge_agent.datapath.packet_socket import MAX_FRAME, PacketSocket
from scripts.benchmark.measure import Table, run_rounds
from scripts.lab import call
from tests.packets import Client

NEAR, FAR = "sock0", "sock1"
REQUESTS = 6_400
BURSTS = (1, 64)
PLAIN = "recvmsg and send"

_SOL_PACKET: Final = 263  # linux/socket.h
_PACKET_RX_RING: Final = 5  # linux/if_packet.h
_PACKET_VERSION: Final = 10
_TPACKET_V2: Final = 1
_TP_STATUS_KERNEL, _TP_STATUS_USER, _TP_STATUS_VLAN_VALID = 0, 1, 1 << 4
_RING_HEADER = struct.Struct("=IIIH")  # struct tpacket2_hdr: status, length, captured, start
_STATUS = struct.Struct("=I")
_BLOCK: Final = 1 << 16
_BLOCKS: Final = 16
_CONTROL: Final = 64


class Way(Protocol):
    """One way to talk through a packet socket."""

    def take(self) -> Sequence[bytes]:
        """All frames that wait."""

    def give(self, frames: Sequence[bytes]) -> None:
        """Send frames."""


class Plain:
    """What the agent does."""

    def __init__(self, opened: PacketSocket) -> None:
        self._opened = opened

    def take(self) -> Sequence[bytes]:
        return list(iter(self._opened.receive, None))

    def give(self, frames: Sequence[bytes]) -> None:
        for frame in frames:
            self._opened.send(frame)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr (man 2 recvmsg)."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_len", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)),
        ("iov_len", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_len", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr (man 2 recvmmsg)."""

    _fields_ = (("header", _Header), ("received", ctypes.c_uint))


class Batched:
    """recvmmsg and sendmmsg through ctypes, with buffers made once."""

    def __init__(self, opened: PacketSocket, most: int = max(BURSTS)) -> None:
        self._fd, self._most = opened.fileno(), most
        self._libc = ctypes.CDLL(None, use_errno=True)
        room = bytearray(most * MAX_FRAME)
        self._octets = memoryview(room)
        self._beside = bytearray(most * _CONTROL)
        frames = ctypes.addressof(ctypes.c_char.from_buffer(room))
        beside = ctypes.addressof(ctypes.c_char.from_buffer(self._beside))
        self._received, self._sent = (_Message * most)(), (_Message * most)()
        self._in, self._out = (_Iovec * most)(), (_Iovec * most)()
        for i in range(most):
            for iovecs, messages in ((self._in, self._received), (self._out, self._sent)):
                iovecs[i] = _Iovec(frames + i * MAX_FRAME, MAX_FRAME)
                messages[i].header.iov = ctypes.pointer(iovecs[i])
                messages[i].header.iov_len = 1
            self._received[i].header.control = beside + i * _CONTROL
            self._received[i].header.control_len = _CONTROL
        self._fresh = bytes(self._received)

    def take(self) -> Sequence[bytes]:
        count = self._libc.recvmmsg(self._fd, self._received, self._most, socket.MSG_DONTWAIT, None)
        lengths = [self._received[i].received for i in range(count)]
        ctypes.memmove(self._received, self._fresh, max(count, 0) * ctypes.sizeof(_Message))
        return [self._frame(i, length) for i, length in enumerate(lengths)]

    def _frame(self, i: int, length: int) -> bytes:
        """Behind the header of what is told beside the frame stands the status."""
        (status,) = _STATUS.unpack_from(self._beside, i * _CONTROL + socket.CMSG_LEN(0))
        assert not status & _TP_STATUS_VLAN_VALID
        return self._octets[i * MAX_FRAME : i * MAX_FRAME + length].tobytes()

    def give(self, frames: Sequence[bytes]) -> None:
        for i, frame in enumerate(frames):
            self._octets[i * MAX_FRAME : i * MAX_FRAME + len(frame)] = frame
            self._out[i].len = len(frame)
        self._libc.sendmmsg(self._fd, self._sent, len(frames), 0)


class Ring(Plain):
    """PACKET_MMAP for what is received; replies are sent one by one."""

    def __init__(self, opened: PacketSocket) -> None:
        super().__init__(opened)
        same = socket.socket(fileno=os.dup(opened.fileno()))
        same.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        self._frames = _BLOCKS * _BLOCK // MAX_FRAME
        request = struct.pack("=4I", _BLOCK, _BLOCKS, MAX_FRAME, self._frames)
        same.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._ring = mmap.mmap(same.fileno(), _BLOCKS * _BLOCK)
        self._next = 0

    def take(self) -> Sequence[bytes]:
        taken: list[bytes] = []
        while True:
            at = self._next * MAX_FRAME
            status, _, length, start = _RING_HEADER.unpack_from(self._ring, at)
            if not status & _TP_STATUS_USER:
                return taken
            assert not status & _TP_STATUS_VLAN_VALID
            taken.append(self._ring[at + start : at + start + length])
            _STATUS.pack_into(self._ring, at, _TP_STATUS_KERNEL)
            self._next = (self._next + 1) % self._frames


WAYS: dict[str, Callable[[PacketSocket], Way]] = {
    PLAIN: Plain,
    "recvmmsg and sendmmsg": Batched,
    "PACKET_MMAP and send": Ring,
}


def measure(rounds: int) -> list[Table]:
    cases = {(way, burst): (lambda w=way, b=burst: _run(w, b)) for burst in BURSTS for way in WAYS}
    found = run_rounds({f"{way}, {burst} at once": run for (way, burst), run in cases.items()},
                       rounds)  # fmt: skip
    table = Table("A request received and a reply sent through a packet socket", "ns of processor")
    for (way, burst), name in zip(cases, found, strict=True):
        table.add(name, found[name], "" if way == PLAIN else f"{PLAIN}, {burst} at once")
    return [table]


def _run(way: str, burst: int) -> float:
    words = ("unshare", "-n", sys.executable, "-m", "scripts.benchmark.sockets", way,
             burst, REQUESTS)  # fmt: skip
    return float(call(*words))


def _time(way: str, burst: int, requests: int) -> float:
    """Processor time of a request and its reply, ns."""
    call("ip", "link", "add", FAR, "type", "veth", "peer", "name", NEAR)
    for name in (FAR, NEAR):
        call("ip", "link", "set", name, "up")
    frame = Client().frame()
    used_ns = answered = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as far, PacketSocket(NEAR) as near:
        far.bind((FAR, 0))
        ours = WAYS[way](near)
        while answered < requests:
            for _ in range(burst):
                far.send(frame)
            before = time.process_time_ns()
            taken = ours.take()
            ours.give(taken)
            used_ns += time.process_time_ns() - before
            answered += len(taken)
    return used_ns / answered


if __name__ == "__main__":
    print(_time(sys.argv[1], *map(int, sys.argv[2:])))
