"""The counters have one home, `bpf/maps.h`."""

import re
from pathlib import Path

from edge_agent.dhcp.counters import Counter

MAPS_H = Path(__file__).parents[3] / "bpf" / "maps.h"


def test_counters_are_those_of_the_kernel_in_their_order() -> None:
    """Names and order equal `DHCP_COUNTERS`, because the order is the layout of `stats_map`."""
    listed = re.search(r"#define DHCP_COUNTERS\(X\)(.*?)\n\n", MAPS_H.read_text(), re.DOTALL)
    assert listed is not None
    assert [str(counter) for counter in Counter] == re.findall(r"X\((\w+)\)", listed[1])
