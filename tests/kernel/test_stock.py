"""What strangers are offered: "Stock" of `docs/replies.md`, by the program and by its twin."""

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from edge_agent.datapath import stock
from edge_agent.datapath.dry_run import XDP_PASS, DryRun
from edge_agent.dhcp.fastpath import judge
from edge_agent.dhcp.tables import Limit, Line, subscriber_key
from lease_core.domain.values import NO_IP, Mac
from tests.kernel.lab import BINDING, IFINDEX, Lab, forget_strangers, stock_octets
from tests.kernel.strangers import (
    ALONE,
    ASKING,
    EVERY_PLACE,
    FIRST,
    KEY,
    OFFERED,
    OTHER,
    STRANGER,
    Site,
    behind_relay,
)
from tests.packets import INFORM, RELAY, REQUEST, SERVER, Client, dhclient, ip, relayed


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """A port where strangers are offered the one address that there is."""
    yield Site(lab)
    forget_strangers(lab.datapath)


NOT_OFFERED: dict[str, tuple[Client, Callable[[Site], object]]] = {
    "who wishes an address": (ASKING.with_option(50, ip(FIRST)), lambda _: None),
    "who wishes address 0": (ASKING.with_option(50, ip(0)), lambda _: None),
    "who means a server": (ASKING.with_option(54, ip(SERVER)), lambda _: None),
    "a request": (dhclient(REQUEST, mac=STRANGER).but(ciaddr=FIRST), lambda _: None),
    "an inform": (dhclient(INFORM, mac=STRANGER).but(ciaddr=FIRST), lambda _: None),
    "who was known": (ASKING, lambda s: s.know(STRANGER)),
    "where the port does not offer": (ASKING, lambda s: s.set_port(offers_stock=False)),
    "while the log may say more": (ASKING, lambda s: s.set_state(current_s=0)),
    "from no stock": (ASKING, lambda s: s.put(0, until_s=-1)),
    "from an address that was taken out": (ASKING, lambda s: [d.stock.clear(0) for d in s.sides]),
    "from no group": (ASKING, lambda s: s.use(0)),
    "from more groups than there are": (
        ASKING,
        lambda s: (s.use(stock.GROUPS + 1), [s.put(index) for index in range(stock.SIZE)]),
    ),
    "from groups beyond all numbers": (ASKING, lambda s: s.use(1 << 40)),
    "what another was offered": (ASKING, lambda s: s.hear(ASKING.but(mac=OTHER))),
    "what is for a relay's": (ASKING, lambda s: s.put(0, RELAY)),
    "what is for clients themselves": (relayed(ASKING), lambda s: behind_relay(s, NO_IP)),
    "what is for another relay's": (relayed(ASKING), lambda s: behind_relay(s, RELAY + 1)),
}


@pytest.mark.parametrize(("client", "arrange"), OFFERED.values(), ids=OFFERED)
def test_a_stranger_is_offered(
    site: Site, client: Client, arrange: Callable[[Site], object]
) -> None:
    """On every kind of port a stranger gets the address that is there, and again if he repeats."""
    arrange(site)
    offered = site.offered(client)

    assert offered in {FIRST + index for index in EVERY_PLACE}
    assert site.offered(client.but(xid=99)) == offered
    assert sum(site.twin.stock.owner(index) != 0 for index in EVERY_PLACE) == 1


@pytest.mark.parametrize(("client", "arrange"), NOT_OFFERED.values(), ids=NOT_OFFERED)
def test_whoever_may_have_another_is_not(
    site: Site, client: Client, arrange: Callable[[Site], object]
) -> None:
    """Any doubt leaves a client to the allocator, and nothing is taken for him (I9)."""
    arrange(site)
    before = stock_octets(site.twin).tobytes()

    assert site.offered(client) is None
    assert stock_octets(site.twin) == before


def test_no_two_are_offered_the_same(site: Site) -> None:
    """Each of a group's addresses goes to one stranger; the next one is left to the allocator."""
    for index in EVERY_PLACE:
        site.put(index)
    clients = [ASKING.but(mac=STRANGER + number) for number in range(len(EVERY_PLACE) + 1)]
    offered = [site.offered(client) for client in clients]

    assert sorted(each or 0 for each in offered[:-1]) == [FIRST + index for index in EVERY_PLACE]
    assert offered[-1] is None
    assert [site.offered(client) for client in clients] == offered


