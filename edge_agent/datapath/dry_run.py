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


class DryRun:
    """A program that frames are put to, by one thread: what a run needs in memory is made once."""

    def __init__(self, fd: int) -> None:
        """`fd` stays the caller's."""
        self._fd = fd
        self._context = _XdpContext()
        self._out = ctypes.create_string_buffer(_ROOM)
        self._options = _TestRunOpts(
            sz=ctypes.sizeof(_TestRunOpts),
            data_out=ctypes.addressof(self._out),
            ctx_in=ctypes.addressof(self._context),
            ctx_size_in=ctypes.sizeof(self._context),
        )
        self._at = ctypes.byref(self._options)
        self._run = libbpf.library().bpf_prog_test_run_opts

    def __call__(self, frame: bytes, ifindex: int, repeat: int = 1) -> tuple[int, bytes, int]:
        """Let the program judge a frame as if it had come in on an interface of this host.

        Returns the XDP action, the frame as it was left, and nanoseconds per run. The frame is not
        restored between repeats.

        Raises:
            FastPathError: the kernel refused, as it does for frames shorter than 14 octets.
        """
        context, options = self._context, self._options
        context.data_end = options.data_size_in = len(frame)
        context.ingress_ifindex = ifindex
        options.data_in, options.data_size_out, options.repeat = frame, _ROOM, repeat
        result = self._run(self._fd, self._at)
        if result:
            raise FastPathError(f"test run: {os.strerror(-result)}")
        answer = ctypes.string_at(self._out, options.data_size_out)
        return options.retval, answer, options.duration
