"""The agent's other walk: options that are split (RFC 3396) or overloaded (RFC 2132 9.3)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dhcp import message, options
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.fastpath import decide, judge
from edge_agent.dhcp.options import Options, option
from edge_agent.dhcp.request import Request, parse_request_lenient
from lease_core.domain.values import Ipv4
from tests.unit.dhcp.clients import DISCOVER, IFINDEX, INIT_REBOOT, NOW, tables

END = b"\xff"
TYPE = option(53, b"\x01")
FILE = option(12, b"file") + option(61, b"\x01ab") + END
SNAME = option(12, b"sname") + option(61, b"cd") + END

JOINED = {
    "nothing special": (TYPE + END, Options(message_type=1)),
    "a split client id": (
        TYPE + option(61, b"\x01a") + option(12, b"h") + option(61, b"b") + END,
        Options(message_type=1, client_id=b"\x01ab", host_name=b"h"),
    ),
    "a split address": (
        option(50, b"\x0a\x00") + TYPE + option(50, b"\x00\x01") + END,
        Options(message_type=1, requested_ip=Ipv4(0x0A000001)),
    ),
    "overloaded file": (
        TYPE + option(52, b"\x01") + END,
        Options(message_type=1, client_id=b"\x01ab", host_name=b"file"),
    ),
    "overloaded sname": (
        TYPE + option(52, b"\x02") + END,
        Options(message_type=1, client_id=b"cd", host_name=b"sname"),
    ),
    "both, file before sname": (
        option(12, b"h") + option(52, b"\x03") + TYPE + END,
        Options(message_type=1, client_id=b"\x01abcd", host_name=b"hfilesname"),
    ),
    "no END": (TYPE, Options(message_type=1)),
    "65 options": (option(80, b"") * 65 + TYPE + END, Options(message_type=1)),
    "600 octets": (bytes(600) + TYPE + END, Options(message_type=1)),
    "one option 82": (TYPE + option(82, b"x") + END, Options(message_type=1, relay_info=b"x")),
}

REFUSED = {
    "a cut value": TYPE + b"\x0c\x05h",
    "a code alone": TYPE + b"\x0c",
    "a type in two": TYPE * 2 + END,
    "an address of five octets": option(50, b"123") + option(50, b"45") + END,
    "a client id too long to echo": option(61, bytes(200)) * 2 + END,
    "an empty client id": option(61, b"") * 2 + END,
    "overload 0": option(52, b"\x00") + END,
    "overload 4": option(52, b"\x04") + END,
    "overload of two octets": option(52, b"\x01\x01") + END,
    "overload in two": option(52, b"\x01") * 2 + END,
    "option 82 in two": option(82, b"\x01") + option(82, b"\x01c") + END,
}


@pytest.mark.parametrize(("area", "expected"), JOINED.values(), ids=JOINED)
def test_parts_are_joined(area: bytes, expected: Options) -> None:
    """Parts of an option are one value, in the order options, file, sname."""
    assert options.parse_lenient(area, FILE, SNAME) == expected


@pytest.mark.parametrize("area", REFUSED.values(), ids=REFUSED)
def test_what_stays_doubtful_is_refused(area: bytes) -> None:
    """Joining does not make a wrong length right, nor a cut value whole."""
    assert options.parse_lenient(area, FILE, SNAME) is Counter.PASS_OPTIONS


@pytest.mark.parametrize("field", [option(82, b"x"), option(52, b"\x02"), b"\x0c\x05h"])
def test_fields_that_are_overloaded_hold_no_surprise(field: bytes) -> None:
    """A relay writes nothing into `file`, an overload no other, and a cut value stays cut."""
    area = TYPE + option(52, b"\x01") + END
    assert options.parse_lenient(area, field, b"") is Counter.PASS_OPTIONS


@given(st.binary(max_size=700), st.binary(max_size=128), st.binary(max_size=64))
def test_it_is_total(area: bytes, file: bytes, sname: bytes) -> None:
    """No octets make it raise."""
    found = options.parse_lenient(area, file, sname)
    assert isinstance(found, Options) or found is Counter.PASS_OPTIONS


@given(st.binary(max_size=520))
def test_it_reads_what_the_other_reads(area: bytes) -> None:
    """Whatever the strict walk accepts, the lenient one reads alike."""
    strict = options.parse(area)
    if isinstance(strict, Options):
        assert options.parse_lenient(area, b"", b"") == strict


def test_fields_of_the_message_are_those_of_the_rfc() -> None:
    """`file` is the 128 octets before the cookie, `sname` the 64 before it (RFC 2131 2)."""
    sent = replace(DISCOVER, area=option(52, b"\x03"))
    payload = bytearray(sent.payload)
    payload[108:112], payload[44:49] = option(12, b"fi"), option(12, b"le!")
    read = message.parse_lenient(bytes(payload))
    assert isinstance(read, message.Message)
    assert read.options.host_name == b"file!"
    assert message.parse(bytes(payload)) is Counter.PASS_OPTIONS
    for length in range(240):
        assert message.parse_lenient(bytes(payload[:length])) is Counter.PASS_BOOTP_HEADER
    payload[0] = 2
    assert message.parse_lenient(bytes(payload)) is Counter.PASS_BOOTP_HEADER


def test_the_agent_decides_what_the_judge_leaves() -> None:
    """A split message is passed by the judge, and decided like another once it was joined."""
    area = INIT_REBOOT.area[2:]
    sent = replace(INIT_REBOOT, area=option(50, area[:2]) + option(50, area[2:]))
    assert judge(sent.octets, IFINDEX, tables(), NOW).counter is Counter.PASS_OPTIONS
    request = parse_request_lenient(sent.octets)
    assert isinstance(request, Request)
    whole = judge(INIT_REBOOT.octets, IFINDEX, tables(), NOW)
    assert decide(request, IFINDEX, tables(), NOW) == whole
    assert whole.counter is Counter.ACK
