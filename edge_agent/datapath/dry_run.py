"""Runs the program on a frame without an interface: BPF_PROG_TEST_RUN."""

import ctypes
import os
from typing import Final

from edge_agent.datapath import libbpf
from edge_agent.datapath.errors import FastPathError

XDP_DROP: Final = 1
XDP_PASS: Final = 2
XDP_TX: Final = 3

_ROOM: Final = 4096


class _XdpContext(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in (
            "data",
            "data_end",
            "data_meta",
            "ingress_ifindex",
            "rx_queue_index",
            "egress_ifindex",
        )
    )


class _TestRunOpts(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


def run(fd: int, frame: bytes, ifindex: int, repeat: int = 1) -> tuple[int, bytes, int]:
    """Let a program judge a frame as if it had come in on an interface of this host.

    Returns the XDP action, the frame as it was left, and nanoseconds per run. The frame is not
    restored between repeats.

    Raises:
        FastPathError: the kernel refused, as it does for frames shorter than 14 octets.
    """
    context = _XdpContext(data_end=len(frame), ingress_ifindex=ifindex)
    out = ctypes.create_string_buffer(_ROOM)
    options = _TestRunOpts(
        sz=ctypes.sizeof(_TestRunOpts),
        data_in=frame,
        data_out=ctypes.addressof(out),
        data_size_in=len(frame),
        data_size_out=_ROOM,
        ctx_in=ctypes.addressof(context),
        ctx_size_in=ctypes.sizeof(context),
        repeat=repeat,
    )
    result = libbpf.library().bpf_prog_test_run_opts(fd, ctypes.byref(options))
    if result:
        raise FastPathError(f"test run: {os.strerror(-result)}")
    return options.retval, out.raw[: options.data_size_out], options.duration
