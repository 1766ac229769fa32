"""The mirror in `abi.py` against the compiled object and against `maps.h`."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.datapath import abi
from edge_agent.datapath.btf import field_names
from edge_agent.datapath.errors import LoadError
from edge_agent.datapath.notices import NoticeKind
from edge_agent.datapath.pins import counter_names, object_file
from edge_agent.datapath.record import Record
from edge_agent.dhcp import fastpath, options
from edge_agent.dhcp.tables import CIRCUIT_TAG, LINE_TAG, KeyMode, Limit, Line, Port, key_of
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import BINDING, KEY, POOL_OPTIONS
from tests.packets import CLIENT_MAC, PORT_MAC, RELAY

RECORDS = [
    abi.POOL_ASSIGNMENT,
    abi.CIRCUIT,
    abi.IP_POOL,
    abi.PROMISE,
    abi.STOCKED,
    abi.LIMIT,
    abi.ACCESS_PORT,
    abi.SITE_STATE,
    abi.NOTICE,
    abi.ASK,
]
MAPS_H = Path(__file__).parents[2] / "bpf" / "maps.h"


@pytest.fixture(scope="module")
def btf(kernel: None) -> dict[str, Any]:
    """Structures of the object by name; counters have one list for enum and record."""
    dumped = subprocess.run(
        ["bpftool", "-j", "btf", "dump", "file", object_file()], capture_output=True, check=True
    )
    types = json.loads(dumped.stdout)["types"]
    return {found["name"]: found for found in types if found["kind"] in ("STRUCT", "ENUM")}


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_layout(btf: dict[str, Any], record: Record) -> None:
    """Every field has the name, the place and the size that the compiler gave it."""
    compiled = btf[record.name]
    offsets = {member["name"]: member["bits_offset"] // 8 for member in compiled["members"]}

    assert record.offsets == offsets
    assert record.size == compiled["size"]


def test_kinds_of_notices(btf: dict[str, Any]) -> None:
    """A kind of notice has the same number on both sides."""
    compiled = {each["name"]: each["val"] for each in btf["dhcp_notice_kind"]["values"]}
    assert compiled == {f"DHCP_NOTICE_{kind.name}": kind.value for kind in NoticeKind}


def test_counters_are_read_from_the_object(btf: dict[str, Any]) -> None:
    """The agent knows the counters, by name and number, that bpftool finds in the program."""
    members = [member["name"] for member in btf["dhcp_stats"]["members"]]
    numbers = {each["name"]: each["val"] for each in btf["dhcp_counter"]["values"]}

    assert list(counter_names()) == members
    assert [numbers[f"DHCP_{name}"] for name in counter_names()] == list(range(len(members)))


def test_an_object_without_types_is_refused(tmp_path: Path) -> None:
    """A file without BTF, or without the structure, is an error that names the file."""
    empty = tmp_path / "empty.o"
    empty.write_bytes(b"")
    for path in (empty, object_file()):
        with pytest.raises(LoadError, match=path.name):
            field_names(path, "no_such_structure")


def test_constants_are_those_of_the_header() -> None:
    """Numbers that both sides use are written twice and are the same."""
    text = MAPS_H.read_text()
    defined = {
        name: int(value, 0) for name, value in re.findall(r"#define DHCP_(\w+) (\w+)", text)
        if value[0].isdigit()
    }  # fmt: skip

    assert defined == {
        "ABI_MAGIC": abi.MAGIC,
        "MAX_SUBSCRIBERS": abi.MAX_SUBSCRIBERS,
        "MAX_POOLS": abi.MAX_POOLS,
        "MAX_PORTS": abi.MAX_PORTS,
        "MAX_RELAYS": abi.MAX_RELAYS,
        "SLOTS_PER_GROUP": abi.SLOTS_PER_GROUP,
        "KNOWN_BITS": abi.KNOWN_BITS,
        "STOCK_SIZE": abi.STOCK_SIZE,
        "STOCK_PER_GROUP": abi.STOCK_PER_GROUP,
        "CIRCUIT_MAX": abi.CIRCUIT_MAX,
        "KEY_TAG_LINE": LINE_TAG,
        "KEY_TAG_CIRCUIT": CIRCUIT_TAG,
        "POOL_OPTIONS_MAX": abi.POOL_OPTIONS_MAX,
        "ON_REQUEST_MAX": abi.ON_REQUEST_MAX,
        "NOTICES_SIZE": abi.NOTICES_SIZE,
        "ASKS_SIZE": abi.ASKS_SIZE,
        "ASK_FRAME_MAX": abi.ASK_FRAME_MAX,
        "SHARED_RATE": abi.SHARED_RATE,
        "SHARED_BURST": abi.SHARED_BURST,
        "MIN_GRANT_S": fastpath.MIN_GRANT_S,
        "OPT_AT_TYPE": options.AT_TYPE,
        "OPT_AT_TIMES": options.AT_TIMES,
        "OPT_AT_LEASE": options.AT_LEASE,
        "OPT_AT_T1": options.AT_T1,
        "OPT_AT_T2": options.AT_T2,
        "OPT_FIXED_LEN": options.FIXED_LEN,
    }
    assert f"DHCP_DEAD_MAN_NS ({fastpath.DEAD_MAN_NS // 10**9}ULL * 1000000000ULL)" in text


def test_records_round_trip() -> None:
    """What is encoded decodes to itself, and a wrong check word is noticed."""
    assert abi.unpack_assignment(KEY, abi.pack_assignment(KEY, BINDING)) == BINDING
    assert abi.unpack_pool(abi.pack_pool(POOL_OPTIONS)) == POOL_OPTIONS
    line = Line(7, giaddr=Ipv4(RELAY), circuit=b"c" * 64)
    assert abi.unpack_circuit(abi.pack_circuit(line), Line(7)) == line
    plain = Port(Mac(PORT_MAC))
    relayed = Port(Mac(PORT_MAC), (Ipv4(RELAY), Ipv4(1)), KeyMode.CIRCUIT, Limit(7, 9))
    others = replace(plain, trusted=True), replace(plain, offers_stock=True)
    for port in (plain, relayed, *others):
        assert abi.unpack_port(abi.pack_port(port)) == port
        assert abi.unpack_port(abi.pack_port(port, enabled=False)) is None
    assert not abi.unpack_assignment(KEY + 1, abi.pack_assignment(KEY, BINDING)).check_ok


@pytest.mark.parametrize("relays", [(1, 2, 3, 4, 5), (1, 0)])
def test_relays_that_do_not_fit_are_refused(relays: tuple[int, ...]) -> None:
    """A port with too many relays, or one that is no address, is not written."""
    with pytest.raises(ValueError, match="relay"):
        abi.pack_port(Port(Mac(PORT_MAC), tuple(Ipv4(relay) for relay in relays)))


def test_a_value_is_bound_to_key_and_holder() -> None:
    """Under a hash neither another key nor another MAC in the value is believed."""
    key = key_of(Mac(CLIENT_MAC), BINDING.line, KeyMode.LINE)
    own = replace(BINDING, mac=Mac(CLIENT_MAC))
    octets = abi.pack_assignment(key, own)
    at = abi.POOL_ASSIGNMENT.offsets["mac"]

    assert abi.unpack_assignment(key, octets) == own
    assert not abi.unpack_assignment(key + 1, octets).check_ok
    for i in range(6):
        changed = octets[: at + i] + bytes((octets[at + i] ^ 1,)) + octets[at + i + 1 :]
        assert not abi.unpack_assignment(key, changed).check_ok


@pytest.mark.parametrize("length", [0, 65])
def test_circuits_that_do_not_fit_are_refused(length: int) -> None:
    """A line without circuit id, or with one too long, is not written."""
    with pytest.raises(ValueError, match="circuit id"):
        abi.pack_circuit(Line(7, giaddr=Ipv4(RELAY), circuit=bytes(length)))
