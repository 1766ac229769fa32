"""Strangers who come in crowds are offered addresses that the allocator set aside."""

from dataclasses import replace

import pytest

from edge_agent.agent.stock import AHEAD, LEAST, PATIENCE_NS, PER_GROUP
from edge_agent.datapath.stock import SIZE
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.tables import Line, Port
from edge_agent.sync.follower import Following
from edge_agent.sync.reconcile import reconcile
from lease_core.domain.commands import RequestOffer, RequestStock
from lease_core.domain.events import EpochStarted, LeaseAssigned
from lease_core.domain.stock import MAX_STOCK
from lease_core.domain.values import NO_IP, Ipv4
from lease_core.log.replay import replay
from tests.unit.agent.town import (
    FIRST,
    SECOND,
    Town,
    decline,
    discover,
    mac_of,
    release,
    renewing,
    selecting,
)

CROWD = range(1, 1 + LEAST)
STRANGER = 100


@pytest.fixture
async def town() -> Town:
    """A crowd came just now, so there is a stock."""
    town = await Town(size=200, subscribers=256, offers_stock=True).begin()
    await town.crowd(CROWD)
    assert len(town.edge.stock)
    return town


async def offered(town: Town, number: int, ifindex: int = 7) -> tuple[Ipv4, bool]:
    """What a client is offered, and whether the allocator was asked."""
    town.is_cut = True
    replies = await town.send(discover(number), ifindex)
    asked = any(isinstance(command, RequestOffer) for command in town.commands)
    town.is_cut = False
    await town.settle()
    replies = [*replies, *([] if replies else await town.send(discover(number), ifindex))]
    return (replies[0].yiaddr if replies else Ipv4(0)), asked


def on_offer(town: Town) -> set[Ipv4]:
    """The addresses in the stock."""
    places = map(town.datapath.stock.entry, range(SIZE))
    return {place.ip for place in places if place.until_boot_ns > town.now.boot_ns}


class TestOffering:
    async def test_a_stranger_is_offered_an_address_at_once(self, town: Town) -> None:
        """Nobody is asked for the OFFER, and the ACK stands on an event of the log (I2)."""
        ip, is_asked = await offered(town, STRANGER)
        assert not is_asked
        [ack] = await town.send(selecting(STRANGER, ip))
        assigned = (await town.events(LeaseAssigned))[-1]

        assert ack.kind is MessageType.ACK
        assert isinstance(assigned, LeaseAssigned)
        assert (assigned.mac, assigned.ip) == (mac_of(STRANGER), ack.yiaddr)

    async def test_everyone_is_offered_another(self, town: Town) -> None:
        """Strangers who all ask before one of them goes on are offered different addresses."""
        offers = [await offered(town, number) for number in range(STRANGER, STRANGER + 40)]

        assert len({ip for ip, _ in offers}) == 40
        assert not all(is_asked for _, is_asked in offers)

    async def test_who_asks_again_is_offered_the_same(self, town: Town) -> None:
        """A retransmission takes no second address."""
        assert await offered(town, STRANGER) == await offered(town, STRANGER)

    async def test_who_was_here_before_is_no_stranger(self, town: Town) -> None:
        """The last holder is offered his former address, by the one who knows it."""
        former = await town.lease(STRANGER)
        await town.send(release(STRANGER, former))
        await town.wait(2 * 3600)
        await town.crowd(range(20, 30))
        assert len(town.edge.stock)

        assert await offered(town, STRANGER) == (former, True)

    async def test_nor_is_he_after_a_restart(self, town: Town) -> None:
        """A new process knows who was here, from the tables or from the log alone."""
        former = await town.lease(STRANGER)
        await town.send(release(STRANGER, former))
        await town.wait(2 * 3600)
        town.restart_edge()
        ledger, _ = await replay(town.log)
        fresh = Town(size=200, subscribers=256, offers_stock=True)
        reconcile(fresh.edge.projection, ledger, fresh.ns)

        assert mac_of(STRANGER) in town.edge.projection.known
        assert mac_of(STRANGER) in fresh.edge.projection.known
        assert mac_of(STRANGER + 1) not in fresh.edge.projection.known

    async def test_whoever_holds_one_is_answered_from_the_tables(self, town: Town) -> None:
        """A client with a lease is offered that, whatever the stock holds."""
        ip = await town.lease(STRANGER)

        assert await offered(town, STRANGER) == (ip, False)

    async def test_nothing_is_offered_that_cannot_be_given(self, town: Town) -> None:
        """While the log is out of reach a stranger is offered nothing: he would get no ACK."""
        town.edge.set_following(Following.UNREACHABLE)
        town.is_cut = True

        assert await town.send(discover(STRANGER)) == []

    async def test_not_on_lines_with_a_limit(self, town: Town) -> None:
        """Where a line may have so many subscribers only, the agent counts them first."""
        town.datapath.put_port(8, Port(town.datapath.port_mac(8) or mac_of(0)))

        assert (await offered(town, STRANGER, ifindex=8))[1]

    async def test_anothers_offer_is_refused(self, town: Town) -> None:
        """Who asks for an address that was offered to another is told so at once."""
        ip, _ = await offered(town, STRANGER)
        [nak] = await town.send(selecting(STRANGER + 1, ip))
        [ack] = await town.send(selecting(STRANGER, ip))

        assert (nak.kind, ack.kind) == (MessageType.NAK, MessageType.ACK)


