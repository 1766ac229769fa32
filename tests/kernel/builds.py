"""Other builds of the kernel program: by another compiler, or with something taken out."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

BPF = Path(__file__).parents[2] / "bpf"
OBJECT = "dhcp_fastpath.bpf.o"

Patch = Mapping[str, tuple[str, str]]
"""By file: what stands there exactly once, and what stands there instead."""


def build(folder: Path, *, clang: str = "clang", patch: Patch | None = None) -> Path:
    """Build a copy of the program in an empty folder, warnings being errors.

    Raises:
        AssertionError: the compiler's words, or a patch that no longer fits.
    """
    copy = folder / "bpf"
    shutil.copytree(BPF, copy, ignore=shutil.ignore_patterns("*.o"))
    for name, (before, after) in (patch or {}).items():
        source = (copy / name).read_text()
        assert source.count(before) == 1, f"{name} has {source.count(before)} times: {before}"
        (copy / name).write_text(source.replace(before, after))
    made = subprocess.run(
        ["make", "-C", str(copy), f"CLANG={clang}", OBJECT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert "warning" not in made.stderr, made.stderr
    return copy / OBJECT
