"""The life of a datapath: made, attached, left alone, opened again, refused."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from edge_agent.agent.config import EdgeConfig
from edge_agent.agent.opening import open_datapath
from edge_agent.datapath import abi
from edge_agent.datapath import attach as interfaces
from edge_agent.datapath.attach import Mode
from edge_agent.datapath.columns import packed
from edge_agent.datapath.errors import (
    AbiMismatchError,
    AttachError,
    FastPathError,
    LoadError,
)
from edge_agent.datapath.packet_socket import _with_tag
from edge_agent.datapath.port import Datapath, TableFullError
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import KeyMode, Limit, Line, Port, SiteState, key_of, subscriber_key
from lease_core import audit
from lease_core.domain.values import NO_IP, Ipv4, Mac
from tests.kernel.lab import BINDING, IFINDEX, KEY, POOL, POOL_OPTIONS, Lab
from tests.packets import CLIENT_MAC, DISCOVER, PORT_MAC, RELAY, Client, dhclient, relayed

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8

STATE = SiteState(
    gate=True,
    horizon_boot_ns=11,
    touched_boot_ns=12,
    epoch=13,
    incarnation=14,
    cursor_lo=15,
    cursor_hi=16,
    cursor_commit_ms=17,
    cursor_hash=b"12345678",
    genesis=b"0123456789abcdef",
    lines=18,
)

_numbers = count()


@pytest.fixture
def device() -> Iterator[str]:
    """One end of a veth pair."""
    name = f"lk{os.getpid()}{next(_numbers)}"
    pair = ["ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b"]
    if subprocess.run(pair, check=False).returncode:
        pytest.skip("no veth interfaces here")
    yield f"{name}a"
    subprocess.run(["ip", "link", "del", f"{name}a"], check=True)


def test_is_a_datapath(directory: Path) -> None:
    """It keeps what the port promises: everything that is put is read back."""
    with XdpDatapath.open(directory, 64) as opened:
        tables: Datapath = opened
        tables.put(KEY, BINDING)
        tables.put_pool(POOL, POOL_OPTIONS)
        tables.put_port(IFINDEX, Port(Mac(PORT_MAC)))
        tables.set_state(STATE)

        assert tables.lookup(KEY) == BINDING
        assert list(tables.entries()) == [(KEY, BINDING)]
        assert tables.pool(POOL) == POOL_OPTIONS
        assert list(opened.pools()) == [(POOL, POOL_OPTIONS)]
        assert tables.port_mac(IFINDEX) == PORT_MAC
        assert tables.state() == STATE
        tables.remove(KEY)
        tables.remove(KEY)
        assert tables.lookup(KEY) is None
        assert tables.pool(99) is None
        assert tables.port_mac(IFINDEX + 1) is None
        assert tables.port_mac(1 << 20) is None


def test_new_tables_answer_nobody(directory: Path) -> None:
    """Fresh tables have the ABI's magic, a closed gate, no cursor and their own incarnation."""
    with XdpDatapath.open(directory, 64) as opened:
        state = opened.state()

    assert state.incarnation
    assert SiteState(incarnation=state.incarnation) == state


def test_full_table(directory: Path) -> None:
    """A table without room says so, one by one and in bulk, and keeps what it has."""
    with XdpDatapath.open(directory, 8) as opened:
        assert opened.put_rows(*packed((key, BINDING) for key in range(1, 9))) == 8
        with pytest.raises(TableFullError):
            opened.put(9, BINDING)
        assert opened.put_rows(*packed([(8, BINDING), (10, BINDING)])) == 1

        assert set(range(1, 9)) == {key for key, _ in opened.entries()}


def test_many_entries(directory: Path) -> None:
    """Bulk writing and reading lose nothing across their chunks."""
    written = {
        subscriber_key(Mac(number)): replace(BINDING, slot=number) for number in range(1, 20_001)
    }
    with XdpDatapath.open(directory, 20_000) as opened:
        opened.put_rows(*packed(written.items()))

        assert written == dict(opened.entries())


