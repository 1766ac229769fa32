"""The systemd units: as tight as compose.yaml, by systemd's own measure."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

COMPOSE = Path(__file__).parents[2] / "compose"
UNITS = sorted((COMPOSE / "systemd").glob("*.service"))
EXPOSURE_TENTHS = 25


def settings(unit: Path, name: str) -> list[str]:
    lines = unit.read_text().splitlines()
    return [
        word for line in lines if line.startswith(f"{name}=") for word in line.split("=")[1].split()
    ]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_exposure_is_small(unit: Path) -> None:
    """`systemd-analyze security` gives at most 2.5 of 10."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    words = ("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}")
    measured = subprocess.run([*words, str(unit)], capture_output=True, text=True, check=False)
    assert measured.returncode == 0, measured.stdout + measured.stderr


def test_rights_are_those_of_compose() -> None:
    """An edge has the five rights that compose.yaml gives it, an allocator none."""
    edge, allocator = (
        COMPOSE / "systemd" / f"lease-{name}.service" for name in ("edge", "allocator")
    )
    given = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["x-edge"]["cap_add"]
    assert settings(edge, "CapabilityBoundingSet") == [f"CAP_{right}" for right in given]
    assert settings(edge, "AmbientCapabilities") == settings(edge, "CapabilityBoundingSet")
    assert settings(allocator, "CapabilityBoundingSet") == []
