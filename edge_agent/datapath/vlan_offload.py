"""VLAN tags have to stay in the frame, or the program takes a tagged frame for an untagged one.

A card with receive VLAN offload takes the tag off before XDP sees the frame; then a client on
some VLAN would be answered as if it sat on the untagged line (I8).
"""

import array
import fcntl
import os
import socket
import struct
from typing import Final

from edge_agent.datapath.errors import AttachError

_SIOCETHTOOL: Final = 0x8946
_GET_FLAGS: Final = 0x25
_SET_FLAGS: Final = 0x26
_RX_VLAN: Final = 1 << 8


def keep_tags(device: str) -> None:
    """Turn receive VLAN offload off; it stays off until somebody turns it on.

    Raises:
        AttachError: the card does not let itself be told so.
    """
    try:
        flags = _flags(device, _GET_FLAGS)
        if flags & _RX_VLAN:
            _flags(device, _SET_FLAGS, flags & ~_RX_VLAN)
            flags = _flags(device, _GET_FLAGS)
        reason = "stays on" if flags & _RX_VLAN else ""
    except OSError as error:
        reason = os.strerror(error.errno or 0)
    if reason:
        raise AttachError(
            device, "native and generic",
            f"receive VLAN offload: {reason}; see: ethtool -K {device} rxvlan off",
        )  # fmt: skip


def _flags(device: str, command: int, flags: int = 0) -> int:
    """ETHTOOL_GFLAGS and ETHTOOL_SFLAGS: a command and a word, behind a pointer."""
    value = array.array("I", (command, flags))
    request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
    return value[1]
