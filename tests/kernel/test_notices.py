"""The ring `notices`: what the kernel program tells the agent, how much of it, and at what cost.

Buckets and promises outlive a test, so each test has VLANs and slots of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from edge_agent.datapath import abi
from edge_agent.datapath.errors import AbiMismatchError
from edge_agent.datapath.notices import Notice, NoticeKind
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import KeyMode, Limit, Line, Port, key_of
from lease_core.domain.values import Ipv4, Mac
from tests.kernel.lab import ADDRESS, BINDING, IFINDEX, KEY, LEASE_S, SECOND, Lab, now_boot_ns
from tests.packets import (
    CLIENT_MAC,
    DISCOVER,
    PORT_MAC,
    RELAY,
    REQUEST,
    SERVER,
    Client,
    dhclient,
    ip,
    relayed,
)

BURST = 100
RATE = 10
RING_HOLDS = abi.NOTICES_SIZE // (abi.NOTICE.size + 8)
MANY = 100_000

RENEWING = dhclient(REQUEST).but(ciaddr=ADDRESS, src_ip=ADDRESS, dst_ip=SERVER)
SELECTING = dhclient(REQUEST).with_option(50, ip(ADDRESS)).with_option(54, ip(SERVER))
SPOOFED = dhclient(DISCOVER).but(src_mac=CLIENT_MAC + 1)

_slots, _lines = count(2000), count()


@pytest.fixture
def told(lab: Lab) -> Callable[[], list[Notice]]:
    """Takes what was told since the last time."""
    lab.datapath.take_notices(MANY)
    return lambda: lab.datapath.take_notices(MANY)


def on_new_line(client: Client) -> Client:
    outer, inner = divmod(next(_lines), 4000)
    return client.but(tags=((0x88A8, 1000 + outer), (0x8100, 1 + inner)))


def line_of(client: Client) -> Line:
    return Line(IFINDEX, *(vlan for _, vlan in client.tags))


def bind(lab: Lab, client: Client) -> Client:
    """Bind the client anew on a line of its own; nothing was ever promised to it."""
    client = on_new_line(client)
    lab.datapath.put(KEY, replace(BINDING, slot=next(_slots), line=line_of(client)))
    return client


@pytest.mark.parametrize("client", [SELECTING, RENEWING])
def test_first_ack_of_a_binding_is_told_once(
    lab: Lab, told: Callable[[], list[Notice]], client: Client
) -> None:
    """One notice where no promise stood before, with all that identifies it; offers and
    renewals are not told."""
    client = bind(lab, client)
    offer = dhclient(DISCOVER).but(tags=client.tags)
    before = now_boot_ns()
    verdicts = [lab.judge(each).counter for each in (offer, client, client, RENEWING, client)]
    after = now_boot_ns()

    assert verdicts == ["offer", "ack", "ack", "pass_other_line", "ack"]
    first, stranger = told()
    assert before <= first.at_boot_ns <= after
    assert first == Notice(
        first.at_boot_ns, NoticeKind.FIRST_ACK, Counter.ACK, line_of(client),
        Mac(CLIENT_MAC), Mac(0), Ipv4(ADDRESS), BINDING.seq,
    )  # fmt: skip
    assert stranger.kind is NoticeKind.SUSPECT


def test_promise_of_the_agent_is_a_first_one(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """Who was promised the address by the agent and still is, is not told as new; who no longer
    is, is (P is of both halves, I6)."""
    for ago_s, kinds in ((-60, []), (1, [NoticeKind.FIRST_ACK])):
        client = bind(lab, RENEWING)
        binding = lab.datapath.lookup(KEY)
        assert binding
        lab.datapath.raise_promise(binding.slot, now_boot_ns() - ago_s * SECOND)
        assert lab.judge(client).counter == "ack"
        assert [notice.kind for notice in told()] == kinds


def test_short_grants_are_told(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """A renewal for less than a whole lease is told, one for all of it is not."""
    client = bind(lab, RENEWING)
    for left_s, kinds in ((14_400, [NoticeKind.FIRST_ACK]), (14_400, []),
                          (LEASE_S - 1, [NoticeKind.SHORT_GRANT])):  # fmt: skip
        lab.set_state(horizon_boot_ns=now_boot_ns() + left_s * SECOND + SECOND // 2)
        assert lab.judge(client).counter == "ack"
        found = told()
        assert [notice.kind for notice in found] == kinds
    assert (found[0].ip, found[0].seq, found[0].mac) == (ADDRESS, BINDING.seq, CLIENT_MAC)


def test_short_grants_of_all_lines_are_bounded(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """A horizon that is near is told some times of an interface, not of each line (I12)."""
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), key=KeyMode.LINE))
    started, mac = now_boot_ns(), Mac(CLIENT_MAC)
    lab.set_state(horizon_boot_ns=now_boot_ns() + 1800 * SECOND)
    for _ in range(3 * BURST):
        client = on_new_line(RENEWING)
        own = replace(BINDING, slot=next(_slots), line=line_of(client), mac=mac)
        lab.datapath.put(key_of(mac, own.line, KeyMode.LINE), own)
        lab.datapath.test_run(client.frame(), IFINDEX)
        lab.datapath.test_run(client.frame(), IFINDEX)
    took_s = (now_boot_ns() - started) / SECOND

    kinds = [notice.kind for notice in told()]
    assert kinds.count(NoticeKind.FIRST_ACK) == 3 * BURST
    assert kinds.count(NoticeKind.SHORT_GRANT) <= BURST + took_s * RATE + 1


def at_relay_port(lab: Lab) -> None:
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), relays=(Ipv4(RELAY),)))


SUSPECTS: dict[str, tuple[Client, bool]] = {
    "pass_source_mac": (SPOOFED, False),
    "pass_untrusted_relay": (relayed(dhclient(DISCOVER)), False),
    "pass_relay_unknown": (relayed(dhclient(DISCOVER)).but(giaddr=RELAY + 1), True),
    "pass_other_line": (dhclient(DISCOVER), False),
}


@pytest.mark.parametrize("verdict", SUSPECTS)
def test_suspects_are_told(lab: Lab, told: Callable[[], list[Notice]], verdict: str) -> None:
    """Who is not whom or where he claims is told, with both MACs; the frame passes as it came
    (I9)."""
    client, is_relayed = SUSPECTS[verdict]
    if is_relayed:
        at_relay_port(lab)
    client = on_new_line(client)
    judged = lab.judge(client)

    assert (judged.counter, judged.frame) == (verdict, client.frame())
    [notice] = told()
    sender = client.mac if client.src_mac is None else client.src_mac
    assert notice == Notice(
        notice.at_boot_ns, NoticeKind.SUSPECT, Counter(verdict), line_of(client),
        Mac(CLIENT_MAC), Mac(sender), Ipv4(0), 0,
    )  # fmt: skip


def test_drops_are_told(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """Who sends too much is told with the limit that he hit; the usual passes are not told."""
    lab.datapath.put_port(
        IFINDEX,
        Port(Mac(PORT_MAC), line_limit=Limit(1, 3), mac_limit=Limit(1, 2), key=KeyMode.LINE),
    )
    stranger = on_new_line(dhclient(DISCOVER))
    other = stranger.but(mac=CLIENT_MAC + 1)
    verdicts = [lab.judge(each).counter for each in (stranger, stranger, stranger, other, other)]

    assert verdicts[2:] == ["drop_mac_rate", "pass_unknown_client", "drop_line_rate"]
    assert [(n.kind, n.verdict, n.mac) for n in told()] == [
        (NoticeKind.SUSPECT, Counter.DROP_MAC_RATE, CLIENT_MAC),
        (NoticeKind.SUSPECT, Counter.DROP_LINE_RATE, CLIENT_MAC + 1),
    ]


def test_a_flood_is_told_a_few_times(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """Of 20,000 frames of one line the burst and the rate are told, whatever they are (I12)."""
    spoofed = on_new_line(SPOOFED).frame()
    started = now_boot_ns()
    for _ in range(20_000):
        lab.datapath.test_run(spoofed, IFINDEX)
    took_s = (now_boot_ns() - started) / SECOND

    assert BURST <= len(told()) <= BURST + took_s * RATE + 1


def test_each_line_and_kind_has_tokens_of_its_own(
    lab: Lab, told: Callable[[], list[Notice]]
) -> None:
    """A line's flood hides neither what other lines do nor its own first ACK, and takes no token
    from what is passed up."""
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), line_limit=Limit(1, 10), key=KeyMode.MAC))
    client = bind(lab, RENEWING)
    for _ in range(3 * BURST):
        lab.datapath.test_run(SPOOFED.but(tags=client.tags).frame(), IFINDEX)
    assert len(told()) >= BURST

    assert lab.judge(client).counter == "ack"
    assert lab.judge(on_new_line(SPOOFED)).counter == "pass_source_mac"
    assert [notice.kind for notice in told()] == [NoticeKind.FIRST_ACK, NoticeKind.SUSPECT]
    quiet = on_new_line(SPOOFED)
    passed = [lab.judge(quiet).counter for _ in range(11)]
    assert passed == ["pass_source_mac"] * 10 + ["drop_line_rate"]


def test_a_full_ring_changes_nothing(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """When nobody takes notices, verdicts and octets are the same, and what fits stays (I9)."""
    suspects = [on_new_line(client) for client, is_relayed in SUSPECTS.values() if not is_relayed]
    client = bind(lab, RENEWING)
    fresh = [lab.judge(each) for each in (*suspects, client)]
    told()
    filled = 0
    while filled < RING_HOLDS:
        for _ in range(BURST):
            lab.datapath.test_run(on_new_line(SPOOFED).frame(), IFINDEX)
        filled += BURST
    assert lab.datapath.notices.counts()[1] == RING_HOLDS

    again = [lab.judge(each) for each in (*suspects, client)]

    assert again == fresh
    assert lab.judge(bind(lab, RENEWING)).counter == "ack"
    assert len(told()) == RING_HOLDS
    lab.judge(on_new_line(SPOOFED))
    assert len(told()) == 1


def test_looking_takes_nothing(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """A second reader sees what comes from now on, twice round the ring, and the agent gets all
    of it; what was written over meanwhile is left out."""
    ring = lab.datapath.notices
    lab.judge(on_new_line(SPOOFED))
    at = ring.produced
    for _ in range(2 * RING_HOLDS // 500 + 1):
        for _ in range(500):
            lab.datapath.test_run(on_new_line(SPOOFED).frame(), IFINDEX)
        seen, at = ring.look(at)
        taken = told()
        assert seen == taken[-500:]
        assert len(seen) == 500
    for _ in range(RING_HOLDS + 1):
        lab.datapath.test_run(on_new_line(SPOOFED).frame(), IFINDEX)
        told()
    assert ring.look(at) == ([], ring.produced)


def test_taken_in_portions(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """The agent takes no more at once than it asks for, in order, each once (I12)."""
    clients = [on_new_line(SPOOFED) for _ in range(5)]
    for client in clients:
        lab.judge(client)
    portions = [lab.datapath.take_notices(2) for _ in range(4)]

    assert [len(portion) for portion in portions] == [2, 2, 1, 0]
    lines = [notice.line for portion in portions for notice in portion]
    assert lines == [line_of(client) for client in clients]


def test_circuits_have_tokens_of_their_own(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """Behind a relay each circuit is a line: one that floods does not hide another's (I12)."""
    lab.datapath.put_port(
        IFINDEX,
        Port(Mac(PORT_MAC), relays=(Ipv4(RELAY),), key=KeyMode.CIRCUIT, mac_limit=Limit(1, 1)),
    )
    flooding, other = (
        relayed(dhclient(DISCOVER, mac=CLIENT_MAC + 9), b"\x01\x02n" + octet)
        for octet in (b"1", b"2")
    )
    for _ in range(2 * BURST):
        lab.judge(flooding)
    assert BURST <= len(told()) < 2 * BURST - 1
    lab.judge(other)
    lab.judge(other)
    assert [notice.verdict for notice in told()] == [Counter.DROP_MAC_RATE]


