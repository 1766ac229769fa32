"""What the judgement offers to strangers out of the stock; see `tests/kernel/test_stock.py`."""

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.fastpath import Verdict, decide, judge
from edge_agent.dhcp.tables import Port
from lease_core.domain.values import NO_IP, Ipv4, Mac
from tests.unit.dhcp.clients import (
    DISCOVER,
    IFINDEX,
    MAC,
    NOW,
    OTHER_IP,
    POOL_NUMBER,
    PORT_MAC,
    SECOND,
    SERVER,
    Sent,
    requested,
    server,
    tables,
)

UNKNOWN = Verdict(Counter.PASS_UNKNOWN_CLIENT)
OTHER = Mac(MAC + 1)
FROM_OTHER = replace(DISCOVER, src_mac=OTHER, chaddr=OTHER.to_bytes(6, "big") + bytes(10))


def stocked(*, link: Ipv4 = NO_IP, offers: bool = True, **state: Any) -> MemoryDatapath:
    """A site that knows nobody, with one address for strangers."""
    fields = {"current_until_boot_ns": NOW + SECOND} | state
    made = tables(assignment=None, **fields)
    made.put_port(IFINDEX, Port(PORT_MAC, offers_stock=offers))
    made.stock.put(0, OTHER_IP, POOL_NUMBER, link, NOW + SECOND)
    made.set_stock_groups(1)
    return made


def test_a_stranger_is_offered_the_same_again() -> None:
    """An OFFER without a binding is one with all that the pool tells, and stands for the next."""
    made = stocked()
    verdict = judge(DISCOVER.octets, IFINDEX, made, NOW)

    assert verdict.counter is Counter.OFFER
    assert verdict.frame is not None
    assert OTHER_IP.to_bytes(4, "big") in verdict.frame[58:62]
    assert judge(DISCOVER.octets, IFINDEX, made, NOW) == verdict
    assert decide(DISCOVER.request, IFINDEX, made, NOW, is_stranger=True) == verdict
    assert judge(FROM_OTHER.octets, IFINDEX, made, NOW) == UNKNOWN


@pytest.mark.parametrize(
    "sent",
    [
        replace(DISCOVER, area=requested(OTHER_IP)),
        replace(DISCOVER, area=server(SERVER)),
        replace(DISCOVER, kind=MessageType.REQUEST, ciaddr=OTHER_IP),
        replace(DISCOVER, kind=MessageType.INFORM, ciaddr=OTHER_IP),
    ],
    ids=["wish", "server", "request", "inform"],
)
def test_a_client_with_a_wish_is_left_to_the_allocator(sent: Sent) -> None:
    """Only a DISCOVER that names neither address nor server may be offered any."""
    made = stocked()
    assert judge(sent.octets, IFINDEX, made, NOW) == UNKNOWN
    assert made.stock.owner(0) == 0


@pytest.mark.parametrize(
    "made",
    [
        stocked(offers=False),
        stocked(link=Ipv4(1)),
        stocked(current_until_boot_ns=NOW),
    ],
    ids=["port", "link", "log"],
)
def test_a_doubt_is_left_to_the_allocator(made: MemoryDatapath) -> None:
    """On another port or link, or while the log may know more, nothing is offered (I9)."""
    assert judge(DISCOVER.octets, IFINDEX, made, NOW) == UNKNOWN
    assert made.stock.owner(0) == 0


def test_who_may_have_had_an_address_is_no_stranger() -> None:
    """A known MAC is the allocator's, who gives former addresses back, whoever calls it strange."""
    made = stocked()
    made.known.add(MAC)

    assert judge(DISCOVER.octets, IFINDEX, made, NOW) == UNKNOWN
    assert decide(DISCOVER.request, IFINDEX, made, NOW, is_stranger=True) == UNKNOWN
    assert made.stock.owner(0) == 0


def test_time_runs_out() -> None:
    """An address is offered up to its time, and not then."""
    made = stocked(current_until_boot_ns=NOW + 9 * SECOND)
    assert judge(DISCOVER.octets, IFINDEX, made, NOW + SECOND - 1).counter is Counter.OFFER
    assert judge(DISCOVER.octets, IFINDEX, made, NOW + SECOND) == UNKNOWN


TAKING = replace(DISCOVER, kind=MessageType.REQUEST, area=requested(OTHER_IP) + server(SERVER))


def test_who_takes_his_offer_is_to_be_asked_for() -> None:
    """A REQUEST for what this stranger was offered is one that the allocator decides."""
    made = stocked()
    assert judge(TAKING.octets, IFINDEX, made, NOW) == UNKNOWN
    judge(DISCOVER.octets, IFINDEX, made, NOW)

    assert judge(TAKING.octets, IFINDEX, made, NOW) == Verdict(Counter.ASKED)
    assert judge(TAKING.octets, IFINDEX, made, NOW + SECOND) == UNKNOWN


@pytest.mark.parametrize(
    "sent",
    [
        replace(TAKING, area=requested(Ipv4(OTHER_IP + 1)) + server(SERVER)),
        replace(TAKING, area=requested(OTHER_IP) + server(Ipv4(SERVER + 1))),
        replace(TAKING, area=requested(OTHER_IP)),
        replace(TAKING, area=server(SERVER)),
        replace(TAKING, ciaddr=OTHER_IP),
        replace(TAKING, dst_ip=Ipv4(SERVER + 1)),
        replace(TAKING, src_mac=OTHER, chaddr=OTHER.to_bytes(6, "big") + bytes(10)),
    ],
    ids=["address", "server", "reboot", "nothing", "in use", "elsewhere", "another"],
)
def test_whoever_wants_something_else_is_passed_up(sent: Sent) -> None:
    """Only who asks for his own offer, of who made it, as 4.3.2 has it, takes it."""
    made = stocked()
    judge(DISCOVER.octets, IFINDEX, made, NOW)

    assert judge(sent.octets, IFINDEX, made, NOW) == UNKNOWN
