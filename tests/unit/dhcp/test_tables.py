"""Keys of the subscriber table: their kinds never meet, and each names one subscriber."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dhcp.tables import KeyMode, Line, holder, key_mac, key_mode, key_of, subscriber_key
from lease_core.domain.mixing import mix64
from lease_core.domain.values import Ipv4, Mac
from tests.unit.dhcp.clients import ASSIGNMENT, MAC

MACS = st.integers(0, 2**48 - 1).map(Mac)
IDS = st.integers(0, 4094)
LINES = st.builds(
    Line,
    st.integers(1, 65_535),
    IDS,
    IDS,
    st.integers(0, 2**32 - 1).map(Ipv4),
    st.binary(min_size=1, max_size=64),
)
TOMBSTONE = 0x8000


@given(MACS, LINES, st.integers(0, 7))
def test_kinds_of_keys_never_meet(mac: Mac, line: Line, number: int) -> None:
    """A hash is never the key of a MAC or of a tombstone, and says which hash it is."""
    assert key_of(mac, line, KeyMode.MAC, number) == subscriber_key(mac, number)
    assert key_mode(subscriber_key(mac, number)) is KeyMode.MAC
    assert key_mode(subscriber_key(mac, TOMBSTONE + number)) is KeyMode.MAC
    for mode in (KeyMode.LINE, KeyMode.CIRCUIT):
        key = key_of(mac, line, mode)
        assert 0 < key < 1 << 64
        assert key_mode(key) is mode


@given(MACS, LINES, MACS, LINES)
def test_a_key_depends_on_all_of_the_line(mac: Mac, line: Line, mac2: Mac, line2: Line) -> None:
    """Two subscribers of one mode have two keys."""
    by_vlan = (mac, line.ifindex, line.s_vlan, line.c_vlan)
    by_vlan2 = (mac2, line2.ifindex, line2.s_vlan, line2.c_vlan)
    keys = key_of(mac, line, KeyMode.LINE), key_of(mac2, line2, KeyMode.LINE)
    assert (by_vlan == by_vlan2) == (keys[0] == keys[1])
    by_circuit = (mac, line.ifindex, line.giaddr, line.circuit)
    by_circuit2 = (mac2, line2.ifindex, line2.giaddr, line2.circuit)
    keys = key_of(mac, line, KeyMode.CIRCUIT), key_of(mac2, line2, KeyMode.CIRCUIT)
    assert (by_circuit == by_circuit2) == (keys[0] == keys[1])


@given(MACS, LINES)
def test_zeros_behind_a_circuit_count(mac: Mac, line: Line) -> None:
    """A circuit id and the same with a zero octet more are two lines."""
    circuit = line.circuit[:63]
    short, long = line._replace(circuit=circuit), line._replace(circuit=circuit + b"\0")
    assert key_of(mac, short, KeyMode.CIRCUIT) != key_of(mac, long, KeyMode.CIRCUIT)


def test_a_key_is_the_specified_one() -> None:
    """The hashes are those of the specification, written out once more."""
    mac = 0x170000000002  # 02:00:00:00:00:17, least significant octet first
    line = Line(7, 100, 200)
    expected = mix64(mix64(mac) ^ (7 | 100 << 32 | 200 << 48)) >> 8 | 0x40 << 56
    assert key_of(MAC, line, KeyMode.LINE) == expected

    line = Line(7, giaddr=Ipv4(0x0A090901), circuit=b"abcdefghi")
    mixed = mix64(mac) ^ (7 | 0x0109090A << 32)
    mixed = mix64(mixed) ^ 0x6867666564636261
    mixed = mix64(mixed) ^ 0x69
    expected = mix64(mix64(mixed) ^ 9) >> 8 | 0x20 << 56
    assert key_of(MAC, line, KeyMode.CIRCUIT) == expected


def test_the_holder_is_in_the_key_or_in_the_value() -> None:
    """A key of a MAC says whose the binding is; under a hash the value says it."""
    other = Mac(MAC + 1)
    assert holder(subscriber_key(MAC, 3), ASSIGNMENT) == MAC == key_mac(subscriber_key(MAC))
    for mode in (KeyMode.LINE, KeyMode.CIRCUIT):
        key = key_of(MAC, Line(7, circuit=b"c"), mode)
        assert holder(key, replace(ASSIGNMENT, mac=other)) == other