def test_promises(directory: Path) -> None:
    """P only grows, and slots outside are refused."""
    with XdpDatapath.open(directory, 64) as opened:
        assert opened.raise_promise(63, 100)
        assert opened.raise_promise(63, 50)

        assert opened.promise(63) == 100
        assert not opened.raise_promise(64, 100)
        assert opened.promise(64) == 0


def test_grace_is_short(directory: Path) -> None:
    """Waiting for programs that run takes well below a second."""
    with XdpDatapath.open(directory, 64) as opened:
        before = time.monotonic()
        opened.grace()

    assert time.monotonic() - before < 1


def test_tables_outlive_the_agent(directory: Path, device: str) -> None:
    """An agent that dies leaves an interface that answers; the next one finds all of it."""
    agent = (
        "import os; from pathlib import Path; from edge_agent.datapath.xdp import XdpDatapath;"
        "from tests.kernel.lab import Lab;"
        f"lab = Lab(XdpDatapath.open(Path('{directory}'), 4096));"
        f"lab.datapath.attach('{device}'); lab.datapath.raise_promise(3, 77); os._exit(9)"
    )
    root = Path(__file__).parents[2]
    died = subprocess.run([sys.executable, "-c", agent], check=False, cwd=root)
    assert died.returncode == 9

    with XdpDatapath.open_pinned(directory) as reader, XdpDatapath.open(directory, 4096) as opened:
        assert opened.kind == reader.kind == "XDP native"
        assert list(opened.attachments()) == [device]
        assert reader.lookup(KEY) == BINDING
        assert reader.promise(3) == 77
        assert opened.test_run(dhclient(DISCOVER).frame(), IFINDEX)[0] == 3
        assert reader.counters()["offer"] == 1
        before = opened.attachments()[device].program.id
        assert opened.attach(device) is Mode.NATIVE
        assert opened.attachments()[device].program.id == before
        opened.detach(device)
        opened.detach(device)
        assert not opened.attachments()


def test_reader_cannot_write(directory: Path) -> None:
    """Who opened the tables for reading is refused by the kernel, not by good manners."""
    with XdpDatapath.open(directory, 64) as opened, XdpDatapath.open_pinned(directory) as reader:
        opened.set_state(STATE)

        assert reader.state() == STATE
        with pytest.raises(FastPathError, match="not permitted"):
            reader.put(KEY, BINDING)
        with pytest.raises(TypeError):
            reader.set_state(STATE)
        with pytest.raises(TypeError):
            reader.raise_promise(1, 1)
        with pytest.raises(TypeError):
            reader.known.add(Mac(CLIENT_MAC))
        with pytest.raises(TypeError):
            reader.stock.put(0, BINDING.ip, POOL, NO_IP, 1)
        with pytest.raises(TypeError):
            reader.set_stock_groups(1)