def test_tables_without_the_ring_are_refused(directory: Path) -> None:
    """Pins that an older agent left are not whole, and are not used."""
    with XdpDatapath.open(directory, 64):
        pass
    (directory / "notices").unlink()
    with pytest.raises(AbiMismatchError, match="notices is not there"):
        XdpDatapath.open(directory, 64)


def test_a_reader_beside_the_agent_maps_nothing_for_writing(directory: Path) -> None:
    """Tables that are opened for reading can be looked at and not taken from."""
    with XdpDatapath.open(directory, 64) as opened:
        Lab(opened).judge(SPOOFED)
        with XdpDatapath.open_pinned(directory) as reader:
            assert len(reader.notices.look(0)[0]) == 1
            with pytest.raises(TypeError):
                reader.take_notices(1)
        assert len(opened.take_notices(9)) == 1


def test_a_binding_by_line_is_told(lab: Lab, told: Callable[[], list[Notice]]) -> None:
    """A hash as its key, the first ACK is told as any other."""
    lab.datapath.put_port(IFINDEX, Port(Mac(PORT_MAC), key=KeyMode.LINE))
    client, mac = on_new_line(RENEWING), Mac(CLIENT_MAC)
    own = replace(BINDING, slot=next(_slots), line=line_of(client), mac=mac)
    lab.datapath.put(key_of(mac, own.line, KeyMode.LINE), own)
    assert lab.judge(client).counter == "ack"
    assert [(notice.line, notice.mac) for notice in told()] == [(own.line, mac)]
