"""libbpf through ctypes: load the object, pin, open pins, ask about maps and programs.

bcc links to the same `libbpf.so.1`. It loads only what it compiled itself, so loading and
pinning are done here, and bcc works on the file descriptors.
"""

import ctypes
import errno
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from edge_agent.datapath.errors import FastPathError, LoadError, MissingToolError

BPF_F_RDONLY: Final = 1 << 3
_LOG_MAX: Final = 16_384
_MAPS_MAX: Final = 64

_PrintCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class _ObjGetOpts(ctypes.Structure):
    _fields_ = (("sz", ctypes.c_size_t), ("file_flags", ctypes.c_uint32))


class _MapInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


class _ProgInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_len", ctypes.c_uint32),
        ("xlated_len", ctypes.c_uint32),
        ("jited", ctypes.c_uint64),
        ("xlated", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
    )


@dataclass(frozen=True, slots=True)
class MapInfo:
    """A map as the kernel has it; sizes in octets."""

    id: int
    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class ProgramInfo:
    """A program as the kernel has it; `tag` is a hash of its instructions."""

    id: int
    name: str
    tag: bytes
    map_ids: frozenset[int]


@cache
def library() -> Any:
    """The loaded library with its functions declared.

    Raises:
        MissingToolError: the host has no libbpf 1.x.
    """
    try:
        lib = ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise MissingToolError(f"no libbpf.so.1; install the package libbpf1 ({error})") from error
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, *arguments in (
        ("libbpf_set_print", pointer, _PrintCallback),
        ("bpf_object__open_file", pointer, text, pointer),
        ("bpf_object__load", integer, pointer),
        ("bpf_object__close", None, pointer),
        ("bpf_object__find_map_by_name", pointer, pointer, text),
        ("bpf_object__find_program_by_name", pointer, pointer, text),
        ("bpf_map__set_max_entries", integer, pointer, ctypes.c_uint32),
        ("bpf_map__set_pin_path", integer, pointer, text),
        ("bpf_program__fd", integer, pointer),
        ("bpf_map__fd", integer, pointer),
        ("bpf_obj_pin", integer, integer, text),
        ("bpf_obj_get_opts", integer, text, pointer),
        ("bpf_obj_get_info_by_fd", integer, integer, pointer, pointer),
        ("bpf_prog_get_fd_by_id", integer, ctypes.c_uint32),
        ("bpf_prog_test_run_opts", integer, integer, pointer),
        ("bpf_xdp_query", integer, integer, integer, pointer),
        ("btf__parse", pointer, text, pointer),
        ("btf__free", None, pointer),
        ("btf__find_by_name_kind", ctypes.c_int32, pointer, text, ctypes.c_uint32),
        ("btf__type_by_id", pointer, pointer, ctypes.c_uint32),
        ("btf__name_by_offset", text, pointer, ctypes.c_uint32),
    ):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class _PrintedText:
    """Collects what libbpf and the verifier print while the object is loaded."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._format = ctypes.CDLL(None).vsnprintf
        self._format.argtypes = (
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_char_p,
            ctypes.c_void_p,
        )
        self._callback = _PrintCallback(self._take)
        self._before: int | None = None

    def _take(self, level: int, template: bytes, arguments: int) -> int:
        if level <= 1:  # LIBBPF_WARN, LIBBPF_INFO
            buffer = ctypes.create_string_buffer(_LOG_MAX)
            self._format(buffer, _LOG_MAX, template, arguments)
            self._parts.append(buffer.value.decode(errors="replace"))
        return 0

    def __enter__(self) -> "_PrintedText":
        self._before = library().libbpf_set_print(self._callback)
        return self

    def __exit__(self, *_: object) -> None:
        library().libbpf_set_print(ctypes.cast(self._before or 0, _PrintCallback))

    def tail(self) -> str:
        """The end of the text, which is where the verifier says what it did not like."""
        return "".join(self._parts)[-_LOG_MAX:].strip()


def load(path: Path, program: str, pins: Mapping[str, Path], max_entries: Mapping[str, int]) -> int:
    """Load an object whose maps are, or become, those pinned under `pins` by map name.

    Maps that are pinned already are used with their content. Returns the file descriptor of
    the program; the caller closes it.

    Raises:
        LoadError: the object cannot be read or the verifier refused it, with their text.
    """
    return load_with_maps(path, program, pins, max_entries, ())[0]


def load_with_maps(
    path: Path,
    program: str,
    pins: Mapping[str, Path],
    max_entries: Mapping[str, int],
    names: Collection[str],
) -> tuple[int, dict[str, int]]:
    """The same, and the file descriptors of maps by name, which may not be pinned.

    Raises:
        LoadError: as `load`.
    """
    lib = library()
    with _PrintedText() as printed:
        handle = lib.bpf_object__open_file(os.fsencode(path), None)
        if not handle:
            raise LoadError(f"{path}: {os.strerror(ctypes.get_errno())}", printed.tail())
        try:
            for name, pin_path in pins.items():
                found = lib.bpf_object__find_map_by_name(handle, name.encode())
                if not found:
                    raise LoadError(f"{path} has no map {name}; rebuild it: make -C bpf")
                lib.bpf_map__set_pin_path(found, os.fsencode(pin_path))
                if name in max_entries:
                    lib.bpf_map__set_max_entries(found, max_entries[name])
            result = lib.bpf_object__load(handle)
            if result:
                raise LoadError(f"{path}: not loaded: {os.strerror(-result)}", printed.tail())
            fd = lib.bpf_program__fd(lib.bpf_object__find_program_by_name(handle, program.encode()))
            maps = {name: lib.bpf_object__find_map_by_name(handle, name.encode()) for name in names}
            return os.dup(fd), {name: os.dup(lib.bpf_map__fd(each)) for name, each in maps.items()}
        finally:
            lib.bpf_object__close(handle)


def pin(fd: int, path: Path) -> None:
    """Pin a map or program.

    Raises:
        FastPathError: the path is taken, or not on a BPF file system.
    """
    if library().bpf_obj_pin(fd, os.fsencode(path)):
        raise FastPathError(f"{path}: cannot pin: {os.strerror(ctypes.get_errno())}")


def open_pin(path: Path, *, read_only: bool = False) -> int:
    """File descriptor of what is pinned; the caller closes it.

    Raises:
        FastPathError: nothing is pinned there, or the right to open it is missing.
    """
    options = _ObjGetOpts(ctypes.sizeof(_ObjGetOpts), BPF_F_RDONLY if read_only else 0)
    fd = int(library().bpf_obj_get_opts(os.fsencode(path), ctypes.byref(options)))
    if fd < 0:
        raise FastPathError(f"{path}: cannot open: {os.strerror(-fd)}")
    return fd


def map_info(fd: int) -> MapInfo:
    info = _MapInfo()
    _read_info(fd, info)
    return MapInfo(
        info.id, info.type, info.key_size, info.value_size, info.max_entries, info.map_flags
    )


def program_info(fd: int) -> ProgramInfo:
    map_ids = (ctypes.c_uint32 * _MAPS_MAX)()
    info = _ProgInfo(nr_map_ids=_MAPS_MAX, map_ids=ctypes.addressof(map_ids))
    _read_info(fd, info)
    used = frozenset(map_ids[: min(info.nr_map_ids, _MAPS_MAX)])
    return ProgramInfo(info.id, info.name.decode(), bytes(info.tag), used)


def program_by_id(number: int) -> ProgramInfo:
    """Ask about a program that is loaded somewhere; its number alone without CAP_SYS_ADMIN.

    Raises:
        FastPathError: it has gone.
    """
    fd = library().bpf_prog_get_fd_by_id(number)
    if fd == -errno.EPERM:
        return ProgramInfo(number, "not ours to look at", b"", frozenset())
    if fd < 0:
        raise FastPathError(f"program {number}: {os.strerror(-fd)}")
    try:
        return program_info(fd)
    finally:
        os.close(fd)


def _read_info(fd: int, info: ctypes.Structure) -> None:
    size = ctypes.c_uint32(ctypes.sizeof(info))
    if library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)):
        raise FastPathError(f"no information: {os.strerror(ctypes.get_errno())}")
