"""Clients, edge, allocator and log together: what a subscriber sees."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.options import option
from edge_agent.dhcp.tables import Port
from edge_agent.sync.follower import LOST, Following
from edge_agent.sync.projection import MAX_LINES_PER_MAC
from edge_agent.sync.reconcile import reconcile
from lease_core.domain.commands import RequestLease, RevokeLease
from lease_core.domain.desk import Timing
from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    HorizonGranted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    Record,
    RemovalAcked,
)
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac, ip_from_text
from lease_core.log.reader import Position
from lease_core.log.replay import replay
from tests.unit.agent.town import (
    ELSEWHERE,
    FIRST,
    GENESIS,
    PORT_MACS,
    SECOND,
    SERVER,
    Town,
    decline,
    discover,
    inform,
    init_reboot,
    mac_of,
    pool,
    rebinding,
    release,
    renewing,
    selecting,
)
from tests.unit.dhcp.clients import BROADCAST, Sent

NOW_NS = 1 << 62
SLEWED_HOUR_S = 3600 + 328
"""After every horizon: nothing is promised anew."""

SECOND_NET = ip_from_text("100.65.0.0")
RELAY = Ipv4(SECOND_NET + 200)
OTHER_SERVER = Ipv4(SERVER + (7 << 8))


@pytest.fixture
async def town() -> Town:
    return await Town().begin()


class TestServing:
    async def test_a_newcomer_is_served_through_the_log(self, town: Town) -> None:
        """DISCOVER, OFFER, REQUEST, ACK; the ACK stands on an event of the log (I2)."""
        [offer] = await town.send(discover(1))
        assert await town.events(LeaseAssigned) == []
        [ack] = await town.send(selecting(1, offer.yiaddr))
        [assigned] = await town.events(LeaseAssigned)

        assert (offer.kind, ack.kind) == (MessageType.OFFER, MessageType.ACK)
        assert offer.yiaddr == ack.yiaddr == FIRST
        assert ack.lease_s == 3600
        assert isinstance(assigned, LeaseAssigned)
        assert (assigned.mac, assigned.ip, assigned.line) == (mac_of(1), FIRST, "access0")

    async def test_the_second_time_the_tables_answer(self, town: Town) -> None:
        """A known client is answered at once, without a word to the allocator."""
        ip = await town.lease(1)
        town.is_cut = True
        [offer] = await town.send(discover(1))
        [ack] = await town.send(selecting(1, ip))

        assert (offer.yiaddr, ack.yiaddr) == (ip, ip)
        assert town.commands == []

    async def test_renewing_and_rebinding_are_acknowledged(self, town: Town) -> None:
        """Unicast and broadcast extensions are answered from the tables with a whole lease."""
        ip = await town.lease(1)
        await town.wait(1800)
        events = len(await town.records())
        [renewed] = await town.send(renewing(1, ip))
        [rebound] = await town.send(rebinding(1, ip))

        assert (renewed.kind, renewed.lease_s, renewed.dst_ip) == (MessageType.ACK, 3600, ip)
        assert (rebound.kind, rebound.lease_s) == (MessageType.ACK, 3600)
        assert len(await town.records()) == events

    async def test_a_renewal_that_the_tables_lost_is_answered_from_the_log(
        self, town: Town
    ) -> None:
        """Held: what is true already needs no event, only that the edge has applied it."""
        ip = await town.lease(1)
        [(key, found)] = town.datapath.entries()
        town.datapath.remove(key)
        assert await town.send(renewing(1, ip)) == [], "known to the log, not to the tables"
        town.datapath.put(key, found)

        assert [r.kind for r in await town.send(renewing(1, ip))] == [MessageType.ACK]

    async def test_one_mac_on_two_lines_has_two_leases(self, town: Town) -> None:
        """I8: each line gets its own address, and each is answered on its own line only."""
        one = await town.lease(1, ifindex=7)
        two = await town.lease(1, ifindex=8)
        [first] = await town.send(renewing(1, one), ifindex=7)
        [second] = await town.send(renewing(1, two), ifindex=8)
        wrong = await town.send(renewing(1, two), ifindex=7)

        assert one != two
        assert (first.yiaddr, first.ifindex) == (one, 7)
        assert (second.yiaddr, second.ifindex) == (two, 8)
        assert [r.kind for r in wrong] == [MessageType.NAK]

    async def test_a_full_pool_is_silent(self, town: Town) -> None:
        """No NAK to a DISCOVER that finds no address; holders go on."""
        ips = [await town.lease(number) for number in range(1, 5)]

        assert await town.send(discover(5)) == []
        assert [r.kind for r in await town.send(renewing(1, ips[0]))] == [MessageType.ACK]
        assert town.edge.slow_path.tally["refused_pool-full"] == 1

    @pytest.mark.parametrize(
        "forged",
        [
            {"giaddr": Ipv4(SERVER + 5)},
            {"area": option(82, b"\x01\x01c")},
            {"src_mac": mac_of(77)},
            {"src_mac": Mac(1 << 40), "chaddr": (1 << 40).to_bytes(6, "big") + bytes(10)},
        ],
    )
    @pytest.mark.parametrize("make", [inform, release, decline])
    async def test_forgeries_are_not_heard(
        self, town: Town, make: Callable[[int, Ipv4], Sent], forged: dict[str, Any]
    ) -> None:
        """Nobody is a relay, speaks for another or for a group, in no kind of message (I8)."""
        ip = await town.lease(1)
        before = len(await town.records())

        assert await town.send(replace(make(1, ip), **forged)) == []
        assert len(await town.records()) == before

    async def test_inform_is_answered_without_a_lease(self, town: Town) -> None:
        """A client with an address from elsewhere in our network gets options, no times."""
        [ack] = await town.send(inform(9, Ipv4(FIRST + 1)))

        assert (ack.kind, ack.yiaddr, ack.lease_s) == (MessageType.ACK, 0, 0)
        assert await town.send(inform(9, ELSEWHERE)) == []
        elsewhere = replace(inform(9, Ipv4(FIRST + 1)), dst_ip=OTHER_SERVER)
        assert await town.send(elsewhere) == [], "another server's"
        assert await town.events(LeaseAssigned) == []

    async def test_inform_of_a_holder_is_answered_without_horizon_or_log(self, town: Town) -> None:
        """It is promised nothing, so nothing has to cover it."""
        ip = await town.lease(1)
        assert [r.kind for r in await town.send(inform(1, ip))] == [MessageType.ACK]
        town.is_cut = True
        town.ns += 5 * 3600 * SECOND
        town.edge.touch(town.now)

        [ack] = await town.send(inform(1, ip))
        assert (ack.kind, ack.yiaddr, ack.lease_s) == (MessageType.ACK, 0, 0)


class TestInitReboot:
    async def test_a_known_client_is_confirmed(self, town: Town) -> None:
        """INIT-REBOOT for the address it holds."""
        ip = await town.lease(1)

        assert [r.kind for r in await town.send(init_reboot(1, ip))] == [MessageType.ACK]

    async def test_the_former_holder_gets_its_address_back(self, town: Town) -> None:
        """After a release the last holder may have it again, if nobody else does."""
        ip = await town.lease(1)
        await town.send(release(1, ip))

        assert [r.yiaddr for r in await town.send(init_reboot(1, ip))] == [ip]

    async def test_an_unknown_client_is_left_alone(self, town: Town) -> None:
        """RFC 2131 4.3.2: no record of the client, so silence: another server may know it."""
        assert await town.send(init_reboot(1, FIRST)) == []

    async def test_a_wrong_address_is_refused(self, town: Town) -> None:
        """A known client with a wrong address, and an address of no network here: NAK."""
        ip = await town.lease(1)
        mine = await town.send(init_reboot(1, Ipv4(ip + 1)))
        foreign = await town.send(init_reboot(2, ELSEWHERE))

        assert [r.kind for r in mine] == [MessageType.NAK]
        assert [r.kind for r in foreign] == [MessageType.NAK]


class TestNak:
    async def test_an_address_of_another_is_refused(self, town: Town) -> None:
        """REQUEST for what somebody else holds or was offered."""
        ip = await town.lease(1)
        [offer] = await town.send(discover(2))

        for taken in (ip, offer.yiaddr):
            [nak] = await town.send(selecting(3, taken))
            assert (nak.kind, nak.server_id) == (MessageType.NAK, SERVER)

    @pytest.mark.parametrize("state", [s for s in Following if s is not Following.LIVE])
    async def test_never_while_the_log_is_not_followed(self, town: Town, state: Following) -> None:
        """Nobody loses an address because somebody is unreachable or behind."""
        ip = await town.lease(1)
        town.edge.set_following(state)
        known = await town.send(init_reboot(1, Ipv4(ip + 1)))
        unknown = await town.send(init_reboot(2, ELSEWHERE))
        taken = await town.send(selecting(3, ip))

        assert (known, unknown, taken) == ([], [], [])
        asked = 1 if state in LOST else 3  # nothing is asked of a log that is not ours
        assert town.edge.slow_path.tally["drop_nak_not_current"] == asked

    async def test_never_while_the_log_recovers(self, town: Town) -> None:
        """I9: a log that lost events may not know what a client was promised, until it has heard;
        also the next process over these tables remembers."""
        ip = await town.lease(1)
        town.edge.recovers(True)
        assert await town.send(init_reboot(1, Ipv4(ip + 1))) == []
        town.restart_edge()
        town.edge.set_following(Following.LIVE)
        assert await town.send(init_reboot(1, Ipv4(ip + 1))) == []
        town.edge.recovers(False)

        assert [r.kind for r in await town.send(init_reboot(1, Ipv4(ip + 1)))] == [MessageType.NAK]

    async def test_never_by_an_agent_that_has_stopped(self, town: Town) -> None:
        """I9: what was current at the last touch is not for ever, whoever would answer."""
        ip = await town.lease(1)
        town.ns += 6 * SECOND
        assert await town.send(init_reboot(1, Ipv4(ip + 1))) == []
        town.edge.touch(town.now)

        assert [r.kind for r in await town.send(init_reboot(1, Ipv4(ip + 1)))] == [MessageType.NAK]

    async def test_never_to_a_client_of_another_server(self, town: Town) -> None:
        """A REQUEST that selects another server is none of our business, known client or not."""
        ip = await town.lease(1)

        assert await town.send(selecting(1, ip, OTHER_SERVER)) == []
        assert await town.send(selecting(2, FIRST, OTHER_SERVER)) == []
        assert await town.events(LeaseAssigned) == (await town.events(LeaseAssigned))[:1]

    async def test_the_server_of_the_line_refuses(self, town: Town) -> None:
        """Who names no server is refused by the one of its binding, its relay or its address."""
        await town.add(
            replace(
                pool(4),
                pool="res-2",
                number=2,
                network="100.65.0.0/24",
                first=SECOND_NET + 2,
                last=SECOND_NET + 5,
                gateway=SECOND_NET + 1,
            )
        )
        ip = await town.lease(1)
        unknown = init_reboot(2, Ipv4(SECOND_NET + 99))
        bound = init_reboot(1, Ipv4(SECOND_NET + 3))
        [own] = await town.send(bound)
        [foreign] = await town.send(unknown)
        town.datapath.put_port(7, Port(PORT_MACS[7], relays=(RELAY, ELSEWHERE)))
        relayed = replace(init_reboot(3, ELSEWHERE), giaddr=RELAY, src_mac=mac_of(77))
        [at_relay] = await town.send(relayed)

        assert (own.server_id, foreign.server_id) == (SERVER, SECOND_NET + 1)
        assert at_relay.server_id == SECOND_NET + 1
        assert await town.send(replace(relayed, giaddr=ELSEWHERE)) == []
        assert ip == FIRST

    async def test_never_to_a_rebinding_stranger(self, town: Town) -> None:
        """An address that no pool of ours holds may be another server's: silence."""
        assert await town.send(rebinding(5, ELSEWHERE)) == []

    async def test_never_to_a_malformed_request(self, town: Town) -> None:
        """A REQUEST that fits no state says nothing about the client's address."""
        ip = await town.lease(1)
        no_address = renewing(1, Ipv4(0))

        assert await town.send(no_address) == []
        assert [r.kind for r in await town.send(renewing(1, ip))] == [MessageType.ACK]


