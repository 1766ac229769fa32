"""Clients that wait: bounded, one request per client, no answer to a question nobody asked."""

import random

from edge_agent.agent.waiting import MAX_WAITING, REPEAT_NS, TIMEOUT_NS, Waiting, WaitingTable
from edge_agent.dhcp.tables import Line
from lease_core.domain.values import Ipv4
from tests.unit.agent.town import FIRST, SECOND, discover, mac_of, selecting
from tests.unit.dhcp.clients import Sent


def waiting(req: str, sent: Sent, since_ns: int = 0, ifindex: int = 7) -> Waiting:
    return Waiting.of(req, sent.request, Line(ifindex), since_ns)


def test_the_table_is_bounded() -> None:
    """I12: beyond the limit a newcomer is refused and counted; those that wait go on."""
    table = WaitingTable()
    told = [table.add(waiting(str(n), discover(n))) for n in range(1, MAX_WAITING + 11)]

    assert told == [True] * MAX_WAITING + [False] * 10
    assert len(table) == MAX_WAITING
    assert table.refused == 10
    assert table.find("1")
    assert table.find(str(MAX_WAITING + 1)) is None


def test_a_full_table_keeps_those_who_have_an_offer_already() -> None:
    """A REQUEST takes the place of the DISCOVER that waits longest; never the other way round."""
    table = WaitingTable()
    for number in range(1, MAX_WAITING):
        table.add(waiting(str(number), discover(number)))
    table.add(waiting("r1", selecting(1, FIRST)))

    assert table.add(waiting("r2", selecting(2, FIRST)))
    assert table.find("1") is None
    assert table.find("2")
    assert not table.add(waiting("new", discover(MAX_WAITING + 7)))
    assert len(table) == MAX_WAITING
    assert table.refused == 2


def test_a_client_counts_once_however_often_it_asks() -> None:
    """Retransmissions take no further place and ask the allocator once a second at most."""
    table = WaitingTable()
    asked = [table.add(waiting(str(n), discover(1), n * SECOND // 10)) for n in range(100)]

    assert len(table) == 1
    assert asked.count(True) == 10


def test_a_retransmission_is_answered_in_place_of_the_first() -> None:
    """The answer goes to the last frame, whose transaction the client listens for."""
    table = WaitingTable()
    first, again = discover(1), Sent(kind=1, src_mac=mac_of(1), chaddr=discover(1).chaddr, xid=99)
    table.add(waiting("a", first))
    assert not table.add(waiting("b", again, REPEAT_NS - 1))
    found = table.take("a")

    assert found
    assert found.request.message.xid == 99
    assert len(table) == 0


def test_another_wish_does_not_get_the_answer_to_the_first() -> None:
    """A client that asks for another address meanwhile is not refused that one for the first."""
    table = WaitingTable()
    table.add(waiting("a", selecting(1, FIRST)))
    assert not table.add(waiting("b", selecting(1, Ipv4(FIRST + 1)), 1))
    found = table.take("a")

    assert found
    assert found.request.message.options.requested_ip == FIRST
    assert table.add(waiting("c", selecting(1, Ipv4(FIRST + 1)), 2))


def test_discover_and_request_of_one_client_wait_apart() -> None:
    """The key is client, line and message type."""
    table = WaitingTable()
    table.add(waiting("a", discover(1)))
    table.add(waiting("b", selecting(1, FIRST)))
    table.add(waiting("c", discover(1), ifindex=8))

    assert len(table) == 3
    table.forget(mac_of(1), Line(7))
    assert len(table) == 1
    assert table.find("c")


def test_who_waits_for_an_event_is_answered_when_it_is_applied() -> None:
    """Held answers come out once, as soon as the projection is there, not before."""
    table = WaitingTable()
    for number in range(5):
        made = waiting(str(number), discover(number + 1))
        table.add(made)
        table.hold(made, until_seq=10 + number)

    assert [w.req for w in table.applied(9)] == []
    assert [w.req for w in table.applied(12)] == ["0", "1", "2"]
    assert [w.req for w in table.applied(99)] == ["3", "4"]
    assert len(table) == 0


def test_nobody_waits_for_ever() -> None:
    """What was not answered in time is forgotten and counted."""
    table = WaitingTable()
    for number in range(10):
        table.add(waiting(str(number), discover(number + 1), number * SECOND))

    assert table.drop_stale(TIMEOUT_NS + 4 * SECOND + 1) == 5
    assert len(table) == 5


def test_the_parts_of_the_table_agree_after_anything() -> None:
    """Whatever is added, taken, held, forgotten and dropped: no part keeps what another lost."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, table = random.Random(seed), WaitingTable()
    for step in range(3000):
        number = chance.randint(1, 8)
        make = chance.choice((discover(number), selecting(number, Ipv4(FIRST + number % 3))))
        made = waiting(str(step), make, step * SECOND // 7)
        match chance.randint(0, 5):
            case 0 | 1 | 2:
                table.add(made)
            case 3:
                table.take(str(step - chance.randint(1, 9)))
            case 4:
                found = table.find(str(step - chance.randint(1, 9)))
                if found:
                    table.hold(found, chance.randint(1, 9))
                list(table.applied(chance.randint(1, 9)))
            case _:
                table.forget(mac_of(number), Line(7))
                table.drop_stale(step * SECOND // 7)
        assert set(table._by_req) == {w.req for w in table._by_client.values()}
        assert set(table._discovers) == {w.req for w in table._by_req.values() if w.is_discover}
        assert set(table._held) <= set(table._by_req)
        assert all(w.key == key for key, w in table._by_client.items())