def test_what_strangers_are_offered_outlives_the_agent(directory: Path) -> None:
    """Whoever was known, and what was set aside, is there for the next agent; neither is touched
    by what the site's record says."""
    with XdpDatapath.open(directory, 64) as opened:
        assert not opened.is_known(Mac(CLIENT_MAC))
        opened.known.add(Mac(CLIENT_MAC))
        opened.stock.put(4095, BINDING.ip, POOL, Ipv4(RELAY), 77)
        opened.set_stock_groups(1024)
        opened.set_state(STATE)

    with XdpDatapath.open(directory, 64) as opened, XdpDatapath.open_pinned(directory) as reader:
        for found in (opened, reader):
            assert found.is_known(Mac(CLIENT_MAC))
            assert not found.is_known(Mac(CLIENT_MAC + 1))
            assert found.stock.entry(4095) == (0, 77, BINDING.ip, POOL, RELAY)
            assert found._state[abi.SITE_STATE.size // 8 - 1] == 1024


def test_another_size_is_refused(directory: Path) -> None:
    """Other `max_entries` than pinned name the remedy and leave everything as it is."""
    with XdpDatapath.open(directory, 64) as opened:
        opened.put(KEY, BINDING)
    with pytest.raises(AbiMismatchError, match=r"64 entries, not 65.*remove"):
        XdpDatapath.open(directory, 65)

    with XdpDatapath.open(directory, 64) as opened:
        assert opened.lookup(KEY) == BINDING


def test_room_for_circuits(directory: Path) -> None:
    """Tables made without room for circuit ids say so; those with it serve anybody."""
    line = Line(IFINDEX, giaddr=Ipv4(RELAY), circuit=b"port-4")
    key = key_of(Mac(CLIENT_MAC), line, KeyMode.CIRCUIT)
    bound = replace(BINDING, line=line, mac=Mac(CLIENT_MAC))
    with XdpDatapath.open(directory, 64) as opened:
        opened.put(KEY, BINDING)
        with pytest.raises(FastPathError, match="room for circuits"):
            opened.put(key, bound)
        assert opened.lookup(key) is None
    with pytest.raises(AbiMismatchError, match=r"circuits has 1 entries, not 64"):
        XdpDatapath.open(directory, 64, has_circuits=True)
    shutil.rmtree(directory)

    with XdpDatapath.open(directory, 64, has_circuits=True) as opened:
        opened.put(key, bound)
    with XdpDatapath.open(directory, 64) as opened, XdpDatapath.open_pinned(directory) as reader:
        assert opened.lookup(key) == bound
        assert list(reader.entries()) == [(key, bound)]
        assert reader.max_circuits == 64


def test_a_port_is_read_back(directory: Path) -> None:
    """All of a port is what was put, for the writer and for who reads beside."""
    with XdpDatapath.open(directory, 64) as opened, XdpDatapath.open_pinned(directory) as reader:
        expected = Port(Mac(PORT_MAC), (Ipv4(RELAY),), KeyMode.CIRCUIT, offers_stock=True)
        opened.put_port(IFINDEX, expected)
        assert opened.port(IFINDEX) == reader.port(IFINDEX) == expected
        opened.disable_port(IFINDEX)
        assert opened.port(IFINDEX) is reader.port(IFINDEX) is None


def test_another_abi_is_refused(directory: Path) -> None:
    """Tables that another version wrote are neither read nor written."""
    with XdpDatapath.open(directory, 64) as opened:
        opened._state[0] = 0x4C534199
    for open_it in (XdpDatapath.open_pinned, lambda path: XdpDatapath.open(path, 64)):
        with pytest.raises(AbiMismatchError, match="0x4c534199"):
            open_it(directory)


def test_missing_map_is_refused(directory: Path) -> None:
    """Tables that lost a map are not made whole with an empty one: promises would be forgotten."""
    XdpDatapath.open(directory, 64).close()
    (directory / "promises").unlink()

    with pytest.raises(AbiMismatchError, match="promises is not there"):
        XdpDatapath.open(directory, 64)
    assert not (directory / "promises").exists()


def test_unfinished_tables_are_finished(directory: Path) -> None:
    """A directory that a crash left without `site_state` becomes whole."""
    XdpDatapath.open(directory, 64).close()
    (directory / "site_state").unlink()
    (directory / "prog").unlink()

    with XdpDatapath.open(directory, 64) as opened:
        assert opened.state().incarnation


def test_nothing_pinned(kernel: None) -> None:
    """Reading where nothing is pinned says so."""
    with pytest.raises(AbiMismatchError, match="is not there"):
        XdpDatapath.open_pinned(Path("/sys/fs/bpf/lease-test-none"))


def test_not_a_bpf_file_system(kernel: None, tmp_path: Path) -> None:
    """A directory elsewhere is refused with the command that helps."""
    with pytest.raises(FastPathError, match="mount -t bpf"):
        XdpDatapath.open(tmp_path / "site")


def test_occupied_interface(directory: Path, device: str, lab: Lab) -> None:
    """An interface with another program names it and keeps it."""
    with XdpDatapath.open(directory, 64) as opened:
        lab.datapath.attach(device)
        with pytest.raises(AttachError, match="dhcp_fastpath, native") as refused:
            opened.attach(device)
        with pytest.raises(AttachError, match="not ours"):
            opened.detach(device)
        assert refused.value.device == device
        assert list(lab.datapath.attachments()) == [device]
        lab.datapath.detach(device)


def test_answers_from_other_tables(directory: Path, device: str, lab: Lab) -> None:
    """A port of ours that another site's program answers on keeps the agent from starting."""
    with XdpDatapath.open(directory, 64) as opened:
        opened.put_port(socket.if_nametoindex(device), Port(Mac(PORT_MAC)))
    lab.datapath.attach(device)

    with pytest.raises(AbiMismatchError, match=device):
        XdpDatapath.open(directory, 64)
    lab.datapath.detach(device)


def test_an_interface_that_is_no_longer_named_is_left(directory: Path, device: str) -> None:
    """An agent that starts without it takes the program off, and its port is closed: what comes
    there passes unlimited and unanswered, and the named one is served on."""
    other = device[:-1] + "b"
    gone, mac = 60_000, Mac(PORT_MAC)
    with XdpDatapath.open(directory, 64) as opened:
        for name in (device, other):
            opened.attach(name)
            opened.put_port(socket.if_nametoindex(name), Port(mac, line_limit=Limit(1, 1)))
        opened.put_port(gone, Port(mac))
        kept = opened.attachments()[other].program.id

    with XdpDatapath.open(directory, 64, only_on=[other]) as opened:
        assert opened.left == sorted([device, f"if{gone}"])
        assert [ifindex for ifindex, _ in opened.ports()] == [socket.if_nametoindex(other)]
        assert {name: on.program.id for name, on in opened.attachments().items()} == {other: kept}
        assert opened.port(gone) is opened.port(socket.if_nametoindex(device)) is None
        for _ in range(3):
            assert (
                opened.test_run(dhclient(DISCOVER).frame(), socket.if_nametoindex(device))[0] == 2
            )
        assert opened.counters()["pass_port_unknown"] == 3
    with XdpDatapath.open(directory, 64, only_on=[other]) as opened:
        assert opened.left == []
        opened.detach(other)


def test_the_agent_leaves_what_its_configuration_no_longer_names(
    directory: Path, device: str
) -> None:
    """A start with another configuration leaves the interface that is not in it, and tells."""
    other, stream = device[:-1] + "b", io.StringIO()
    audit.configure(stream)
    for name in (device, other):
        config = EdgeConfig(
            site="s", edge="e", interfaces=(name,), datapath="xdp", pin_dir=directory,
            max_subscribers=64,
        )  # fmt: skip
        opened = open_datapath(config)
        assert isinstance(opened, XdpDatapath)
        assert list(opened.attachments()) == [name]
        opened.close()
    audit.configure(None)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["interface"]) for line in lines] == [("interface.left", device)]


