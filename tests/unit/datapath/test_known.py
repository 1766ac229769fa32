"""The filter of known MACs: who was added is known, one by one and many at a time."""

import numpy as np
import pytest

from edge_agent.datapath.known import OCTETS, KnownMacs
from lease_core.domain.values import Mac

FIRST = 0x02BE_0000_0000
STRANGERS = range(0x06BE_0000_0000, 0x06BE_0000_0000 + 10_000)


@pytest.fixture
def known() -> KnownMacs:
    return KnownMacs(memoryview(bytearray(OCTETS)))


def test_a_known_mac_is_never_taken_for_a_stranger(known: KnownMacs) -> None:
    """Whoever was added is known, and few others are taken for known."""
    added = range(FIRST, FIRST + 50_000)
    for mac in added:
        known.add(Mac(mac))

    assert all(Mac(mac) in known for mac in added)
    assert sum(Mac(mac) in known for mac in STRANGERS) < 1_000


def test_many_at_a_time_are_as_one_by_one(known: KnownMacs) -> None:
    """Both ways write the same bits, of a MAC that comes twice too, and both read them."""
    one_by_one = bytearray(OCTETS)
    single = KnownMacs(memoryview(one_by_one))
    macs = np.repeat(np.arange(FIRST, FIRST + 20_000, dtype=np.uint64), 2)
    known.add_all(macs)
    for mac in macs.tolist():
        single.add(Mac(mac))

    assert known._octets == one_by_one
    assert known.which(macs).all()
    others = np.array(STRANGERS, np.uint64)
    assert known.which(others).tolist() == [Mac(mac) in known for mac in STRANGERS]


def test_the_place_of_a_mac_is_that_of_the_specification(known: KnownMacs) -> None:
    """The kernel program looks at bit `place % 64` of word `place / 64`."""
    mac = 0x0200_0000_0017
    place = (mac * 0x9E3779B97F4A7C15) % 2**64 >> 40
    known.add(Mac(mac))

    words = np.frombuffer(known._octets, "<u8")
    assert {int(at): int(words[at]) for at in np.flatnonzero(words)} == {
        place // 64: 1 << place % 64
    }