class TestEnding:
    async def test_the_holder_releases(self, town: Town) -> None:
        """RELEASE, acknowledgement, quarantine, freed."""
        ip = await town.lease(1)
        await town.send(release(1, ip))
        await town.wait(60)
        [acked] = await town.events(RemovalAcked)
        assert isinstance(acked, RemovalAcked)
        await town.wait(SLEWED_HOUR_S + 180)

        assert len(await town.events(LeaseReleased)) == 1
        used_s = SLEWED_HOUR_S - acked.remaining_s
        assert 0 <= used_s <= 100, "it was promised an hour; it may still use it"
        assert len(await town.events(AddressFreed)) == 1

    async def test_strangers_release_and_decline_nothing(self, town: Town) -> None:
        """Another MAC, another line, another address, a forged hardware address: nothing
        happens."""
        ip = await town.lease(1)
        before = len(await town.records())
        for make in (release, decline):
            await town.send(make(2, ip))
            await town.send(make(1, ip), ifindex=8)
            await town.send(make(1, Ipv4(ip + 1)))
            forged = make(1, ip)
            object.__setattr__(forged, "src_mac", mac_of(66))
            await town.send(forged)

        assert len(await town.records()) == before
        tally = town.edge.slow_path.tally
        assert (tally["drop_not_holder"], tally["drop_pass_source_mac"]) == (6, 2)

    async def test_a_relay_of_ours_hands_a_decline_on(self, town: Town) -> None:
        """The frame's sender is the relay then; a relay that the port does not name is nobody."""
        relay = Ipv4(SERVER + 5)
        ip = await town.lease(1)
        for giaddr, relays in ((relay, ()), (relay, (Ipv4(SERVER + 6),)), (relay, (relay,))):
            assert await town.events(AddressDeclined) == []
            town.datapath.put_port(7, Port(PORT_MACS[7], relays=relays))
            relayed = decline(1, ip)
            object.__setattr__(relayed, "src_mac", mac_of(77))
            object.__setattr__(relayed, "giaddr", giaddr)
            await town.send(relayed)

        assert len(await town.events(AddressDeclined)) == 1

    async def test_a_router_beside_a_relay_brings_a_release(self, town: Town) -> None:
        """By unicast and from the address itself; at a port of clients it is a stranger's."""
        relays = (Ipv4(SERVER + 5),)
        ip = await town.lease(1)
        for allowed, changes in (
            ((), {}),
            (relays, {"src_ip": Ipv4(ip + 1)}),
            (relays, {"dst_ip": BROADCAST}),
            (relays, {"giaddr": Ipv4(SERVER + 6)}),
            (relays, {}),
        ):
            assert await town.events(LeaseReleased) == []
            town.datapath.put_port(7, Port(PORT_MACS[7], relays=allowed))
            await town.send(replace(release(1, ip), src_mac=mac_of(77), **changes))

        assert len(await town.events(LeaseReleased)) == 1
        tally = town.edge.slow_path.tally
        assert (tally["drop_pass_source_mac"], tally["drop_pass_relay_unknown"]) == (1, 3)

    async def test_a_declined_address_rests(self, town: Town) -> None:
        """DECLINE by the holder: the address rests, the client gets another."""
        ip = await town.lease(1)
        await town.send(decline(1, ip))
        another = await town.lease(1)

        assert another != ip
        [declined] = await town.events(AddressDeclined)
        assert isinstance(declined, AddressDeclined)
        assert declined.quarantine_s == 600

    async def test_a_silent_client_expires_and_its_address_goes_to_another(self) -> None:
        """Promise over, report, LeaseExpired, acknowledgement, quarantine, freed, reused; not a
        moment too early (I7)."""
        town = await Town(size=1).begin()
        ip = await town.lease(1)
        promised_until = town.ns + 3600 * SECOND
        await town.wait(3500)
        assert await town.events(LeaseExpired) == []
        while not await town.events(AddressFreed):
            assert await town.send(discover(2)) == []
            await town.wait(30)
            assert town.ns < promised_until + 600 * SECOND
        assert town.ns >= promised_until + 120 * SECOND

        assert await town.lease(2) == ip
        kinds = await town.events(LeaseAssigned, LeaseExpired, RemovalAcked, AddressFreed)
        assert [type(event) for event in kinds] == [
            LeaseAssigned,
            LeaseExpired,
            RemovalAcked,
            AddressFreed,
            LeaseAssigned,
        ]

    async def test_a_renewing_client_never_expires(self, town: Town) -> None:
        """Promises in the tables are heard of by the report of expiries."""
        ip = await town.lease(1)
        for _ in range(20):
            await town.wait(1800)
            assert [r.kind for r in await town.send(renewing(1, ip))] == [MessageType.ACK]

        assert await town.events(LeaseExpired) == []

    async def test_a_revoked_client_is_told_and_may_come_back(self, town: Town) -> None:
        """After a revoke the renewal is a newcomer's; the same holder may have it again."""
        ip = await town.lease(1)
        await town.log.send(RevokeLease(req="x", ip=ip, cause="operator"), "operator:test")
        await town.settle()

        assert [r.yiaddr for r in await town.send(renewing(1, ip))] == [ip]

    async def test_an_acknowledgement_is_repeated_until_the_log_has_it(self, town: Town) -> None:
        """What was lost on the way is said again, not more often than every 10 s."""
        ip = await town.lease(1)
        await town.send(release(1, ip))
        town.is_cut = True
        duties = town.edge.duties
        for _ in range(25):
            town.ns += SECOND
            duties.acknowledge(duties.due_removals(town.now), town.now)
        assert len(town.commands) == 3
        town.is_cut = False
        await town.settle()

        assert len(await town.events(RemovalAcked)) == 1
        assert duties.due_removals(town.now) == []

    async def test_only_what_was_removed_before_the_grace_is_acknowledged(self, town: Town) -> None:
        """I7: a removal that came while the kernel's grace period ran waits for the next one."""
        one, two = await town.lease(1), await town.lease(2)
        await town.send(release(1, one))
        due = town.edge.duties.due_removals(town.now)
        await town.send(release(2, two))
        town.is_cut = True
        town.edge.duties.acknowledge(due, town.now)

        assert [command.ip for command in town.commands] == [one]  # type: ignore[union-attr]

    async def test_a_removal_that_was_taken_back_is_not_acknowledged(self, town: Town) -> None:
        """The holder came back during the grace period: nothing is owed any more."""
        ip = await town.lease(1)
        await town.send(release(1, ip))
        due = town.edge.duties.due_removals(town.now)
        await town.lease(1)
        town.edge.duties.acknowledge(due, town.now)

        assert town.commands == []