class TestFilling:
    async def test_what_is_assigned_leaves_it(self, town: Town) -> None:
        """An address that somebody has makes room for another."""
        ip, _ = await offered(town, STRANGER)
        assert ip in on_offer(town)
        await town.send(selecting(STRANGER, ip))

        assert ip not in on_offer(town)
        assert len(town.edge.stock) == len(on_offer(town))

    async def test_nothing_is_set_aside_where_nobody_is_offered_it(self) -> None:
        """Newcomers on lines with a limit need no stock, however many they are."""
        town = await Town(size=200, subscribers=256).begin()
        await town.crowd(range(1, 40))

        assert not len(town.edge.stock)

    async def test_few_newcomers_need_none(self) -> None:
        """Where one comes now and then, nothing is set aside."""
        town = await Town(size=200, subscribers=256, offers_stock=True).begin()
        for number in range(1, 40):
            town.ns += SECOND // 4
            await town.lease(number)

        assert not len(town.edge.stock)

    async def test_it_is_filled_up(self, town: Town) -> None:
        """As long as they come it lasts: most of them need not ask the allocator."""
        asked = 0
        for number in range(20, 120):
            ip, is_asked = await offered(town, number)
            asked += is_asked
            await town.send(selecting(number, ip))

        assert asked < 50

    async def test_an_empty_group_is_filled_first(self, town: Town) -> None:
        """Each stranger looks into one group, so none is left empty while others have some."""
        groups = town.datapath._stock_groups
        last = range(PER_GROUP * (groups - 1), PER_GROUP * groups)
        town.edge.stock.take_out([town.datapath.stock.entry(at).ip for at in last])
        places = town.edge.stock._take_places(NO_IP, 3)

        assert groups > 1
        assert len(places) == 3
        assert set(places) < set(last)

    async def test_a_second_that_begins_with_many_has_more(self) -> None:
        """Who comes with many others in a moment is not taken for all who come in a second."""
        at_once = await Town(size=200, subscribers=256, offers_stock=True).begin()
        at_once.is_cut = True
        one_by_one = await Town(size=200, subscribers=256, offers_stock=True).begin()
        one_by_one.is_cut = True
        for number in CROWD:
            await at_once.send(selecting(number, FIRST))
            one_by_one.ns += SECOND // LEAST - 1
            await one_by_one.send(selecting(number, FIRST))
        few, many = (
            next(each for each in town.commands if isinstance(each, RequestStock)).count
            for town in (one_by_one, at_once)
        )

        assert few < many // 4

    async def test_it_goes_back(self, town: Town) -> None:
        """An address that nobody took up is offered no more, and can be given to others."""
        ip, _ = await offered(town, STRANGER)
        await town.wait(61)
        assert not len(town.edge.stock)
        await town.wait(61)
        [offer] = await town.send(discover(STRANGER + 1, wanted=ip))

        assert offer.yiaddr == ip

    async def test_who_does_not_take_it_up_loses_his_place(self, town: Town) -> None:
        """His place is for others then, and not the address: he is granted it when he asks."""
        ip, _ = await offered(town, STRANGER)
        for _ in range(2):
            town.ns += PATIENCE_NS
            await town.tick()
        before = len(town.edge.stock)
        other, _ = await offered(town, STRANGER + 1)
        await town.tick()
        [ack] = await town.send(selecting(STRANGER, ip))

        assert ip not in on_offer(town)
        assert (other in on_offer(town), len(town.edge.stock)) == (True, before)
        assert (ack.kind, ack.yiaddr) == (MessageType.ACK, ip)

    async def test_no_more_is_asked_for_than_one_may(self) -> None:
        """What one command may not ask for is asked for in several."""
        town = await Town(size=200, subscribers=256, offers_stock=True).begin()
        rate = MAX_STOCK // AHEAD + 100
        for _ in range(4 * rate):
            town.ns += SECOND // rate
            town.edge.stock.heard(NO_IP, Line(7), town.now)
        asked = [each.count for each in town.commands if isinstance(each, RequestStock)]

        assert max(asked) == MAX_STOCK

    async def test_another_leader_knows_nothing_of_it(self, town: Town) -> None:
        """With an epoch it is given up: the new allocator may offer the addresses to others."""
        await town.commit(town.allocator.note(EpochStarted(cause="takeover"), town.ns))
        await town.follow()

        assert not len(town.edge.stock)
        assert (await offered(town, STRANGER))[1]

    async def test_a_new_process_begins_without(self, town: Town) -> None:
        """What the one before was given is offered no more: this one does not know until when."""
        town.restart_edge()
        town.edge.set_following(Following.LIVE)
        assert not on_offer(town)
        assert (await offered(town, STRANGER))[1]
        await town.crowd(range(20, 30))

        assert 0 < len(town.edge.stock) == len(on_offer(town))

    async def test_one_question_at_a_time(self, town: Town) -> None:
        """However many come, and whether or not there is an answer, little is asked."""
        town.is_cut = True
        for number in range(20, 120):
            await town.send(selecting(number, Ipv4(FIRST + number)))
        asked = [each for each in town.commands if isinstance(each, RequestStock)]

        assert len(asked) == 1

    async def test_an_empty_pool_is_left_in_peace(self) -> None:
        """Who is told that there are none asks again only after a while."""
        town = await Town(size=LEAST + 7, subscribers=256, offers_stock=True).begin()
        await town.crowd(range(1, LEAST + 7))

        assert town.allocator.refusals["pool-full"] == 1

    async def test_a_renewal_is_no_newcomer(self, town: Town) -> None:
        """Clients that have an address, and one that was declined, add nothing to the stock."""
        ip = await town.lease(STRANGER)
        before = len(town.edge.stock)
        for _ in range(3 * LEAST):
            await town.send(renewing(STRANGER, ip))
        await town.send(decline(STRANGER, ip))

        assert len(town.edge.stock) == before

    async def test_relays_have_their_own(self, town: Town) -> None:
        """What was set aside for one link is offered on that link only (RFC 2131 4.3.1)."""
        relay = Ipv4(town.edge.projection.datapath.state().epoch + 1)
        town.datapath.put_port(
            8, Port(town.datapath.port_mac(8) or mac_of(0), relays=(relay,), offers_stock=True)
        )
        town.is_cut = True

        assert await town.send(replace(discover(STRANGER), giaddr=relay), ifindex=8) == []
