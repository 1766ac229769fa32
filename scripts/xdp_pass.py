"""Attach a program that passes everything to an interface.

    python -m scripts.xdp_pass INTERFACE

A veth end takes what an XDP program sends at its peer only while it has a program of its own.
"""

import ctypes
import os
import socket
import struct
import sys

BPF_PROG_TYPE_XDP = 6
MOVE_2_TO_R0 = struct.pack("<BBhi", 0xB7, 0, 0, 2)  # XDP_PASS
EXIT = struct.pack("<BBhi", 0x95, 0, 0, 0)


def main() -> None:
    interface = sys.argv[1]
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    steps = ctypes.create_string_buffer(MOVE_2_TO_R0 + EXIT)
    program = libbpf.bpf_prog_load(
        BPF_PROG_TYPE_XDP, b"pass_all", b"GPL", steps, ctypes.c_size_t(2), None
    )
    if program < 0:
        sys.exit(f"loading: {os.strerror(ctypes.get_errno())}")
    error = libbpf.bpf_xdp_attach(socket.if_nametoindex(interface), program, 0, None)
    if error:
        sys.exit(f"{interface}: {os.strerror(-error)}")


if __name__ == "__main__":
    main()