class TestNoPlace:
    """What the tables cannot hold is refused early, or comes back; no address is stuck."""

    async def test_a_mac_on_too_many_lines_asks_in_vain(self) -> None:
        """I12: whoever picks his own VLAN tags takes no more addresses than he is served with."""
        town = await Town(size=40).begin()
        for vlan in range(1, 13):
            await town.join(1, vlan)

        assert len(await town.events(LeaseAssigned)) == MAX_LINES_PER_MAC
        assert town.edge.slow_path.tally["drop_table_full"] == 12 - MAX_LINES_PER_MAC

    async def test_a_full_table_asks_for_nobody(self) -> None:
        """I10: no address is bound for a subscriber who would find no room; holders go on."""
        town = await Town(size=40, subscribers=3).begin()
        ips = [await town.lease(number) for number in range(1, 4)]

        assert await town.send(discover(4)) == []
        assert town.edge.slow_path.tally["drop_table_full"] == 1
        assert [r.kind for r in await town.send(renewing(1, ips[0]))] == [MessageType.ACK]

    @pytest.mark.parametrize("is_restarted", [False, True])
    @pytest.mark.parametrize("subscribers", [64, 8])
    async def test_bindings_that_came_all_the_same_expire(
        self, subscribers: int, is_restarted: bool
    ) -> None:
        """I10, I13: 9th lines of a MAC, foreign lines and those beyond a full table come back after
        L + Q, also when the agent was restarted meanwhile."""
        town = await Town(size=40, subscribers=subscribers).begin()
        lines = [*(f"access0:{vlan}" for vlan in range(1, 13)), "access9"]
        for number, line in enumerate(lines):
            town.commands.append(
                RequestLease(
                    req=f"r{number}",
                    mac=mac_of(1),
                    line=line,
                    ip=Ipv4(FIRST + number),
                    kind="selecting",
                )
            )
        await town.settle()
        assert len(await town.events(LeaseAssigned)) == 13
        if is_restarted:
            town.restart_edge()
            if town.edge.may_lack:
                ledger, end = await replay(town.log, GENESIS)
                reconcile(town.edge.projection, ledger, town.ns)
                town.edge.record.adopt(end)
            town.edge.set_following(Following.LIVE)
        await town.wait(2 * 3600 + 600)

        assert len(await town.events(LeaseExpired)) == 13
        assert len(await town.events(AddressFreed)) == 13


