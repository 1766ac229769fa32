"""Compile what is written in C, each time anew: half a second, and never stale."""

import platform
from pathlib import Path

from scripts.lab import call

HERE = Path(__file__).parent
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-O2")


def blaster(into: Path) -> Path:
    """The load generator."""
    program = into / "blaster"
    call("cc", *WARNINGS, "-std=gnu11", HERE / "blaster.c", "-o", program)
    return program


def roomy(into: Path) -> Path:
    """What gives the sockets of a program room for what comes in, preloaded into it."""
    library = into / "roomy.so"
    call("cc", *WARNINGS, "-std=gnu11", "-shared", "-fPIC", HERE / "roomy.c", "-o", library)
    return library


def harness(into: Path) -> Path:
    """The BPF programs that the fast path is measured with and against."""
    target = into / "harness.bpf.o"
    multiarch = Path(f"/usr/include/{platform.machine()}-linux-gnu")
    includes = (f"-I{multiarch}", f"-I{HERE.parents[1] / 'bpf'}")
    call(
        "clang", *WARNINGS, "-g", "-target", "bpf", "-mcpu=v3", *includes,
        "-c", HERE / "harness.bpf.c", "-o", target,
    )  # fmt: skip
    return target
