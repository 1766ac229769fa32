"""The counters have one home, `bpf/maps.h`."""

import re
from pathlib import Path

from edge_agent.dhcp.counters import Counter

TESTS = Path(__file__).parents[2]
MAPS_H = TESTS.parent / "bpf" / "maps.h"
GOLDEN = TESTS / "golden" / "counters.txt"


def listed() -> list[str]:
    """The names in `DHCP_COUNTERS`."""
    found = re.search(r"#define DHCP_COUNTERS\(X\)(.*?)\n\n", MAPS_H.read_text(), re.DOTALL)
    assert found is not None
    return re.findall(r"X\((\w+)\)", found[1])


def test_both_sides_have_the_same_verdicts() -> None:
    """The agent names what became of a packet as the kernel program does."""
    assert {str(counter) for counter in Counter} == set(listed())


def test_counters_are_only_appended() -> None:
    """What was ever read at a place is still there: a new counter goes to the end."""
    assert GOLDEN.read_text().split() == listed()