class TestHorizon:
    async def test_without_a_horizon_there_is_silence(self, town: Town) -> None:
        """Cut off beyond H nobody is answered, neither holder nor newcomer, and nobody hears
        NAK."""
        ip = await town.lease(1)
        town.is_cut = True
        await town.wait(14_400, beats=False)

        assert await town.send(renewing(1, ip)) == []
        assert await town.send(discover(2)) == []
        assert await town.send(init_reboot(1, Ipv4(ip + 1))) == []

    async def test_grants_shrink_with_the_horizon(self, town: Town) -> None:
        """I6: near the end of E a renewal is told no more than what is left of it."""
        ip = await town.lease(1)
        town.is_cut = True
        await town.wait(12_000, beats=False)
        [ack] = await town.send(renewing(1, ip))

        assert 120 <= ack.lease_s <= 14_400 - 12_000

    async def test_a_partition_shorter_than_the_horizon_harms_no_holder(self, town: Town) -> None:
        """Afterwards the horizon is renewed, the log caught up and newcomers are served."""
        ip = await town.lease(1)
        town.is_cut = True
        for _ in range(6):
            await town.wait(1500, beats=False)
            assert [r.kind for r in await town.send(renewing(1, ip))] == [MessageType.ACK]
        assert await town.send(discover(2)) == []
        town.commands.clear()
        town.is_cut = False
        await town.wait(4)

        assert [r.lease_s for r in await town.send(renewing(1, ip))] == [3600]
        assert await town.lease(2)
        assert await town.events(LeaseExpired) == []

    async def test_an_answer_that_comes_after_the_horizon_is_not_sent(self, town: Town) -> None:
        """An OFFER or ACK is judged when it is sent, not when it was asked for."""
        town.is_cut = True
        town.edge.receive(discover(1).octets, 7, town.now)
        town.ns += 14_400 * SECOND
        town.edge.touch(town.now)
        town.is_cut = False
        await town.settle()

        assert town.frames == []


