"""Charts of tables as SVG: a bar for each figure, its spread, and where the goal would be."""

from collections.abc import Sequence
from html import escape
from typing import Final

from scripts.benchmark.measure import Goal, Row, Table

WIDTH: Final = 860
NAMES: Final = 380
"""Columns for names; bars begin behind them."""
BARS: Final = WIDTH - NAMES - 90
"""Length of the longest bar; its number stands behind it."""
LINE: Final = 24
HEADING: Final = 40

STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #444c56; }
.title { font-weight: 600; }
.name { text-anchor: end; }
.peer { fill: #9aa4ae; }
.ours { fill: #3d85c6; }
.spread { stroke: #22272e; stroke-width: 1.5; opacity: .55; }
.goal { stroke: #d9822b; stroke-width: 2.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #adbac7; }
  .spread { stroke: #f0f3f6; }
}
"""


def svg(tables: Sequence[Table]) -> str:
    """One picture of all tables, one below the other; rows without a figure are left out."""
    parts, top = [], 0
    for table in tables:
        rows = [row for row in table.rows if row.figure]
        parts += _table(table, rows, top)
        top += HEADING + LINE * len(rows)
    size = f'width="{WIDTH}" height="{top + 8}" viewBox="0 0 {WIDTH} {top + 8}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>", *parts]
    return "\n".join([*lines, "</svg>", ""])


def _table(table: Table, rows: Sequence[Row], top: int) -> list[str]:
    reached = [
        max(row.figure.high, *(_wanted(goal, row, rows) for goal in row.goals), 0.0)
        for row in rows
        if row.figure
    ]
    scale = BARS / (max(reached, default=0) or 1)
    peers = {row.to for row in rows}
    parts = [_text("title", 4, top + 26, f"{table.title} ({table.unit})")]
    for number, row in enumerate(rows):
        at = top + HEADING + LINE * number
        parts += _bar(row, rows, at, scale, is_peer=row.name in peers)
    return parts


def _bar(row: Row, rows: Sequence[Row], top: int, scale: float, *, is_peer: bool) -> list[str]:
    figure = row.figure
    assert figure
    length, middle = figure.median * scale, top + LINE // 2 - 2
    kind = "peer" if is_peer else "ours"
    parts = [
        _text("name", NAMES - 8, middle + 5, row.name),
        f'<rect class="{kind}" x="{NAMES}" y="{top}" width="{length:.1f}" height="{LINE - 6}"/>',
        _line("spread", figure.low * scale, middle, figure.high * scale, middle),
    ]
    behind = max(length, figure.high * scale)
    for goal in row.goals:
        wanted = _wanted(goal, row, rows) * scale
        parts.append(_line("goal", wanted, top - 1, wanted, top + LINE - 5))
        behind = max(behind, wanted)
    shown = f"{figure.median:,.0f}" if figure.median >= 10 else f"{figure.median:.2f}"
    return [*parts, _text("number", NAMES + behind + 6, middle + 5, shown)]


def _wanted(goal: Goal, row: Row, rows: Sequence[Row]) -> float:
    """The figure that would just meet a goal."""
    if goal.unit:
        return goal.limit
    peer = next((each.figure for each in rows if each.name == row.to), None)
    return peer.median * goal.limit if peer else 0.0


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    ends = f'x1="{NAMES + x1:.1f}" y1="{y1}" x2="{NAMES + x2:.1f}" y2="{y2}"'
    return f'<line class="{kind}" {ends}/>'
