"""Names of lines against numbers of interfaces."""

import random

import pytest

from edge_agent.dhcp.tables import KeyMode, Line
from edge_agent.sync.lines import Lines
from lease_core.domain.values import Ipv4

RELAY = Ipv4(0xC0000207)
LINES = Lines({"access0": 7, "eth0.5": 8})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("access0", Line(7)),
        ("access0:100", Line(7, 100)),
        ("access0:4094.1", Line(7, 4094, 1)),
        ("eth0.5", Line(8)),
        ("eth0.5:9.10", Line(8, 9, 10)),
        ("access0#192.0.2.7=port-4", Line(7, giaddr=RELAY, circuit=b"port-4")),
        ("access0#192.0.2.7=0#=:1", Line(7, giaddr=RELAY, circuit=b"0#=:1")),
        ("access0#192.0.2.7#706f727420", Line(7, giaddr=RELAY, circuit=b"port ")),
        ("access0#192.0.2.7#00", Line(7, giaddr=RELAY, circuit=b"\0")),
        ("access0#192.0.2.7#" + "ff" * 64, Line(7, giaddr=RELAY, circuit=b"\xff" * 64)),
    ],
)
def test_a_line_of_ours_is_read_and_written_alike(text: str, line: Line) -> None:
    """Reading and writing the name of a line are each other's inverse."""
    assert LINES.parse(text) == line
    assert LINES.text(line) == text


@pytest.mark.parametrize(
    "text",
    ["", "access1", "access0:", "access0:0", "access0:0100", "access0:4095", "access0:1.4095",
     "access0:1.0", "access0:1.2.3", "access0:abc", "access0:-1", "access0:+1", "access0:1_0",
     "access0: 1", "access0:\u0661", "access0:99999999999999999999", "access0\n", ":1",
     "access0#192.0.2.7", "access0#192.0.2.7=", "access0#192.0.2.7#", "access0#192.0.2.7#4",
     "access0#192.0.2.7#34", "access0#192.0.2.7#FF", "access0#192.0.2.07=a", "access0#1.2.3=a",
     "access0#192.0.2.7=a b", "access0:7#192.0.2.7=a", "access9#192.0.2.7=a",
     "access0#192.0.2.7=" + "a" * 65, "access0#192.0.2.7#" + "ff" * 65],
)  # fmt: skip
def test_what_we_would_not_write_names_no_line(text: str) -> None:
    """One line has one name, and a name that a hostile event carries never raises."""
    assert LINES.parse(text) is None


def test_any_text_is_read_without_raising() -> None:
    """Whatever stands in an event, reading it as a line ends in a line or in None."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(5000):
        text = "access0" + "".join(chance.choice("#=:.0123456789ab \n\0²") for _ in range(8))
        line = LINES.parse(text)
        assert line is None or LINES.text(line) == text


def test_a_line_of_nobody_still_has_a_name() -> None:
    """Tables left by other interfaces can be shown."""
    assert LINES.text(Line(99, 5)) == "if99:5"


def test_the_fingerprint_changes_with_names_numbers_and_modes() -> None:
    """Tables that were made for other names, numbers or key modes are told apart."""
    prints = [
        Lines(made).fingerprint()
        for made in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 2, "b": 1}, {"a": 1}, {"c": 1})
    ]

    prints.append(Lines({"a": 1, "b": 2}, {"a": KeyMode.LINE, "b": KeyMode.MAC}).fingerprint())
    prints.append(Lines({"a": 1, "b": 2}, {"a": KeyMode.CIRCUIT}).fingerprint())

    assert prints[0] == prints[1] == Lines({"a": 1, "b": 2}, {"a": KeyMode.MAC}).fingerprint()
    assert len(set(prints)) == 6