class TestRestarts:
    async def test_a_restarted_agent_goes_on(self, town: Town) -> None:
        """Same tables, same incarnation, same horizon; it resumes behind the cursor."""
        ip = await town.lease(1)
        before = town.edge.record.position(), town.edge.record.state.life
        town.restart_edge()
        assert (town.edge.record.position(), town.edge.record.state.life) == before
        town.is_cut = True

        assert [r.kind for r in await town.send(renewing(1, ip))] == [MessageType.ACK]

    async def test_an_agent_that_died_within_a_batch_closes_the_gate(self, town: Town) -> None:
        """Torn tables answer nobody until the log is caught up."""
        ip = await town.lease(1)
        state = town.datapath.state()
        state.cursor_hi += 1
        town.restart_edge()

        assert await town.send(renewing(1, ip)) == []
        town.edge.set_following(Following.LIVE)
        assert [r.kind for r in await town.send(renewing(1, ip))] == [MessageType.ACK]

    async def test_tables_of_other_interfaces_answer_nobody_until_rebuilt(self, town: Town) -> None:
        """I8: when numbers of interfaces changed, no entry is believed, not even after a second
        restart, until the tables were made anew."""
        ip = await town.lease(1)
        swapped = {"access0": 8, "access1": 7}
        for _ in range(2):
            town.restart_edge(swapped)
            assert town.edge.record.needs_rebuild
            town.edge.set_following(Following.LIVE)
            assert await town.send(renewing(1, ip)) == []
            assert await town.send(renewing(1, ip), ifindex=8) == []
        ledger, end = await replay(town.log, GENESIS)
        reconcile(town.edge.projection, ledger, NOW_NS)
        town.edge.record.adopt(end)
        town.edge.set_following(Following.LIVE)
        town.edge.touch(town.now)

        assert [r.kind for r in await town.send(renewing(1, ip), ifindex=8)] == [MessageType.ACK]
        town.restart_edge(swapped)
        assert not town.edge.record.needs_rebuild

    async def test_a_lost_log_is_not_told_lines_by_other_interfaces_names(self, town: Town) -> None:
        """I1, I8: until they are rebuilt the tables name no line; whom the log lost is told as
        removed, so that the promise counts and nobody is bound on a line that is not his."""
        await town.lease(1)
        ledger, _ = await replay(town.log, GENESIS)
        town.restart_edge({"access0": 8, "access1": 7})
        [told] = town.edge.unknown_to(Ledger(), town.now)

        assert (told.state, told.line, told.remaining_s) == ("removed", "if7", SLEWED_HOUR_S)
        assert town.edge.unknown_to(ledger, town.now) == []

    async def test_a_grant_to_another_life_raises_nothing(self, town: Town) -> None:
        """A horizon that answers a heartbeat of a former process does not count."""
        town.is_cut = True
        town.commands.append(town.edge.heartbeat(town.now))
        left = town.edge.horizon.remaining_s(town.ns + 5000 * SECOND)
        town.ns += 5000 * SECOND
        town.restart_edge()
        town.is_cut = False
        await town.settle()

        assert len(await town.events(HorizonGranted)) == 2
        assert abs(town.edge.horizon.remaining_s(town.ns) - left) < 1

    async def test_another_lifes_horizon_ends_this_ones(self, town: Town) -> None:
        """I1: an edge that reads that another life of its site serves promises nothing more."""
        await town.lease(1)
        granted = HorizonGranted(
            edge="ams01-bng1", incarnation="00ff", nonce="theirs", horizon_s=14_400
        )
        seq = town.edge.record.state.cursor_lo + 1
        record = Record(seq=seq, commit_ms=1, epoch=1, by="a", h="0" * 16, event=granted)
        position = town.edge.record.position()
        assert position
        assert town.edge.horizon.remaining_s(town.ns)
        town.edge.apply([record], position.behind(record), town.now)

        assert town.edge.horizon.remaining_s(town.ns) == 0
        assert town.edge.datapath.state().horizon_boot_ns <= town.now.boot_ns

    async def test_promises_of_a_lost_table_hold_back_reuse(self) -> None:
        """I7: a rebooted router knows no promises; the address rests as long as one may stand."""
        town = await Town(size=1, timing=Timing(horizon_s=7200)).begin()
        ip = await town.lease(1)
        town.datapath = type(town.datapath)(64)
        for ifindex in (7, 8):
            town.datapath.put_port(ifindex, Port(mac_of(200 + ifindex)))
        town.restart_edge()
        town.edge.record.adopt(Position(GENESIS))
        town.answers_after = await town.log.last_answer_id()
        await town.beat()
        town.edge.set_following(Following.LIVE)
        await town.log.send(RevokeLease(req="x", ip=ip, cause="operator"), "operator:test")
        await town.settle()
        await town.tick()
        [acked] = await town.events(RemovalAcked)

        assert isinstance(acked, RemovalAcked)
        assert acked.remaining_s >= 7100

    async def test_a_lost_heartbeat_does_not_let_a_lost_table_speak(self) -> None:
        """I7: a rebooted router acknowledges nothing before the log knows its new life."""
        town = await Town(size=1, timing=Timing(horizon_s=7200)).begin()
        ip = await town.lease(1)
        town.datapath = type(town.datapath)(64)
        for ifindex in (7, 8):
            town.datapath.put_port(ifindex, Port(mac_of(200 + ifindex)))
        town.restart_edge()
        town.edge.record.adopt(Position(GENESIS))
        town.answers_after = await town.log.last_answer_id()
        town.edge.set_following(Following.LIVE)
        await town.log.send(RevokeLease(req="x", ip=ip, cause="operator"), "operator:test")
        await town.settle()
        await town.tick()
        assert await town.events(RemovalAcked) == []

        await town.beat()
        await town.settle()
        await town.tick()
        [acked] = await town.events(RemovalAcked)
        assert isinstance(acked, RemovalAcked)
        assert acked.remaining_s >= 7100


async def test_nothing_is_looked_up_of_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are asked where the kernel looks only about a MAC that was ever in them."""
    town = await Town().begin()
    ip = await town.lease(1)
    asked: list[int] = []
    look_up = town.datapath.lookup
    monkeypatch.setattr(town.datapath, "lookup", lambda key: asked.append(key) or look_up(key))
    offers = await town.send(discover(2))

    assert [offer.kind for offer in offers] == [MessageType.OFFER]
    assert asked == []

    await town.send(renewing(1, ip))
    assert asked
