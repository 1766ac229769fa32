"""The program by every compiler that is here, its cost for the verifier, the rights it needs."""

import ctypes
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.datapath import libbpf
from edge_agent.datapath.xdp import XdpDatapath
from tests.kernel.builds import build
from tests.kernel.comparison import Round
from tests.kernel.differential import SUBSCRIBERS

VERIFIER_LIMIT = 1_000_000
"""Instructions that the verifier looks at before it gives up."""
SAMPLE = 20_000
SEED = 14
ROOT = Path(__file__).parents[2]
NOBODY = 65534
CAPABILITIES = ("bpf", "net_admin", "perfmon")


class _VerifiedInfo(ctypes.Structure):
    """`struct bpf_prog_info` of Linux up to the number of instructions that were verified."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("type", "id")),
        ("tag", ctypes.c_uint8 * 8),
        *((name, ctypes.c_uint32) for name in ("jited_len", "xlated_len")),
        *((name, ctypes.c_uint64) for name in ("jited", "xlated", "load_time")),
        *((name, ctypes.c_uint32) for name in ("created_by_uid", "nr_map_ids")),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
        ("not_of_interest", ctypes.c_uint8 * 136),
        ("verified_insns", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


def compilers() -> list[str]:
    """The oldest and the newest clang that is installed, by their commands."""
    folders = map(Path, os.environ["PATH"].split(os.pathsep))
    names = {path.name for folder in folders for path in folder.glob("clang-[0-9]*")}
    numbers = sorted(int(name[6:]) for name in names if re.fullmatch(r"clang-\d+", name))
    ends = dict.fromkeys((*numbers[:1], *numbers[-1:]))
    return [f"clang-{number}" for number in ends] or ["clang"]


@pytest.fixture
def device() -> Iterator[str]:
    """One end of a veth pair."""
    name = f"lb{os.getpid()}"
    pair = ["ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b"]
    if subprocess.run(pair, check=False).returncode:
        pytest.skip("no veth interfaces here")
    yield f"{name}a"
    subprocess.run(["ip", "link", "del", f"{name}a"], check=True)


@pytest.mark.parametrize("clang", compilers())
def test_every_compiler_makes_the_same_program(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clang: str
) -> None:
    """Built without a warning, it loads, stays small, and agrees with the twin on a sample."""
    made = build(tmp_path, clang=clang)
    monkeypatch.setattr("edge_agent.datapath.pins.object_file", lambda: made)
    with XdpDatapath.open(directory, SUBSCRIBERS, has_circuits=True) as opened:
        one = Round(opened, SEED, 0)
        one.run(SAMPLE)
        verified = verified_instructions(opened._program)
        print(f"{clang}: {verified} instructions verified, {100 * verified / VERIFIER_LIMIT:.1f} %")

    assert one.seen["offer"] > SAMPLE // 50 < one.seen["ack"]
    assert min(one.seen["inform_ack"], one.seen["nak"]) > 0
    assert 1000 < verified < VERIFIER_LIMIT // 4


def verified_instructions(program: int) -> int:
    info = _VerifiedInfo()
    size = ctypes.c_uint32(ctypes.sizeof(info))
    lib = libbpf.library()
    assert not lib.bpf_obj_get_info_by_fd(program, ctypes.byref(info), ctypes.byref(size))
    return int(info.verified_insns)


def as_nobody(capabilities: tuple[str, ...], script: str) -> subprocess.CompletedProcess[str]:
    """Run Python as another user with these capabilities and no others."""
    held = ",".join(f"+{name}" for name in capabilities)
    words = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        f"--bounding-set=-all,{held}", f"--inh-caps=-all,{held}", f"--ambient-caps=-all,{held}",
        sys.executable, "-c", script,
    ]  # fmt: skip
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def nobodys(directory: Path) -> Path:
    """A pin directory that belongs to another user."""
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv here")
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)
    probe = as_nobody(CAPABILITIES, "import edge_agent")
    if probe.returncode:
        pytest.skip(f"another user cannot read this checkout: {probe.stderr.strip()[-80:]}")
    return directory


SERVE = """
import os
from pathlib import Path
from edge_agent.datapath.xdp import XdpDatapath
from tests.kernel.lab import IFINDEX, Lab
from tests.packets import DISCOVER, dhclient
with XdpDatapath.open(Path({pins!r}), 64) as opened:
    print(opened.attach({device!r}))
    print(Lab(opened).judge(dhclient(DISCOVER)).counter)
    opened.grace()
    opened.detach({device!r})
    print(os.geteuid())
"""


def test_three_capabilities_are_enough(nobodys: Path, device: str) -> None:
    """Another user with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON loads, attaches, fills, detaches."""
    ran = as_nobody(CAPABILITIES, SERVE.format(pins=str(nobodys), device=device))

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["native", "offer", str(NOBODY)]
    assert all(path.owner() == "nobody" for path in nobodys.iterdir())


@pytest.mark.parametrize("lacking", CAPABILITIES)
def test_each_of_them_is_needed(nobodys: Path, device: str, lacking: str) -> None:
    """Without one of the three the kernel refuses, so none is asked for in vain."""
    held = tuple(name for name in CAPABILITIES if name != lacking)
    ran = as_nobody(held, SERVE.format(pins=str(nobodys), device=device))

    assert ran.returncode != 0
    assert "not permitted" in ran.stderr or "denied" in ran.stderr
    assert socket.if_nametoindex(device)
