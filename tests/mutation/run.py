"""Run mutants: each in a copy of the tree, with the tests that must notice it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.mutation import domain, edge, judgement, log
from tests.mutation.mutant import Mutant

ROOT = Path(__file__).parents[2]
MUTANTS = (*log.MUTANTS, *domain.MUTANTS, *edge.MUTANTS, *judgement.MUTANTS)
FOLDERS = ("bpf", "edge_agent", "lease_core", "scripts", "tests")
TIMEOUT_S = 300
TOO_LONG = -1000
ENDS = {pytest.ExitCode.OK: "survived", TOO_LONG: "not ended"}


def named(names: Sequence[str]) -> tuple[Mutant, ...]:
    """Raises KeyError for a name that no mutant has."""
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    return tuple(by_name[name] for name in names)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: killed (by which test), survived, unbuilt, not ended, or unsound,
    if its tests fail without it.
    """

    result: str
    by: str = ""

    @property
    def is_killed(self) -> bool:
        return self.result == "killed"


def run_all(mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, Outcome]]:
    """The mutants in their order, and what became of each."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(cores):
            trees.put(_copy(Path(folder) / str(number)))

        def judged(mutant: Mutant) -> Outcome:
            if not is_sound[mutant.tests]:
                return Outcome("unsound")
            with _lent(trees) as tree:
                return _judge(mutant, tree)

        def passes(tests: tuple[str, ...]) -> bool:
            with _lent(trees) as tree:
                return _test(tests, tree)[0] == pytest.ExitCode.OK

        with ThreadPoolExecutor(cores) as pool:
            selections = list(dict.fromkeys(mutant.tests for mutant in mutants))
            is_sound = dict(zip(selections, pool.map(passes, selections), strict=True))
            yield from zip(mutants, pool.map(judged, mutants), strict=True)


@contextmanager
def _lent(trees: SimpleQueue[Path]) -> Iterator[Path]:
    tree = trees.get()
    try:
        yield tree
    finally:
        trees.put(tree)


def _copy(tree: Path) -> Path:
    skipped = shutil.ignore_patterns("__pycache__")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tree)
    # compiled once, and looked up by content, so that no module is taken for its mutant
    by_content = ["-m", "compileall", "-q", "--invalidation-mode=checked-hash"]
    _run([sys.executable, *by_content, "edge_agent", "lease_core"], tree)
    _run(["make", "-s", "-C", "bpf"], tree)
    return tree


def _judge(mutant: Mutant, tree: Path) -> Outcome:
    before = mutant.apply(tree)
    try:
        if mutant.is_kernel and _run(["make", "-s", "-C", "bpf"], tree)[0]:
            return Outcome("unbuilt")
        ended, said = _test(mutant.tests, tree)
        if ended != pytest.ExitCode.TESTS_FAILED:
            return Outcome(ENDS.get(ended, "unbuilt"))
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
        return Outcome("killed", failed[1] if failed else "")
    finally:
        (tree / mutant.path).write_text(before)
        if mutant.is_kernel:
            _run(["make", "-s", "-C", "bpf"], tree)


def _test(tests: Sequence[str], tree: Path) -> tuple[int, str]:
    words = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return _run([sys.executable, *words], tree)


def _run(words: Sequence[str], tree: Path) -> tuple[int, str]:
    """How a program ended, and what it said."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    environment.pop("LEASE_FULL", None)
    try:
        ended = subprocess.run(
            words,
            cwd=tree,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return TOO_LONG, ""
    return ended.returncode, ended.stdout


def table(mutants: Sequence[Mutant]) -> str:
    """How many attack which invariant, and their names, for people."""
    count = Counter(mutant.attacks for mutant in mutants)
    lines = ["| attacks | mutants | |", "|---|---|---|"]
    for attacks in sorted(count, key=lambda name: int(name[1:])):
        names = ", ".join(mutant.name for mutant in mutants if mutant.attacks == attacks)
        lines.append(f"| {attacks} | {count[attacks]} | {names} |")
    return "\n".join(lines)
