"""Ports that tell bindings apart by line or circuit, from the first DISCOVER to the tables."""

from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp import fastpath
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.options import AT_LEASE, AT_T2, option
from edge_agent.dhcp.tables import KeyMode, Line, Port, key_mode, key_of
from edge_agent.sync.follower import Following
from edge_agent.sync.reconcile import reconcile
from edge_agent.sync.removals import TOMBSTONE, discriminator
from lease_core.domain.commands import ReleaseLease
from lease_core.domain.events import LeaseAssigned
from lease_core.domain.ledger import Binding, Ledger
from lease_core.domain.values import Ipv4
from lease_core.log.replay import replay
from tests.unit.agent.town import (
    GENESIS,
    SECOND,
    SERVER,
    Town,
    discover,
    mac_of,
    renewing,
    selecting,
)
from tests.unit.dhcp.clients import PORT_MAC, RELAY_MAC, Sent

NOW_NS = 1 << 62
"""After every horizon: nothing is promised anew."""

RELAY = Ipv4(SERVER + 100)
IFINDEX = 7
VLANS = {
    "access0": b"",
    "access0:100": bytes.fromhex("81000064"),
    "access0:100.7": bytes.fromhex("88a8006481000007"),
}
CIRCUITS = {f"access0#100.64.0.101={name}": name.encode() for name in ("port-1", "port-2")}
CIRCUITS["access0#100.64.0.101#706f7274203300"] = b"port 3\0"


def at_line(sent: Sent, name: str) -> Sent:
    """The client's message as it comes from that line."""
    if name in VLANS:
        return replace(sent, tags=VLANS[name])
    area = sent.area + option(82, option(1, CIRCUITS[name]))
    return replace(sent, giaddr=RELAY, src_mac=RELAY_MAC, src_ip=RELAY, area=area)


async def exchange(town: Town, name: str) -> Ipv4:
    """DISCOVER to ACK of one MAC on a line."""
    ip = Ipv4(0)
    for kind in (MessageType.OFFER, MessageType.ACK):
        sent = discover(1) if kind is MessageType.OFFER else selecting(1, ip)
        town.frames.clear()
        town.edge.receive(at_line(sent, name).octets, IFINDEX, town.now)
        await town.settle()
        [(_, frame)] = town.frames
        ip = Ipv4(int.from_bytes(frame[58 + len(VLANS.get(name, b"")) :][:4], "big"))
    return ip


def set_port(town: Town, mode: KeyMode) -> None:
    relays = (RELAY,) if mode is KeyMode.CIRCUIT else ()
    town.datapath.put_port(IFINDEX, Port(PORT_MAC, relays=relays, key=mode))


@pytest.fixture(
    params=[(KeyMode.LINE, VLANS), (KeyMode.CIRCUIT, CIRCUITS)], ids=["line", "circuit"]
)
async def served(request: pytest.FixtureRequest) -> tuple[Town, KeyMode, dict[str, Ipv4]]:
    """A town where one MAC has a lease on each of three lines."""
    mode, names = request.param
    town = await Town().begin()
    set_port(town, mode)
    return town, mode, {name: await exchange(town, name) for name in names}


Served = tuple[Town, KeyMode, dict[str, Ipv4]]


def judged(town: Town, name: str) -> fastpath.Verdict:
    """What the kernel makes of a DISCOVER from a line."""
    return fastpath.judge(at_line(discover(1), name).octets, IFINDEX, town.datapath, town.ns)


async def test_every_line_of_a_mac_is_answered_by_the_kernel(served: Served) -> None:
    """Each line has its own address, in the log and from the tables."""
    town, mode, leased = served
    assigned = {
        e.line: e.ip for e in await town.events(LeaseAssigned) if isinstance(e, LeaseAssigned)
    }

    assert assigned == leased
    assert len(set(leased.values())) == 3
    assert {key_mode(key) for key, _ in town.datapath.entries()} == {mode}
    for name, ip in leased.items():
        frame = judged(town, name).frame
        assert frame is not None
        assert frame[58 + len(VLANS.get(name, b"")) :][:4] == ip.to_bytes(4, "big")


async def test_an_access_node_names_the_line() -> None:
    """A client whose frames are marked is served on the circuit, in the log and after a restart."""
    town = await Town().begin()
    town.datapath.put_port(IFINDEX, Port(PORT_MAC, key=KeyMode.CIRCUIT, trusted=True))
    mark = option(82, option(1, b"port-1"))
    [offer] = await town.send(discover(1, area=mark))
    [ack] = await town.send(selecting(1, offer.yiaddr, area=mark))
    town.restart_edge()
    town.edge.set_following(Following.LIVE)

    [assigned] = await town.events(LeaseAssigned)
    assert isinstance(assigned, LeaseAssigned)
    assert (assigned.line, assigned.ip) == ("access0#0.0.0.0=port-1", ack.yiaddr)
    other = option(82, option(1, b"port-2"))
    renewal = renewing(1, ack.yiaddr)
    kinds = [
        [reply.kind for reply in await town.send(replace(renewal, area=area))]
        for area in (mark, other)
    ]
    assert kinds == [[MessageType.ACK], [MessageType.NAK]]