def test_an_address_that_comes_anew_is_for_anybody(site: Site) -> None:
    """The agent may give a place another address: its former owner has none then."""
    assert site.offered(ASKING) == FIRST
    assert site.offered(ASKING.but(mac=OTHER)) is None
    site.put(0)

    assert site.offered(ASKING.but(mac=OTHER)) == FIRST
    assert site.offered(ASKING) is None


def test_an_offer_ends_with_its_time(site: Site) -> None:
    """His own address is offered again only until its time has come."""
    assert site.offered(ASKING) == FIRST
    for side in site.sides:
        side.stock._words[1] = site.now

    assert site.offered(ASKING) is None


@pytest.mark.parametrize("groups", [2, 7, stock.GROUPS])
def test_a_group_is_chosen_by_the_key(site: Site, groups: int) -> None:
    """Program and twin look into the group that the key says, and into no other."""
    site.put(0, until_s=-1)
    site.use(groups)
    for number in range(20):
        mac = Mac(STRANGER + number)
        place = stock._group_of(subscriber_key(mac), groups).start
        site.put(place)
        assert site.offered(ASKING.but(mac=mac)) == FIRST + place
        assert site.lab.datapath.stock.owner(place) == subscriber_key(mac)


def test_whoever_is_bound_elsewhere_is_no_stranger(site: Site) -> None:
    """A client that has an address on another line, or a value that is in doubt, is not offered
    any (I8, I9)."""
    for side in site.sides:
        side.put(KEY, replace(BINDING, line=Line(IFINDEX, 9)))
    assert site.hear(ASKING).counter == "pass_other_line"
    for side in site.sides:
        side.put(KEY, replace(BINDING, check_ok=False))
    assert site.hear(ASKING).counter == "pass_check_word"
    assert site.twin.stock.owner(0) == 0


def test_what_a_later_rule_passes_keeps_its_address(site: Site) -> None:
    """Where no reply follows, the frame is left as it came, and the address is still his."""
    site.put(0, pool=99)

    assert site.hear(ASKING).counter == "pass_unknown_pool"
    assert site.twin.stock.owner(0) == KEY
    assert site.offered(ASKING.but(mac=OTHER)) is None


def test_counting_what_is_passed_takes_nothing(site: Site) -> None:
    """Whoever is left to the agent under a limit takes no address by being told from the bound."""
    site.set_port(line_limit=Limit(1000, 1000), mac_limit=Limit(1000, 1000))

    assert site.offered(ASKING.but(tags=ALONE).with_option(50, ip(FIRST))) is None
    assert site.twin.stock.owner(0) == site.lab.datapath.stock.owner(0) == 0


def test_the_agent_takes_nothing_from_the_kernels_stock(site: Site) -> None:
    """The agent's own judgement of a stranger on the kernel's tables is the allocator's."""
    kernel = site.lab.datapath

    assert judge(ASKING.frame(), IFINDEX, kernel, site.now).counter == "pass_unknown_client"
    assert kernel.stock.owner(0) == 0


def test_of_those_who_ask_at_once_each_has_his_own(site: Site) -> None:
    """On two processors at the same time no address is offered to two (compare-and-swap)."""
    for index in range(64):
        site.put(index)
    site.use(16)
    kernel, told = site.lab.datapath, [set[tuple[int, int]]() for _ in range(2)]

    def ask(mine: set[tuple[int, int]], seed: int) -> None:
        pick, run = random.Random(seed), DryRun(kernel._program)
        for _ in range(3000):
            mac = STRANGER + pick.randrange(100)
            action, frame, _ = run(ASKING.but(mac=mac).frame(), IFINDEX)
            if action != XDP_PASS:
                mine.add((mac, int.from_bytes(frame[58:62])))

    askers = [threading.Thread(target=ask, args=each) for each in zip(told, (1, 2), strict=True)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    both = told[0] | told[1]

    assert len(both) > 40
    assert len({mac for mac, _ in both}) == len({ip for _, ip in both}) == len(both)
