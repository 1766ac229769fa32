"""The option walk refuses what it would have to guess; the encoder keeps its limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dhcp import options
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.options import Options, option
from lease_core.domain.values import NO_IP, Ipv4

END = b"\xff"

ACCEPTED = {
    "nothing but END": (END, Options()),
    "message type": (option(53, b"\x01") + END, Options(message_type=1)),
    "message type 0": (option(53, b"\x00") + END, Options(message_type=0)),
    "padding between": (b"\0\0" + option(53, b"\x03") + b"\0" + END, Options(message_type=3)),
    "requested address": (option(50, b"\x0a\0\0\1") + END, Options(requested_ip=Ipv4(0x0A000001))),
    "requested 0.0.0.0 is present": (option(50, bytes(4)) + END, Options(requested_ip=NO_IP)),
    "server 0.0.0.0 is present": (option(54, bytes(4)) + END, Options(server_id=NO_IP)),
    "client id": (option(61, b"\x01abc") + END, Options(client_id=b"\x01abc")),
    "longest client id": (option(61, b"x" * 255) + END, Options(client_id=b"x" * 255)),
    "relay information": (option(82, b"\x01\x02ab") + END, Options(relay_info=b"\x01\x02ab")),
    "host name in parts": (option(12, b"ho") + option(12, b"me") + END, Options(host_name=b"home")),
    "size": (option(57, b"\x05\xdc") + END, Options(max_size=1500)),
    "parameters": (option(55, b"\x01\x03") + END, Options(parameters=b"\1\3")),
    "no parameters": (option(55, b"") + END, Options(parameters=b"")),
    "unknown option, empty": (option(80, b"") + END, Options()),
    "unknown option, twice": (option(60, b"v") * 2 + END, Options()),
    "type inside a client id": (option(61, b"\x35\x01\x01") + END, Options(client_id=b"5\1\1")),
    "octets behind END": (END + option(52, b"\x01") + b"\x35", Options()),
    "64 options": (option(80, b"") * 64 + END, Options()),
    "64 options and padding": (b"\0".join([option(80, b"")] * 64) + END, Options()),
    "512 octets": (END.ljust(512, b"\0"), Options()),
}

REFUSED = {
    "empty area": b"",
    "only padding": bytes(60),
    "no END": option(53, b"\x01"),
    "no length": b"\x35",
    "no length behind an option": option(53, b"\x01") + b"\x32",
    "value behind the area": b"\x32\x04\x0a\0\0",
    "END inside a value": b"\x35\x02\xff",
    "65 options": option(80, b"") * 65 + END,
    "513 octets": END.ljust(513, b"\0"),
    "overload": option(53, b"\x01") + option(52, b"\x01") + END,
    "empty overload": option(52, b"") + END,
    **{
        f"option {code} of {length} octets": option(code, bytes(length)) + END
        for code, lengths in {
            50: (0, 3, 5),
            54: (0, 3, 5),
            53: (0, 2),
            57: (0, 1, 3),
            61: (0,),
            82: (0,),
        }.items()
        for length in lengths
    },
    **{
        f"option {code} twice": option(code, bytes(length)) * 2 + END
        for code, length in {50: 4, 54: 4, 53: 1, 55: 3, 57: 2, 61: 7, 82: 4}.items()
    },
}


@pytest.mark.parametrize(("area", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_walk_reads_what_is_whole(area: bytes, expected: Options) -> None:
    """An area that keeps every rule is read, whatever stands around the options that matter."""
    assert options.parse(area) == expected


@pytest.mark.parametrize("area", REFUSED.values(), ids=REFUSED)
def test_walk_refuses_what_is_doubtful(area: bytes) -> None:
    """An area that breaks one rule is refused as a whole."""
    assert options.parse(area) is Counter.PASS_OPTIONS


@given(st.binary(max_size=600))
def test_walk_is_total(area: bytes) -> None:
    """Any octets give options or the one refusal, and nothing else."""
    parsed = options.parse(area)
    assert isinstance(parsed, Options) or parsed is Counter.PASS_OPTIONS


@given(
    st.lists(
        st.tuples(
            st.integers(1, 254).filter(
                lambda code: code not in (12, 50, 52, 53, 54, 55, 57, 61, 82)
            ),
            st.binary(max_size=6),
            st.integers(0, 2),
        ),
        max_size=40,
    ),
    st.binary(min_size=1, max_size=60),
)
def test_walk_finds_an_option_behind_any_others(
    others: list[tuple[int, bytes, int]], client_id: bytes
) -> None:
    """Options that nobody knows, and padding, never hide or alter one that matters."""
    before = b"".join(option(code, value) + bytes(pad) for code, value, pad in others)
    assert options.parse(before + option(61, client_id) + END) == Options(client_id=client_id)


@given(st.binary(max_size=255))
def test_a_cut_area_is_refused_at_every_octet(value: bytes) -> None:
    """An area that lacks its last octets is never read as a shorter one."""
    area = option(53, b"\x03") + option(61, b"\x01" + value[:200]) + END
    for length in range(len(area)):
        assert options.parse(area[:length]) is Counter.PASS_OPTIONS


def test_an_option_holds_255_octets() -> None:
    """A value that one length octet cannot tell is refused."""
    assert option(43, bytes(255))[:2] == b"\x2b\xff"
    with pytest.raises(ValueError, match="option 43 has 256 octets"):
        option(43, bytes(256))
