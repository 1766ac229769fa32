"""What a compiled object says of its own types (BTF), through libbpf. Needs no privilege.

The kernel has the types of pinned maps too, but shows them only to CAP_SYS_ADMIN.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

from edge_agent.datapath.errors import LoadError
from edge_agent.datapath.libbpf import library

_STRUCT: Final = 4
_COUNT: Final = 0xFFFF


class _Member(ctypes.Structure):
    _fields_ = (
        ("name_off", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
    )


class _Type(ctypes.Structure):
    """`struct btf_type`; its members follow."""

    _fields_ = (
        ("name_off", ctypes.c_uint32),
        ("info", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
    )


def field_names(path: Path, structure: str) -> tuple[str, ...]:
    """Names of the fields of a structure, in their order.

    Raises:
        LoadError: the file has no BTF, or no such structure; it was not built by `bpf/Makefile`.
    """
    lib = library()
    types = lib.btf__parse(os.fsencode(path), None)
    if not types:
        raise LoadError(f"{path} has no BTF; rebuild it: make -C bpf")
    try:
        number = lib.btf__find_by_name_kind(types, structure.encode(), _STRUCT)
        if number < 0:
            raise LoadError(f"{path} has no structure {structure}; rebuild it: make -C bpf")
        address = lib.btf__type_by_id(types, number)
        count = _Type.from_address(address).info & _COUNT
        members = (_Member * count).from_address(address + ctypes.sizeof(_Type))
        names: list[bytes] = [lib.btf__name_by_offset(types, each.name_off) for each in members]
        return tuple(name.decode() for name in names)
    finally:
        lib.btf__free(types)
