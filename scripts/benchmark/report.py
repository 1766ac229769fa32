"""Tables for people, JSON for programs, and the copy in docs/benchmarks.md."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmark import chart
from scripts.benchmark.measure import Goal, Row, Series, Table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
CHARTS = PAGE.parent / "charts"
LOAD_BEFORE = os.getloadavg()[0]
"""Of the minute before the run: what the neighbours did."""
COLUMNS = ("", "median", "min", "max", "ratio", "min", "max", "to", "goal", "")


def machine() -> dict[str, str]:
    """What the figures hold for; nothing that names a host."""
    commit = _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "machine": f"{os.cpu_count()} shared cores ({_processor()}), "
        f"Linux {'.'.join(_kernel()[:2])}",
        "python": platform.python_version(),
        "redis": _version("redis-server", "--version"),
        "kea": _version("kea-dhcp4", "-v"),
        "load": f"{LOAD_BEFORE:.1f}",
        "commit": f"{commit}{' with uncommitted changes' if changed else ''}",
    }


def _processor() -> str:
    """With the numbers that tell its generations apart, where it has such."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    told = dict(re.findall(r"^(.+?)\s*: (.*)$", text, re.MULTILINE))
    try:
        return "{model name}, family {cpu family}, model {model}".format_map(told)
    except KeyError:
        return platform.machine()


def _kernel() -> list[str]:
    return platform.release().split(".")


def _output(*words: str) -> str:
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _version(*words: str) -> str:
    found = re.search(r"\d+\.\d+\.\d+", _output(*words))
    return found[0] if found else "absent"


def header() -> str:
    """One line."""
    found = machine()
    return (
        f"{found['machine']}; Python {found['python']}, Redis {found['redis']}, "
        f"Kea {found['kea']}; load before the run {found['load']}; commit {found['commit']}"
    )


def _numbers(series: Series | None, form: str) -> list[str]:
    if series is None:
        return ["", "", ""]
    return [format(value, form) for value in (series.median, series.low, series.high)]


def _goals(goals: Sequence[Goal]) -> str:
    return ", ".join(map(str, goals))


def _verdict(row: Row) -> str:
    if not row.goals:
        return ""
    if not row.missed:
        return "met"
    return "MISSED" if row.missed == row.goals else f"MISSED {_goals(row.missed)}"


def _cells(row: Row) -> list[str]:
    if row.figure is None:
        return [row.name, "-", "", "", "", "", "", "", "", f"not measured: {row.note}"]
    remark = "; ".join(filter(None, (_verdict(row), row.note)))
    ratio = _numbers(row.ratio, ".2f")
    goal = _goals(row.goals)
    return [row.name, *_numbers(row.figure, ",.0f"), *ratio, row.to, goal, remark]


def text(table: Table) -> str:
    """Aligned columns: names to the left, numbers to the right."""
    lines = [list(COLUMNS), *map(_cells, table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    shown = [f"{table.title} ({table.unit})"]
    for line in lines:
        cells = [
            cell.ljust(width) if i in {0, 7, 9} else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("  ".join(cells).rstrip())
    return "\n".join(shown)


def as_json(tables: Sequence[Table]) -> str:
    rows = [
        {
            "table": table.title,
            "name": row.name,
            "unit": table.unit,
            "figure": list(row.figure.values) if row.figure else None,
            "ratio": list(row.ratio.values) if row.ratio else None,
            "to": row.to,
            "goal": _goals(row.goals),
            "is_met": not row.missed if row.goals else None,
            "note": row.note,
        }
        for table in tables
        for row in table.rows
    ]
    return json.dumps({**machine(), "rows": rows}, indent=1)


def _markdown(table: Table) -> str:
    lines = [
        f"**{table.title}** ({table.unit})",
        "",
        "| | median | min..max | ratio | min..max | to | goal | |",
        "|---|---:|---:|---:|---:|---|---|---|",
    ]
    for row in table.rows:
        name, mid, low, high, ratio, ratio_low, ratio_high, to, goal, remark = _cells(row)
        spread = f"{low}..{high}" if low else ""
        ratio_spread = f"{ratio_low}..{ratio_high}" if ratio_low else ""
        cells = (name, mid, spread, ratio, ratio_spread, to, goal, remark)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def save(command: str, tables: Sequence[Table]) -> None:
    """Put the tables between the marks of `command` in docs/benchmarks.md, with a chart."""
    page = PAGE.read_text()
    start, end = f"<!-- {command} -->\n", f"<!-- /{command} -->"
    before, found, rest = page.partition(start)
    if not found:
        raise SystemExit(f"{PAGE.name} has no mark {start.strip()}")
    CHARTS.mkdir(exist_ok=True)
    (CHARTS / f"{command}.svg").write_text(chart.svg(tables))
    picture = f"![The figures of these tables as bars]({CHARTS.name}/{command}.svg)"
    body = "\n\n".join([f"*{header()}*", picture, *map(_markdown, tables)])
    PAGE.write_text(f"{before}{start}{body}\n{end}{rest.partition(end)[2]}")