@pytest.mark.parametrize("mode", KeyMode)
async def test_offer_and_ack_carry_the_same_times(mode: KeyMode) -> None:
    """T1 is spread by the key of the binding-to-be, so a client reads the same twice."""
    town = await Town().begin()
    set_port(town, mode)
    for name in CIRCUITS if mode is KeyMode.CIRCUIT else VLANS:
        ip, times = Ipv4(0), set()
        for sent in (discover, selecting):
            town.frames.clear()
            client = sent(1, ip) if sent is selecting else sent(1)
            town.edge.receive(at_line(client, name).octets, IFINDEX, town.now)
            await town.settle()
            [(_, frame)] = town.frames
            at = frame.index(b"\x63\x82\x53\x63") + 4
            times.add(frame[at + AT_LEASE : at + AT_T2 + 4])
            ip = Ipv4(int.from_bytes(frame[58 + len(VLANS.get(name, b"")) :][:4], "big"))
        assert len(times) == 1


async def test_a_line_ends_alone(served: Served) -> None:
    """When the lease of one line is revoked, the others of the MAC go on."""
    town, _, leased = served
    first, *others = leased
    town.commands.append(ReleaseLease(req="r", mac=mac_of(1), line=first, ip=leased[first]))
    await town.settle()
    await town.tick()

    assert judged(town, first).counter is Counter.PASS_UNKNOWN_CLIENT
    assert all(judged(town, name).counter is Counter.OFFER for name in others)


async def test_a_new_process_finds_everything_right(served: Served) -> None:
    """Restart and comparison with the log touch nothing of another key mode."""
    town, _, leased = served
    before = dict(town.datapath.entries())
    town.restart_edge()
    ledger = Ledger()
    for record in await town.records():
        ledger.evolve(record.seq, record.epoch, record.event)

    assert reconcile(town.edge.projection, ledger, NOW_NS) == 0
    assert dict(town.datapath.entries()) == before
    assert all(judged(town, name).counter is Counter.OFFER for name in leased)


@pytest.mark.parametrize("old", [KeyMode.MAC, KeyMode.LINE])
async def test_another_mode_is_reconciled(old: KeyMode) -> None:
    """Tables of a port that was in another mode are brought under the right keys."""
    town = await Town().begin()
    set_port(town, old)
    leased = {name: await exchange(town, name) for name in VLANS}
    new = KeyMode.LINE if old is KeyMode.MAC else KeyMode.MAC
    set_port(town, new)
    town.restart_edge()
    ledger = Ledger()
    for record in await town.records():
        ledger.evolve(record.seq, record.epoch, record.event)
    reconcile(town.edge.projection, ledger, NOW_NS)

    bound = {found.ip: key_mode(key) for key, found in town.datapath.entries() if key >> 63 == 0}
    assert bound == dict.fromkeys(leased.values(), new)
    for name in VLANS:
        town.frames.clear()
        town.edge.receive(at_line(discover(1), name).octets, IFINDEX, town.now)
        assert len(town.frames) == 1


async def test_a_stranger_under_the_same_key_is_not_overwritten(served: Served) -> None:
    """Of two subscribers with one hash the first goes on and the second is counted."""
    town, mode, _ = served
    projection = town.edge.projection
    line = Line(IFINDEX, 9) if mode is KeyMode.LINE else Line(IFINDEX, giaddr=RELAY, circuit=b"9")
    first = next(found for _, found in town.datapath.entries())
    key = key_of(mac_of(1), line, mode)
    town.datapath.put(key, first)

    projection.put(Binding(mac_of(1), projection.lines.text(line), RELAY, "res-1", 99), line, 0)

    assert town.datapath.lookup(key) == first
    assert projection.find(mac_of(1), line) is None
    assert projection.unserved == 1


@pytest.mark.parametrize("before", [KeyMode.MAC, KeyMode.LINE, KeyMode.CIRCUIT])
@pytest.mark.parametrize("after", [KeyMode.MAC, KeyMode.CIRCUIT])
async def test_a_port_that_changes_its_mode_serves_no_line_of_the_other_kind(
    before: KeyMode, after: KeyMode
) -> None:
    """I7, I8: whoever was bound on a circuit is on none of a port without circuits, and the other
    way round; what was promised is remembered."""
    town = await Town().begin()
    set_port(town, before)
    town.restart_edge()
    name = next(iter(CIRCUITS if before is KeyMode.CIRCUIT else VLANS))
    ip = await exchange(town, name)
    set_port(town, after)
    town.restart_edge()
    reconcile(town.edge.projection, (await replay(town.log, GENESIS))[0], NOW_NS)
    bound = [found for key, found in town.datapath.entries() if discriminator(key) < TOMBSTONE]
    unserved = town.edge.projection.removals.unserved()
    is_other_kind = (before is KeyMode.CIRCUIT) != (after is KeyMode.CIRCUIT)

    assert [found.ip for found in bound] == [ip] * (not is_other_kind)
    assert [each.ip for each in unserved] == [ip] * is_other_kind
    if is_other_kind:
        assert town.datapath.promise(unserved[0].slot) >= town.ns + 3600 * SECOND


def test_a_port_is_a_port_of_the_twin() -> None:
    """The twin remembers relays and key mode."""
    made = MemoryDatapath()
    made.put_port(IFINDEX, Port(PORT_MAC, relays=(RELAY,), key=KeyMode.CIRCUIT))
    port = made.port(IFINDEX)
    assert port is not None
    assert (port.mac, port.relays, port.key) == (PORT_MAC, (RELAY,), KeyMode.CIRCUIT)
