"""Charts of benchmark tables."""

from xml.etree import ElementTree

from scripts.benchmark.chart import BARS, svg
from scripts.benchmark.measure import Series, Table, at_least, at_most
from scripts.benchmark.report import text

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_figures() -> None:
    """The longest bar fills its place, others are in proportion; a goal is marked at its figure."""
    table = Table("reading <all>", "events/s")
    table.add("bare", Series((100.0,)))
    table.add("ours", Series((25.0,)), "bare", at_least(0.4))
    table.skip("absent", "not installed")
    drawn = ElementTree.fromstring(svg([table]))
    bars = [float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect")]
    [goal] = [line for line in drawn.iter(f"{SVG}line") if line.attrib["class"] == "goal"]
    origin = float(next(drawn.iter(f"{SVG}rect")).attrib["x"])

    assert bars == [BARS, BARS / 4]
    assert abs(float(goal.attrib["x1"]) - origin - BARS * 0.4) < 0.1
    assert "reading <all> (events/s)" in {text.text for text in drawn.iter(f"{SVG}text")}


def test_a_goal_in_the_unit_of_the_figure_is_marked_at_itself() -> None:
    """A goal for the figure needs no peer; where one of two goals is missed, that one is named."""
    table = Table("answers", "ns per packet")
    table.add("bare", Series((55.0,)))
    table.add("ours", Series((220.0,)), "bare", at_most(200, "ns"), at_most(4.5))
    drawn = ElementTree.fromstring(svg([table]))
    goals = [line for line in drawn.iter(f"{SVG}line") if line.attrib["class"] == "goal"]
    origin = float(next(drawn.iter(f"{SVG}rect")).attrib["x"])
    scale = BARS / (55 * 4.5)

    assert [round((float(goal.attrib["x1"]) - origin) / scale) for goal in goals] == [200, 248]
    assert "<= 200 ns, <= 4.50  MISSED <= 200 ns" in text(table)
