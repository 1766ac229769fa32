"""What is rendered once for a pool: the template of the map, and the operator's own options."""

import re
from pathlib import Path

import pytest

from edge_agent.dhcp import options
from edge_agent.dhcp.options import option
from edge_agent.dhcp.pool_options import ALWAYS_MAX, render_pool_options
from tests.unit.dhcp.clients import DNS, NETMASK, SERVER

MAPS_H = Path(__file__).parents[3] / "bpf" / "maps.h"


def test_pool_options_begin_with_the_template_of_the_map() -> None:
    """The rendered octets are the template, then mask, routers and DNS servers in their order."""
    assert render_pool_options(SERVER, NETMASK, [SERVER], DNS).always == bytes.fromhex(
        "350100 360464400001 330400000000 3a0400000000 3b0400000000"
        "0104ffff0000 030464400001 06080909090901010101"
    )


def test_empty_lists_leave_their_option_out() -> None:
    """A pool without routers and DNS servers has no empty options 3 and 6 (length 0 is illegal)."""
    rendered = render_pool_options(SERVER, NETMASK, [], [])
    assert len(rendered.always) == options.FIXED_LEN + 6
    assert rendered.on_request == b""


def test_offsets_are_those_of_the_map() -> None:
    """The patched places of the template are the constants of `bpf/maps.h`."""
    text = MAPS_H.read_text()
    ours = {
        "DHCP_OPT_AT_TYPE": options.AT_TYPE,
        "DHCP_OPT_AT_LEASE": options.AT_LEASE,
        "DHCP_OPT_AT_T1": options.AT_T1,
        "DHCP_OPT_AT_T2": options.AT_T2,
        "DHCP_OPT_FIXED_LEN": options.FIXED_LEN,
        "DHCP_POOL_OPTIONS_MAX": options.POOL_OPTIONS_MAX,
    }
    theirs = {name: re.search(rf"#define {name} (\d+)", text) for name in ours}
    assert ours == {name: int(found[1]) for name, found in theirs.items() if found}


def test_too_many_servers_are_refused_with_a_remedy() -> None:
    """Options that the map entry cannot hold are refused before anything is written."""
    fitting = (ALWAYS_MAX - options.FIXED_LEN - 6 - 2) // 4
    most = render_pool_options(SERVER, NETMASK, [], [SERVER] * fitting)
    assert len(most.always) <= ALWAYS_MAX
    with pytest.raises(ValueError, match="fewer routers or DNS servers"):
        render_pool_options(SERVER, NETMASK, [], [SERVER] * (fitting + 1))


EXTRA = {
    121: b"\x00\x0a\x00\x00\x01",
    15: b"example.net",
    42: b"\xc0\x00\x02\x01",
    26: b"\x05\xdc",
}


def test_options_of_the_operator_are_on_request() -> None:
    """What everybody is sent stays as it is; routes come first, the others by their codes."""
    plain = render_pool_options(SERVER, NETMASK, [SERVER], DNS)
    assert render_pool_options(SERVER, NETMASK, [SERVER], DNS, EXTRA) == (
        plain.always,
        option(121, b"\x00\x0a\x00\x00\x01")
        + option(15, b"example.net")
        + option(26, b"\x05\xdc")
        + option(42, b"\xc0\x00\x02\x01"),
    )


@pytest.mark.parametrize(
    "code", [0, 1, 3, 6, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 61, 82, 255, -1, 256]
)
def test_options_of_the_service_cannot_be_configured(code: int) -> None:
    """A code that the service writes, or that only clients send, is refused by its number."""
    with pytest.raises(ValueError, match=f"option {code}"):
        render_pool_options(SERVER, NETMASK, [], [], {26: b"\x05\xdc", code: b"x"})


@pytest.mark.parametrize("length", [0, 256])
def test_values_of_no_possible_length_are_refused(length: int) -> None:
    """An empty value and one that its length octet cannot tell are refused."""
    with pytest.raises(ValueError, match=f"option 43 has {length} octets"):
        render_pool_options(SERVER, NETMASK, [], [], {43: bytes(length)})


def test_all_faults_of_options_are_told_at_once() -> None:
    """An operator mends everything in one go."""
    with pytest.raises(ValueError, match=r"option 43 .*; option 53 .*; option 54 "):
        render_pool_options(SERVER, NETMASK, [], [], {54: b"", 43: b"", 53: b"\x01"})


def test_too_many_options_are_refused_with_a_remedy() -> None:
    """Own options that the map entry cannot hold are refused before anything is written."""
    room = options.POOL_OPTIONS_MAX - options.FIXED_LEN - 6
    fitting = {43: bytes(255), 60: bytes(room - 257 - 2)}
    assert render_pool_options(SERVER, NETMASK, [], [], fitting)
    with pytest.raises(ValueError, match=f"take {room + 1} octets, {room} fit; shorten"):
        render_pool_options(SERVER, NETMASK, [], [], fitting | {60: bytes(room - 257 - 1)})
    with pytest.raises(ValueError, match="has 33 own options, at most 32 fit"):
        render_pool_options(SERVER, NETMASK, [], [], dict.fromkeys(range(200, 233), b"x"))
