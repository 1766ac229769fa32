"""Option 82: which sub-options the fast path takes, and which it leaves to the agent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dhcp.relay import KNOWN, sub_options

TAKEN = {
    "circuit": (b"\x01\x04port", {1: b"port"}),
    "circuit and remote": (b"\x01\x01c\x02\x01r", {1: b"c", 2: b"r"}),
    "an empty one": (b"\x01\x00", {1: b""}),
    "all that are known": (
        b"".join(bytes((code, 1, code)) for code in sorted(KNOWN)),
        {code: bytes((code,)) for code in KNOWN},
    ),
    "nothing": (b"", {}),
}

LEFT = {
    "link selection": b"\x05\x04\x0a\x00\x00\x01",
    "server id override": b"\x0b\x04\x0a\x00\x00\x01",
    "relay source port": b"\x13\x00",
    "RADIUS attributes": b"\x07\x02ab",
    "authentication": b"\x08\x01a",
    "virtual subnet": b"\x97\x01\x00",
    "code 0, which is no padding": b"\x01\x01c\x00",
    "code 255, which is no end": b"\x01\x01c\xff",
    "code 33, as far behind 1 as a word is wide": b"\x21\x01c",
    "circuit twice": b"\x01\x01c\x01\x01c",
    "a code alone": b"\x01",
    "a value that is cut": b"\x01\x04por",
    "policy behind what is known": b"\x01\x01c\x02\x01r\x0b\x04\x0a\x00\x00\x01",
}


@pytest.mark.parametrize(("value", "expected"), TAKEN.values(), ids=TAKEN)
def test_known_sub_options_are_read(value: bytes, expected: dict[int, bytes]) -> None:
    """Who and where are read exactly as the relay wrote them."""
    assert sub_options(value) == expected


@pytest.mark.parametrize("value", LEFT.values(), ids=LEFT)
def test_the_others_are_left(value: bytes) -> None:
    """A sub-option that may ask for another reply, and a broken one, spoil the whole option."""
    assert sub_options(value) is None


@given(st.binary(max_size=255))
def test_what_is_read_is_all_there_was(value: bytes) -> None:
    """Reading never raises, and writing what was read gives the same octets."""
    found = sub_options(value)
    if found is not None:
        assert b"".join(bytes((c, len(v))) + v for c, v in found.items()) == value
