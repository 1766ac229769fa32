"""The one door to bcc, which comes from the distribution and not from the package index."""

import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from edge_agent.datapath.errors import MissingToolError


@dataclass(frozen=True, slots=True)
class Bcc:
    """What the agent uses of bcc."""

    BPF: Any
    lib: Any
    HashTable: Any
    Array: Any
    PerCpuArray: Any


class NoModule:
    """Stands for a `BPF` object in bcc's tables: they are made on maps that libbpf loaded."""

    module: ClassVar[None] = None


@cache
def bcc() -> Bcc:
    """Import bcc.

    Raises:
        MissingToolError: this interpreter does not see it.
    """
    try:
        from bcc import BPF, lib  # noqa: PLC0415 - only the kernel datapath needs it
        from bcc.table import Array, HashTable, PerCpuArray  # noqa: PLC0415
    except ImportError as error:
        raise MissingToolError(
            f"{sys.executable} does not see bcc ({error}); install the package python3-bpfcc and "
            "run from a virtual environment of /usr/bin/python3 with --system-site-packages "
            "(the `bcc` of the package index is an unrelated project)"
        ) from error
    return Bcc(BPF, lib, HashTable, Array, PerCpuArray)