def test_an_interface_may_move_to_another_site(directory: Path, device: str, lab: Lab) -> None:
    """An agent that no longer names an interface starts though another site's program is there,
    and leaves that alone."""
    with XdpDatapath.open(directory, 64) as opened:
        opened.put_port(socket.if_nametoindex(device), Port(Mac(PORT_MAC)))
    lab.datapath.attach(device)

    with XdpDatapath.open(directory, 64, only_on=[]) as opened:
        assert opened.left == [device]
    assert list(lab.datapath.attachments()) == [device]
    lab.datapath.detach(device)


def test_program_is_exchanged(directory: Path, device: str) -> None:
    """Another build on the same tables takes an interface over; the same build changes nothing."""
    with XdpDatapath.open(directory, 64) as opened:
        opened.attach(device)
        first = opened.attachments()[device].program.id
    (directory / "prog").unlink()

    with XdpDatapath.open(directory, 64) as opened:
        assert list(opened.attachments()) == [device]
        opened.attach(device)
        second = opened.attachments()[device].program.id
        assert second != first
        opened.detach(device)


def test_generic_mode(directory: Path, device: str) -> None:
    """A program that somebody put on in generic mode is told from a native one."""
    with XdpDatapath.open(directory, 64) as opened:
        interfaces.replace(device, opened._program, Mode.GENERIC)
        assert opened.attach(device) is Mode.GENERIC
        assert opened.kind == "XDP generic"
        opened.detach(device)


