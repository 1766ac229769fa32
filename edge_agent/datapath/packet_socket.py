"""A raw socket on one interface that hears DHCP clients and nothing else.

The kernel filters (classic BPF, `man 7 packet`, linux/filter.h): untagged, unfragmented IPv4 UDP
to the DHCP server port. Whatever else the interface carries never wakes the agent.

The socket listens to all protocols, because one that listens to IPv4 is given frames of a VLAN
that nobody configured with the tag already taken off, and they would pass for untagged (I8).
"""

import ctypes
import errno
import socket
import struct
from types import TracebackType
from typing import Final, Self

from edge_agent.dhcp.codes import SERVER_PORT
from lease_core.domain.values import Mac, mac_from_bytes

MAX_FRAME: Final = 2048
"""Octets of a frame that are received. A longer one is cut and thus refused for its length;
with at most 512 octets of options no request that could be answered comes near."""

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_SOL_PACKET = 263  # linux/socket.h
_PACKET_IGNORE_OUTGOING = 23  # linux/if_packet.h
_ETH_P_ALL = 0x0003
_ETH_P_IP = 0x0800
_ARPHRD_ETHER = 1

_LOAD_OCTET = 0x30  # BPF_LD | BPF_B | BPF_ABS
_LOAD_HALF = 0x28  # BPF_LD | BPF_H | BPF_ABS
_LOAD_HALF_AT_X = 0x48  # BPF_LD | BPF_H | BPF_IND
_LOAD_IHL_TO_X = 0xB1  # BPF_LDX | BPF_B | BPF_MSH: four times the low half of an octet
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_VLAN_TAG_PRESENT = 0xFFFFF000 + 48  # SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT

_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")

# Code, jump if true, jump if false, operand; jumps count from the next instruction, and those
# that refuse lead to the last. A load behind the frame's end refuses, too.
_FILTER: Final = (
    (_LOAD_OCTET, 0, 0, _VLAN_TAG_PRESENT),
    (_JUMP_EQUAL, 0, 10, 0),
    (_LOAD_HALF, 0, 0, 12),
    (_JUMP_EQUAL, 0, 8, _ETH_P_IP),
    (_LOAD_OCTET, 0, 0, 23),
    (_JUMP_EQUAL, 0, 6, socket.IPPROTO_UDP),
    (_LOAD_HALF, 0, 0, 20),
    (_JUMP_ANY_BIT, 4, 0, 0x3FFF),
    (_LOAD_IHL_TO_X, 0, 0, 14),
    (_LOAD_HALF_AT_X, 0, 0, 16),
    (_JUMP_EQUAL, 0, 1, SERVER_PORT),
    (_RETURN, 0, 0, MAX_FRAME),
    (_RETURN, 0, 0, 0),
)


class PacketSocketError(Exception):
    """An interface cannot be listened on or sent from; the text names it and the remedy."""


class PacketSocket:
    """Frames of one Ethernet interface, without blocking; `fileno` for the event loop."""

    def __init__(self, interface: str) -> None:
        """Open the socket; the filter stands before the first frame can arrive.

        Raises:
            PacketSocketError: no CAP_NET_RAW, no such interface, or none of Ethernet.
        """
        self.interface = interface
        try:
            self.ifindex = socket.if_nametoindex(interface)
        except OSError as error:
            raise PacketSocketError(
                f"interface {interface} does not exist; `ip link` shows those that do"
            ) from error
        self._socket = _open(interface)
        *_, hardware_type, address = self._socket.getsockname()
        if hardware_type != _ARPHRD_ETHER:
            self.close()
            raise PacketSocketError(f"interface {interface} is not Ethernet; name one that is")
        self.mac: Mac = mac_from_bytes(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """The next frame, at most `MAX_FRAME` octets; None = none waits, or the link is down.

        Raises:
            PacketSocketError: the interface is gone.
        """
        try:
            return self._socket.recv(MAX_FRAME)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.ENETDOWN and self._exists():
                return None
            raise self._failure(error) from error

    def send(self, frame: bytes) -> bool:
        """Send a whole frame; False = not sent, because the queue is full or the link is down.

        The client repeats itself, so nothing is queued here.

        Raises:
            PacketSocketError: the interface is gone or refuses the frame.
        """
        try:
            self._socket.send(frame)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS or (error.errno == errno.ENETDOWN and self._exists()):
                return False
            raise self._failure(error) from error
        return True

    def close(self) -> None:
        self._socket.close()

    def _exists(self) -> bool:
        try:
            return socket.if_nametoindex(self.interface) == self.ifindex
        except OSError:
            return False

    def _failure(self, error: OSError) -> PacketSocketError:
        if not self._exists():
            return PacketSocketError(f"interface {self.interface} is gone; restart when it is back")
        return PacketSocketError(f"interface {self.interface}: {error.strerror}")


def _open(interface: str) -> socket.socket:
    """A bound socket with the filter attached; nothing is received before bind (protocol 0)."""
    try:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except PermissionError as error:
        raise PacketSocketError(
            f"no right to open a packet socket on {interface}; run as root or grant CAP_NET_RAW"
        ) from error
    try:
        _attach_filter(opened)
        opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        opened.bind((interface, _ETH_P_ALL))
    except OSError as error:
        opened.close()
        raise PacketSocketError(f"interface {interface}: {error.strerror}") from error
    return opened


def _attach_filter(opened: socket.socket) -> None:
    program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*step) for step in _FILTER))
    described = _PROGRAM.pack(len(_FILTER), ctypes.addressof(program))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
