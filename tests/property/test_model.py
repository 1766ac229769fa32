"""The model of the horizon: the rules hold in every state, and none of them can be left out."""

import shutil
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "docs" / "model" / "run"
MISSING = [tool for tool in ("spin", "cc") if shutil.which(tool) is None]


@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(MISSING), reason=f"no {' and no '.join(MISSING)}; see scripts/setup")
def test_model() -> None:
    """I1, I6 and I7 hold with all rules; without any one of them I1 is broken."""
    ended = subprocess.run([RUN, "--quick"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
