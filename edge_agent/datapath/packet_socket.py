"""A raw socket on one interface that hears DHCP clients and nothing else.

The kernel filters (classic BPF, `man 7 packet`, linux/filter.h): unfragmented IPv4 UDP to the DHCP
server port, behind up to three VLAN tags. Whatever else the interface carries never wakes the
agent.

The kernel takes the outer tag off and tells it beside the frame; here it is put back, or a client
on a VLAN would pass for untagged (I8). The socket listens to all protocols, because one that
listens to IPv4 would not be told about frames of a VLAN that somebody configured.
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

_PACKET_AUXDATA = 8  # linux/if_packet.h
_VLAN_VALID = 1 << 4  # TP_STATUS_VLAN_VALID
_VLAN_TPID_VALID = 1 << 6
_TPIDS: Final = (0x8100, 0x88A8, 0x9100)
_INLINE_TAGS_MAX: Final = 3
_TAG_LEN: Final = 4
_TAG_AT: Final = 12

_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_AUXDATA = struct.Struct("=I12xHH")  # struct tpacket_auxdata: status, ..., control, type
_TAG = struct.Struct("!HH")
_BESIDE_MAX: Final = socket.CMSG_SPACE(_AUXDATA.size)

_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand; jumps count from the next instruction."""


def _block(tags: int) -> tuple[_Instruction, ...]:
    """Decide about a frame with `tags` VLAN tags; one with more is left to the block behind.

    A load behind the frame's end refuses, too.
    """
    ip = _TAG_AT + 2 + tags * _TAG_LEN
    this: tuple[_Instruction, ...] = (
        (_LOAD_HALF, 0, 0, ip - 2),
        (_JUMP_EQUAL, 0, 9, _ETH_P_IP),
        (_LOAD_OCTET, 0, 0, ip + 9),
        (_JUMP_EQUAL, 0, 6, socket.IPPROTO_UDP),
        (_LOAD_HALF, 0, 0, ip + 6),
        (_JUMP_ANY_BIT, 4, 0, 0x3FFF),
        (_LOAD_IHL_TO_X, 0, 0, ip),
        (_LOAD_HALF_AT_X, 0, 0, ip + 2),
        (_JUMP_EQUAL, 0, 1, SERVER_PORT),
        (_RETURN, 0, 0, MAX_FRAME),
        (_RETURN, 0, 0, 0),
    )
    if tags < _INLINE_TAGS_MAX:
        this += tuple((_JUMP_EQUAL, len(_TPIDS) - i, 0, tpid) for i, tpid in enumerate(_TPIDS))
    return (*this, (_RETURN, 0, 0, 0))


_FILTER: Final = tuple(step for tags in range(_INLINE_TAGS_MAX + 1) for step in _block(tags))


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
        """The next frame with its tags; None = none waits, or the link is down.

        Raises:
            PacketSocketError: the interface is gone.
        """
        try:
            octets, beside, _, _ = self._socket.recvmsg(MAX_FRAME, _BESIDE_MAX)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.ENETDOWN and self._exists():
                return None
            raise self._failure(error) from error
        return _with_tag(octets, beside)

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


def _with_tag(octets: bytes, beside: list[tuple[int, int, bytes]]) -> bytes:
    """Put the tag that the kernel took off back behind the addresses."""
    for level, kind, data in beside:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, control, tpid = _AUXDATA.unpack_from(data)
            if status & _VLAN_VALID:
                tag = _TAG.pack(tpid if status & _VLAN_TPID_VALID else _TPIDS[0], control)
                return octets[:_TAG_AT] + tag + octets[_TAG_AT:]
    return octets


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
        opened.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        opened.bind((interface, _ETH_P_ALL))
    except OSError as error:
        opened.close()
        raise PacketSocketError(f"interface {interface}: {error.strerror}") from error
    return opened


def _attach_filter(opened: socket.socket) -> None:
    program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*step) for step in _FILTER))
    described = _PROGRAM.pack(len(_FILTER), ctypes.addressof(program))
    opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
