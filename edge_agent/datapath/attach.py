"""Which program sits on an interface, and putting ours there."""

import ctypes
import os
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_agent.datapath import libbpf
from edge_agent.datapath.bcc_binding import bcc
from edge_agent.datapath.errors import AttachError, FastPathError

PROGRAM: Final = "dhcp_fastpath"

_UPDATE_IF_NOEXIST: Final = 1
_ATTACHED_NATIVE: Final = 1
_ATTACHED_GENERIC: Final = 2


class Mode(StrEnum):
    """Where XDP runs: in the driver, or in the network stack for any driver."""

    NATIVE = "native"
    GENERIC = "generic"

    @property
    def flag(self) -> int:
        return 4 if self is Mode.NATIVE else 2


class _QueryOpts(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_id", ctypes.c_uint32),
        ("drv_prog_id", ctypes.c_uint32),
        ("hw_prog_id", ctypes.c_uint32),
        ("skb_prog_id", ctypes.c_uint32),
        ("attach_mode", ctypes.c_uint8),
    )


@dataclass(frozen=True, slots=True)
class Attached:
    """The program on an interface."""

    program: libbpf.ProgramInfo
    mode: Mode

    def __str__(self) -> str:
        return f"program {self.program.id} ({self.program.name}, {self.mode})"


def attached(ifindex: int) -> Attached | None:
    """Ask the kernel what sits on an interface.

    Raises:
        FastPathError: there is no such interface, or several programs sit on it.
    """
    options = _QueryOpts(sz=ctypes.sizeof(_QueryOpts))
    result = libbpf.library().bpf_xdp_query(ifindex, 0, ctypes.byref(options))
    if result:
        raise FastPathError(f"interface {ifindex}: {os.strerror(-result)}")
    if options.attach_mode == _ATTACHED_NATIVE:
        return Attached(libbpf.program_by_id(options.drv_prog_id), Mode.NATIVE)
    if options.attach_mode == _ATTACHED_GENERIC:
        return Attached(libbpf.program_by_id(options.skb_prog_id), Mode.GENERIC)
    if options.attach_mode:
        raise FastPathError(f"interface {ifindex}: XDP in hardware or in several modes at once")
    return None


def attach(device: str, fd: int) -> Mode:
    """Put a program on a free interface, in the driver or else in the stack.

    Raises:
        AttachError: neither worked.
    """
    errors = []
    for mode in Mode:
        try:
            _attach(device, fd, mode.flag | _UPDATE_IF_NOEXIST)
        except FastPathError as error:
            errors.append(f"{mode}: {error}")
        else:
            return mode
    raise AttachError(device, "native and generic", "; ".join(errors), _occupant(device))


def replace(device: str, fd: int, mode: Mode) -> None:
    """Put a program in place of the one that is there, without a packet in between.

    Raises:
        AttachError: the kernel refused.
    """
    try:
        _attach(device, fd, mode.flag)
    except FastPathError as error:
        raise AttachError(device, mode, str(error), _occupant(device)) from error


def detach(device: str, mode: Mode) -> None:
    """Take the program off.

    Raises:
        AttachError: the kernel refused.
    """
    # bcc raises bare exceptions, whose text is all that they carry
    try:
        bcc().BPF.remove_xdp(device.encode(), mode.flag)
    except Exception as error:
        raise AttachError(device, mode, str(error)) from error


def _attach(device: str, fd: int, flags: int) -> None:
    function = bcc().BPF.Function(None, PROGRAM.encode(), fd)
    try:
        bcc().BPF.attach_xdp(device.encode(), function, flags)
    except Exception as error:
        raise FastPathError(str(error)) from error


def _occupant(device: str) -> str:
    try:
        found = attached(socket.if_nametoindex(device))
    except (FastPathError, OSError):
        return ""
    return str(found) if found else ""
