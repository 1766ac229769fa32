"""Run mutants: each in a copy of the tree, with the tests that must notice it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

from tests.mutation import central, edge
from tests.mutation.mutant import Mutant

ROOT = Path(__file__).parents[2]
MUTANTS = (*central.MUTANTS, *edge.MUTANTS)
OPEN = frozenset({
    "append-behind-a-stray-tail", "append-without-its-events", "append-writes-before-counting",
    "reader-other-end", "leader-head-elsewhere", "leader-never-fenced-by-renewal",
    "offer-frees-a-removed-address", "edge-cursor-before-tables",
    "projection-ends-another-address", "projection-promise-left-behind",
    "removals-settled-too-early", "duties-expiry-without-promise",
})  # fmt: skip
"""Known to survive the tests they name: a test is missing, or another check stands behind."""
FOLDERS = ("bpf", "edge_agent", "lease_core", "scripts", "tests")
TIMEOUT_S = 120
TOO_LONG = -1000


def named(names: Sequence[str]) -> tuple[Mutant, ...]:
    """Raises KeyError for a name that no mutant has."""
    by_name = {mutant.name: mutant for mutant in MUTANTS}
    return tuple(by_name[name] for name in names)


def run_all(mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str]]:
    """The mutants in their order, and what became of each: killed, survived, or unbuilt."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(cores):
            trees.put(_copy(Path(folder) / str(number)))

        def judged(mutant: Mutant) -> str:
            with _lent(trees) as tree:
                return _judge(mutant, tree)

        def unbroken(tests: tuple[str, ...]) -> int:
            with _lent(trees) as tree:
                return _test(tests, tree)

        with ThreadPoolExecutor(cores) as pool:
            sound = dict.fromkeys(mutant.tests for mutant in mutants)
            for tests, ended in zip(sound, pool.map(unbroken, sound), strict=True):
                assert not ended, f"{tests} fail or are skipped without any mutant"
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
    _run(["make", "-s", "-C", "bpf"], tree)
    return tree


def _judge(mutant: Mutant, tree: Path) -> str:
    before = mutant.apply(tree)
    try:
        if mutant.is_kernel and _run(["make", "-s", "-C", "bpf"], tree):
            return "unbuilt"
        return {0: "survived", TOO_LONG: "not ended"}.get(_test(mutant.tests, tree), "killed")
    finally:
        (tree / mutant.path).write_text(before)
        if mutant.is_kernel:
            _run(["make", "-s", "-C", "bpf"], tree)


def _test(tests: Sequence[str], tree: Path) -> int:
    words = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    return _run([sys.executable, *words], tree)


def _run(words: Sequence[str], tree: Path) -> int:
    # the modules of a copy are not written down, or one would be taken for its mutant
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("LEASE_FULL", None)
    try:
        return subprocess.run(
            words, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return TOO_LONG


def table(mutants: Sequence[Mutant]) -> str:
    """How many attack which invariant, and their names, for people."""
    count = Counter(mutant.attacks for mutant in mutants)
    lines = ["| attacks | mutants | |", "|---|---|---|"]
    for attacks in sorted(count, key=lambda name: int(name[1:])):
        names = ", ".join(mutant.name for mutant in mutants if mutant.attacks == attacks)
        lines.append(f"| {attacks} | {count[attacks]} | {names} |")
    return "\n".join(lines)
