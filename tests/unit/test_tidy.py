"""What no linter holds: sizes, docstrings of tests, reasons of exceptions, no machine's traces."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES = 400
FUNCTION_LINES = 60
MACHINE = re.compile(
    r"(?<![\w.])/(?:work|root|home|Users)/"
    r"|https?://[\w.-]*(?:artifact|mirror|nexus|proxy|pypi|registry)[\w.-]*"
)
EXCEPTION = re.compile(r"# noqa(?P<codes>: [A-Z0-9, ]+[0-9])?(?P<reason>.*)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def tracked() -> list[Path]:
    """What git has; without git, everything but hidden and built files."""
    words = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    try:
        listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        paths = [ROOT / name for name in listed.stdout.split("\0")[:-1]]
    except (OSError, subprocess.CalledProcessError):
        paths = [path for top in ROOT.glob("[!.]*") for path in (top, *top.rglob("[!.]*"))]
    return [path for path in paths if path.is_file() and path.suffix not in {".pyc", ".o"}]


def test_modules_are_short() -> None:
    """A module is read at one sitting."""
    lengths = {
        place(path, 1): len(path.read_text().splitlines())
        for path in modules("lease_core", "edge_agent", "scripts")
    }
    assert {at: lines for at, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    """A function fits a page."""
    too_long = [
        place(path, function.lineno)
        for path in modules("lease_core", "edge_agent", "scripts")
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES
    ]
    assert too_long == []


def test_tests_say_what_they_hold() -> None:
    """Every test function has a docstring."""
    silent = [
        place(path, function.lineno)
        for path in modules("tests")
        for function in functions(path)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_exceptions_in_modules_have_a_reason() -> None:
    """Every `noqa` names its rules, and a module says once for each of them why."""
    unexplained = []
    for path in modules("lease_core", "edge_agent", "scripts", "tests"):
        if path == Path(__file__):
            continue
        used, explained = set(), set()
        for found in EXCEPTION.finditer(path.read_text()):
            codes = set(re.findall(r"[A-Z]+[0-9]+", found["codes"] or "")) or {"all rules"}
            used |= codes
            if found["reason"].strip(" -#()"):
                explained |= codes
        unexplained += [f"{path.relative_to(ROOT)}: {code}" for code in sorted(used - explained)]
    assert unexplained == []


def test_rules_turned_off_for_all_have_a_reason() -> None:
    """In pyproject.toml a comment stands on or above every line that turns rules off."""
    text = (ROOT / "pyproject.toml").read_text()
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    lines = text.splitlines()
    for key in [f'"{code}",' for code in lint["ignore"]]:
        assert any(key in line and "#" in line for line in lines), key
    for pattern in lint["per-file-ignores"]:
        at = next(n for n, line in enumerate(lines) if line.startswith(f'"{pattern}" ='))
        assert lines[at - 1].startswith("#"), pattern


def test_nothing_tells_of_a_machine() -> None:
    """No tracked file names a folder of somebody's machine or a package mirror."""
    told = []
    for path in tracked():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                told.append(place(path, number))
    assert told == []


@pytest.mark.parametrize("folder", ["work", "root", "home"])
def test_a_folder_of_a_machine_would_be_found(folder: str) -> None:
    """The pattern finds what it is for, and not the like of it inside a project's own paths."""
    assert MACHINE.search(f"cd /{folder}/x")
    assert not MACHINE.search(f"docs/{folder}/x")


@pytest.mark.parametrize("word", ["mirror", "proxy"])
def test_a_package_mirror_would_be_found(word: str) -> None:
    """A host's name tells what it is."""
    assert MACHINE.search(f"index = https://packages-{word}.example/simple")
