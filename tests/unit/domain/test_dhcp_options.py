"""Options as an operator writes them: their octets, their one form, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dhcp.options import FIXED_LEN, ON_REQUEST_MAX, POOL_OPTIONS_MAX
from edge_agent.dhcp.pool_options import ALWAYS_MAX, render_pool_options
from lease_core.domain.dhcp_options import (
    DNS,
    MAX_ALWAYS_OCTETS,
    MAX_OCTETS,
    MAX_OWN,
    ROUTERS,
    SUBNET_MASK,
    code_of,
    read_options,
    show_options,
)
from lease_core.domain.values import InvalidValueError
from tests.unit.dhcp.clients import NETMASK, SERVER

CODES = [code for code in range(1, 255) if code not in {*range(50, 60), 61, 82}]
OPTIONS = st.dictionaries(st.sampled_from(CODES), st.binary(min_size=1, max_size=40), max_size=6)


@pytest.mark.parametrize(
    ("text", "code", "octets"),
    [
        ("mask=255.255.255.255", 1, "ffffffff"),
        ("dns=192.0.2.53,192.0.2.54", 6, "c0000235c0000236"),
        ("domain=example.net", 15, "6578616d706c652e6e6574"),
        ("mtu=1500", 26, "05dc"),
        ("ntp=192.0.2.1", 42, "c0000201"),
        ("ipv6-only=1800", 108, "00000708"),
        ("domain-search=a.example,b", 119, "01610765 78616d706c6500 016200"),
        ("routes=10.0.0.0/8 via 192.0.2.1", 121, "080ac0000201"),
        ("routes=0.0.0.0/0 via 192.0.2.1", 121, "00c0000201"),
        ("routes=10.17.0.0/16 via 192.0.2.1,10.27.129.0/24 via 192.0.2.2", 121,
         "100a11c0000201 180a1b81c0000202"),
        ("43=hex:0104c0000201", 43, "0104c0000201"),
        ("125=hex:00000de9020104", 125, "00000de9020104"),
        ("mtu=hex:0000", 26, "0000"),
    ],
)  # fmt: skip
def test_octets_are_those_of_the_rfcs(text: str, code: int, octets: str) -> None:
    """What an operator reads and writes is what RFC 2132, 3397, 3442 and 8925 put on the wire."""
    values = read_options(text)

    assert values == {code: bytes.fromhex(octets)}
    assert show_options(values) == text


@given(OPTIONS)
def test_every_option_has_one_form(values: dict[int, bytes]) -> None:
    """Whatever octets: the text gives them back, by code, without anything that forges a line."""
    text = show_options(values)

    assert read_options(text) == values
    assert text.isprintable()
    assert text.isascii()
    assert list(read_options(text)) == sorted(values)


@given(OPTIONS)
def test_what_can_be_planned_can_be_rendered(values: dict[int, bytes]) -> None:
    """No option that the plan takes is refused by an edge."""
    extra = {code: value for code, value in values.items() if code not in {SUBNET_MASK, ROUTERS, 6}}

    assert render_pool_options(SERVER, NETMASK, [SERVER], [], extra)


def test_the_plans_room_is_the_edges() -> None:
    """Options that the plan takes fit into the map's entry: more would halt every edge."""
    assert MAX_OCTETS <= POOL_OPTIONS_MAX - FIXED_LEN
    assert MAX_ALWAYS_OCTETS <= ALWAYS_MAX - FIXED_LEN
    assert MAX_OWN <= ON_REQUEST_MAX


def test_codes_go_by_name_too() -> None:
    """One option has one code, whichever way it is named; blanks do not matter."""
    assert code_of("dns") == code_of("6") == DNS
    assert read_options(" 6 = 192.0.2.53 , 192.0.2.54 ;; 26=1500") == read_options(
        "dns=192.0.2.53,192.0.2.54; mtu=1500"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense=1", "'nonsense' is no option; name one of mask, "),
        ("256=hex:00", "'256' is no option"),
        ("-1=hex:00", "'-1' is no option"),
        ("53=hex:01", "option 53 is the service's own; leave it out"),
        ("0=hex:01", "option 0 is the service's own"),
        ("82=hex:01", "option 82 is the service's own"),
        ("mtu", "option 'mtu' has no value; write mtu=VALUE"),
        ("mtu=67", "option mtu: '67' is no number of 68..65535"),
        ("mtu=65536", "is no number of 68..65535"),
        ("mtu=1_500", "is no number"),
        ("dns=1.2.3", "option dns: '1.2.3' is no IPv4 address"),
        ("dns=", "option dns: '' is no IPv4 address"),
        ("43=0104", "option 43: its form is not known; write 43=hex:0a0b0c"),
        ("43=hex:1", "option 43: "),
        ("43=hex:", "option 43 has 0 octets; 1 to 255"),
        (f"43=hex:{'00' * 256}", "option 43 has 256 octets"),
        ("domain=b\u00fccher.example", "is not printable ASCII"),
        ("domain-search=a..b", "'a..b' is no domain name"),
        ("routes=10.0.0.0/8", "option routes: '' is no IPv4 address"),
        ("routes=10.0.0.1/8 via 192.0.2.1", "write it like 10.0.0.0/8 via 192.0.2.1"),
        ("mtu=1500; 26=1400", "option 26 is named twice; name it once"),
    ],
)
def test_a_fault_names_the_option_and_the_remedy(text: str, said: str) -> None:
    """Whoever wrote it knows which part to change, and into what."""
    with pytest.raises(InvalidValueError) as refused:
        read_options(text)
    assert said in str(refused.value)