WIRED = {
    "untagged": ((), False),
    "one tag": (((0x8100, 0x2064),), False),
    "two tags": (((0x88A8, 0x2064), (0x8100, 0x4007)), False),
    "through a relay": ((), True),
    "through a relay on a VLAN": (((0x8100, 0x2064),), True),
}


def _next_reply(wire: socket.socket) -> bytes:
    """The next frame from the port, with the tag that the kernel tells beside it."""
    while True:
        octets, beside, _, _ = wire.recvmsg(2048, 256)
        if octets[6:12] == PORT_MAC.to_bytes(6, "big"):
            return _with_tag(octets, beside)


def _answered_alike(directory: Path, device: str, request: Client) -> None:
    """The reply on the wire is that of a test run."""
    ids = [control & 0xFFF for _, control in request.tags]
    client = device[:-1] + "b"
    for end in (device, client):
        subprocess.run(["ip", "link", "set", end, "up"], check=True)
    with XdpDatapath.open(directory, 4096) as opened:
        lab = Lab(opened)
        ifindex = socket.if_nametoindex(device)
        relays = (Ipv4(RELAY),) if request.giaddr else ()
        opened.put_port(ifindex, Port(Mac(PORT_MAC), relays))
        opened.put(KEY, replace(BINDING, line=Line(ifindex, *ids)))
        # a veth end delivers what its peer's program sends only if it has a program itself
        for end in (device, client):
            assert opened.attach(end) is Mode.NATIVE
        expected = lab.judge(request, ifindex)

    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire:
        wire.bind((client, ETH_P_ALL))
        wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        wire.settimeout(5)
        wire.send(request.frame())
        received = _next_reply(wire)

    assert expected.counter == "offer"
    assert received == expected.frame


@pytest.mark.parametrize(("tags", "is_relayed"), WIRED.values(), ids=WIRED)
def test_answers_on_the_wire(
    directory: Path, device: str, tags: tuple[tuple[int, int], ...], is_relayed: bool
) -> None:
    """Whoever is at the other end of a cable is answered by the kernel, with nobody at home."""
    request = dhclient(DISCOVER).but(tags=tags)
    _answered_alike(directory, device, relayed(request) if is_relayed else request)


@pytest.mark.parametrize(("tags", "is_relayed"), WIRED.values(), ids=WIRED)
def test_short_requests_are_answered_on_the_wire(
    directory: Path, device: str, tags: tuple[tuple[int, int], ...], is_relayed: bool
) -> None:
    """A frame that has no room behind for the reply grows in front, and is the same reply."""
    request = dhclient(DISCOVER).but(tags=tags, bootp_len=0)
    _answered_alike(directory, device, relayed(request) if is_relayed else request)


def test_tags_stay_in_the_frame(directory: Path, device: str) -> None:
    """Receive VLAN offload is off where the program sits: a hidden tag would look untagged (I8)."""
    before = subprocess.run(["ethtool", "-k", device], capture_output=True, text=True, check=True)
    assert "rx-vlan-offload: on" in before.stdout
    with XdpDatapath.open(directory, 64) as opened:
        opened.attach(device)
    after = subprocess.run(["ethtool", "-k", device], capture_output=True, text=True, check=True)

    assert "rx-vlan-offload: off" in after.stdout


def test_no_such_interface(directory: Path) -> None:
    """Attaching to nothing names it."""
    with (
        XdpDatapath.open(directory, 64) as opened,
        pytest.raises(AttachError, match=r"lk-none: .*no such interface"),
    ):
        opened.attach("lk-none")


def test_verifier_text(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that cannot be loaded is refused with libbpf's own words."""
    broken = tmp_path / "broken.bpf.o"
    broken.write_bytes(b"no ELF at all")
    monkeypatch.setattr("edge_agent.datapath.pins.object_file", lambda: broken)

    with pytest.raises(LoadError, match=r"broken\.bpf\.o") as refused:
        XdpDatapath.open(directory, 64)
    assert "libbpf" in refused.value.log
