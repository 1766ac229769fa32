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


def test_counters_are_those_of_the_kernel_in_their_order() -> None:
    """Names and order equal `DHCP_COUNTERS`, because the order is the layout of `stats_map`."""
    assert [str(counter) for counter in Counter] == listed()


def test_counters_are_only_appended() -> None:
    """What was ever read at a place is still there: a new counter goes to the end of both."""
    assert GOLDEN.read_text().split() == listed()
