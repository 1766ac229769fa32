"""What the kernel program hands over of strangers who take what they were offered."""

from dataclasses import replace

import pytest

from edge_agent.agent.guard import BURST
from edge_agent.agent.waiting import TIMEOUT_NS
from edge_agent.dhcp import options
from edge_agent.dhcp.ask import Ask, ask_of
from edge_agent.dhcp.codes import HOST_NAME, MessageType
from edge_agent.dhcp.tables import Line
from lease_core.domain.commands import RequestLease
from lease_core.domain.events import LeaseAssigned
from lease_core.domain.values import Ipv4
from tests.unit.agent.town import FIRST, Reply, Town, mac_of, read_reply, selecting
from tests.unit.dhcp.clients import Sent

LATER = Ipv4(FIRST + 50)
NAME = options.option(HOST_NAME, b"tv")


@pytest.fixture
async def town() -> Town:
    return await Town(size=200, subscribers=4).begin()


def ask(town: Town, sent: Sent) -> Ask:
    return ask_of(sent.request, Line(7), town.now.boot_ns)


async def hand_over(town: Town, *asks: Ask) -> list[Reply]:
    """What clients are answered whom the program hands over."""
    town.frames.clear()
    town.datapath.take_asks = lambda _limit: list(asks)  # type: ignore[method-assign]
    town.edge.hear_asks(64, town.now)
    await town.settle()
    return [read_reply(*each) for each in town.frames]


async def test_he_is_bound_and_answered(town: Town) -> None:
    """The ACK stands on an event of the log (I2), which knows the client's name for himself."""
    [ack] = await hand_over(town, ask(town, selecting(1, LATER, area=NAME)))
    assigned = (await town.events(LeaseAssigned))[-1]

    assert (ack.kind, ack.yiaddr) == (MessageType.ACK, LATER)
    assert isinstance(assigned, LeaseAssigned)
    assert (assigned.mac, assigned.ip, assigned.host) == (mac_of(1), LATER, "tv")


async def test_he_is_answered_as_who_was_passed_up(town: Town) -> None:
    """The same request has the same cause and the same reply on either way."""
    other = await Town(size=200, subscribers=4).begin()
    handed_over = await hand_over(town, ask(town, selecting(1, LATER, area=NAME)))

    assert handed_over == await other.send(selecting(1, LATER, area=NAME))
    [ours], [theirs] = await town.events(LeaseAssigned), await other.events(LeaseAssigned)
    assert replace(ours, req="") == replace(theirs, req="")  # type: ignore[type-var]


async def test_a_retransmission_asks_once(town: Town) -> None:
    """The allocator is asked once, and the last of the frames is answered."""
    town.is_cut = True
    again = replace(selecting(1, LATER), xid=99)
    await hand_over(town, ask(town, selecting(1, LATER)), ask(town, again))
    assert [type(command) for command in town.commands] == [RequestLease]
    town.is_cut = False
    await town.settle()

    assert [read_reply(*each).xid for each in town.frames] == [99]


async def test_what_was_asked_long_ago_is_dropped(town: Town) -> None:
    """Nobody waits any more for what the ring kept while no agent ran: nothing is bound in vain."""
    late = ask(town, selecting(1, LATER))
    town.ns += TIMEOUT_NS + 1

    assert await hand_over(town, late) == []
    assert town.edge.slow_path.tally["drop_asked_long_ago"] == 1
    assert not await town.events(LeaseAssigned)


async def test_a_full_table_asks_for_nobody(town: Town) -> None:
    """Who could not be served if it were granted is not asked for."""
    for number in range(1, 5):
        await town.lease(number)

    assert await hand_over(town, ask(town, selecting(9, LATER))) == []
    assert town.edge.slow_path.tally["drop_table_full"] == 1


async def test_one_client_does_not_ask_too_often(town: Town) -> None:
    """A client has so many asks at once and no more (I12)."""
    town.is_cut = True
    await hand_over(town, *[ask(town, selecting(1, LATER))] * (BURST + 3))

    assert town.edge.slow_path.tally["drop_line_too_often"] == 3


async def test_who_is_refused_is_told(town: Town) -> None:
    """An address that somebody else got meanwhile is refused by NAK, as of who was passed up."""
    taken = await town.lease(1)
    [nak] = await hand_over(town, ask(town, selecting(2, taken)))

    assert nak.kind is MessageType.NAK
