"""The pin directory: maps and program under `/sys/fs/bpf/lease/<site>`, which outlive the agent.

    subscriber_pools  circuits  ip_pools  stats_map  promises  access_ports  known_macs  stock
    notices  site_state  prog

`site_state` is made last, so a directory that has it is whole. It holds the cursor: tables and
cursor are kept or lost together.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from edge_agent.datapath import abi, btf, libbpf
from edge_agent.datapath.attach import PROGRAM
from edge_agent.datapath.errors import AbiMismatchError, FastPathError, LoadError
from edge_agent.datapath.mapped import Words

BPFFS: Final = Path("/sys/fs/bpf")
PROGRAM_PIN: Final = "prog"

_HASH: Final = 1
_ARRAY: Final = 2
_PERCPU_ARRAY: Final = 6
_RINGBUF: Final = 27
_MMAPABLE: Final = 1 << 10
_OBJECT: Final = "dhcp_fastpath.bpf.o"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a map has to look like; sizes in octets."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0

    def matches(self, info: libbpf.MapInfo) -> bool:
        return self == Shape(
            info.kind, info.key_size, info.value_size, info.max_entries, info.flags
        )


def shapes(subscribers: int, circuits: int = 1) -> dict[str, Shape]:
    """The maps by name, in the order in which they are made."""
    return {
        "subscriber_pools": Shape(_HASH, 8, abi.POOL_ASSIGNMENT.size, subscribers),
        "circuits": Shape(_ARRAY, 4, abi.CIRCUIT.size, circuits),
        "ip_pools": Shape(_HASH, 4, abi.IP_POOL.size, abi.MAX_POOLS),
        "stats_map": Shape(_PERCPU_ARRAY, 4, 8 * len(counter_names()), 1),
        "promises": Shape(_ARRAY, 4, abi.PROMISE.size, subscribers, _MMAPABLE),
        "access_ports": Shape(_ARRAY, 4, abi.ACCESS_PORT.size, abi.MAX_PORTS),
        "known_macs": Shape(_ARRAY, 4, 8, (1 << abi.KNOWN_BITS) // 64, _MMAPABLE),
        "stock": Shape(_ARRAY, 4, abi.STOCKED.size, abi.STOCK_SIZE, _MMAPABLE),
        "notices": Shape(_RINGBUF, 0, 0, abi.NOTICES_SIZE),
        "asks": Shape(_RINGBUF, 0, 0, abi.ASKS_SIZE),
        "site_state": Shape(_ARRAY, 4, abi.SITE_STATE.size, 1, _MMAPABLE),
    }


def object_file() -> Path:
    """The compiled program: beside this module in a package, under `bpf/` in a checkout.

    Raises:
        LoadError: it was not built.
    """
    here = Path(__file__).parent
    for path in (here / _OBJECT, here.parents[1] / "bpf" / _OBJECT):
        if path.is_file():
            return path
    raise LoadError(f"no {_OBJECT}; build it with: make -C bpf")


@cache
def counter_names() -> tuple[str, ...]:
    """What the compiled program counts, in the order of `stats_map`.

    Raises:
        LoadError: it was not built.
    """
    return btf.field_names(object_file(), "dhcp_stats")


def prepare(directory: Path) -> None:
    """Make the pin directory, for its owner and group alone.

    Raises:
        FastPathError: it is not on a BPF file system, or may not be made.
    """
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    if not any(kind == "bpf" and directory.is_relative_to(at) for at, kind in mounts):
        raise FastPathError(f"{directory} is not on a BPF file system: mount -t bpf bpf {BPFFS}")
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise FastPathError(f"{directory}: {error.strerror}") from error


def open_maps(directory: Path, *, read_only: bool = False) -> dict[str, int]:
    """File descriptors of the pinned maps by name; the caller closes them.

    Raises:
        AbiMismatchError: a map is missing, or has another shape than this agent's.
        FastPathError: the right to open them is missing.
    """
    fds: dict[str, int] = {}
    try:
        for name, shape in shapes(0).items():
            path = directory / name
            if not path.exists():
                raise AbiMismatchError(f"{path} is not there, so the tables are not whole")
            # the kernel maps no memory of a read-only descriptor, not even for reading
            is_mapped = shape.kind == _RINGBUF or bool(shape.flags & _MMAPABLE)
            fds[name] = libbpf.open_pin(path, read_only=read_only and not is_mapped)
        check_shapes(directory, fds)
    except FastPathError:
        close_all(fds)
        raise
    return fds


def check_shapes(
    directory: Path, fds: Mapping[str, int], subscribers: int | None = None, circuits: int = 1
) -> None:
    """Compare maps with what this agent expects.

    `subscribers` None = any number; `circuits` is the least number of them.

    Raises:
        AbiMismatchError: names the map, what it is and what to do.
    """
    infos = {name: libbpf.map_info(fd) for name, fd in fds.items()}
    if subscribers is None:
        subscribers = infos["subscriber_pools"].max_entries
    if "circuits" in infos:
        circuits = max(circuits, infos["circuits"].max_entries)
    for name, info in infos.items():
        shape = shapes(subscribers, circuits)[name]
        if shape.matches(info):
            continue
        if info.max_entries != shape.max_entries:
            difference = f"{info.max_entries} entries, not {shape.max_entries}"
        else:
            difference = f"another layout ({info.value_size} octets, not {shape.value_size})"
        raise AbiMismatchError(
            f"{directory / name} has {difference}. Ask for what is there, or, once the site's "
            f"last promise has ended, detach the program, remove {directory} and start anew"
        )


def check_magic(directory: Path, site_state_fd: int) -> None:
    """Compare the ABI that the tables were written by; 0 = they were never written.

    Raises:
        AbiMismatchError: another version of the agent wrote them.
    """
    words = Words(site_state_fd, abi.SITE_STATE.size, read_only=True)
    magic = words[0] & 0xFFFFFFFF
    words.close()
    if magic not in (0, abi.MAGIC):
        raise AbiMismatchError(
            f"{directory} was written by ABI {magic:#x}, this agent speaks {abi.MAGIC:#x}: run the "
            "agent that wrote it, or, once the site's last promise has ended, start anew"
        )


def load_program(directory: Path, subscribers: int, circuits: int = 1) -> int:
    """Load the program on the maps of the directory, making those that are missing.

    A `circuits` that has more entries than asked for is kept.

    The program that is pinned already is kept if it is the same, otherwise it is exchanged.
    Returns its file descriptor; the caller closes it.

    Raises:
        AbiMismatchError: maps are there, but not these or not all.
        LoadError: the object is missing or was refused.
    """
    present = {name: directory / name for name in shapes(0) if (directory / name).exists()}
    if "site_state" in present:
        close_all(open_maps(directory))
    fds = {name: libbpf.open_pin(path) for name, path in present.items()}
    try:
        check_shapes(directory, fds, subscribers, circuits)
        if "circuits" in fds:
            circuits = libbpf.map_info(fds["circuits"]).max_entries
        if "site_state" in fds:
            check_magic(directory, fds["site_state"])
    finally:
        close_all(fds)
    fd = libbpf.load(
        object_file(),
        PROGRAM,
        {name: directory / name for name in shapes(0)},
        {"subscriber_pools": subscribers, "promises": subscribers, "circuits": circuits},
    )
    return _keep_or_exchange(directory, fd)


def _keep_or_exchange(directory: Path, fd: int) -> int:
    path = directory / PROGRAM_PIN
    if path.exists():
        pinned = libbpf.open_pin(path)
        before = libbpf.program_info(pinned)
        if before.tag == libbpf.program_info(fd).tag and map_ids(directory) <= before.map_ids:
            os.close(fd)
            return pinned
        os.close(pinned)
        path.unlink()
    libbpf.pin(fd, path)
    return fd


def map_ids(directory: Path) -> frozenset[int]:
    """Numbers of the pinned maps, by which the kernel knows them.

    Raises:
        AbiMismatchError: as `open_maps`.
    """
    fds = open_maps(directory, read_only=True)
    try:
        return frozenset(libbpf.map_info(fd).id for fd in fds.values())
    finally:
        close_all(fds)


def remove(directory: Path) -> None:
    """Unpin everything: the tables, the promises and the cursor are gone with the program."""
    shutil.rmtree(directory)


def close_all(fds: Mapping[str, int]) -> None:
    for fd in fds.values():
        os.close(fd)
