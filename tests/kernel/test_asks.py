"""Who takes what the stock offered him: "Asks" of `docs/replies.md`."""

import select
from collections.abc import Callable, Iterator

import pytest

from edge_agent.datapath import abi
from edge_agent.datapath.dry_run import XDP_DROP, XDP_PASS
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.tables import Limit
from tests.asks import ask_in
from tests.kernel.lab import IFINDEX, Lab, forget_strangers, now_boot_ns
from tests.kernel.strangers import (
    ALONE,
    ASKING,
    FIRST,
    OFFERED,
    OTHER,
    STRANGER,
    Site,
    behind_relay,
)
from tests.packets import REQUEST, SERVER, Client, ip

RING_HOLDS = abi.ASKS_SIZE // (abi.ASK.size + 8)


@pytest.fixture
def site(lab: Lab) -> Iterator[Site]:
    """A port where strangers are offered the one address that there is."""
    lab.datapath.take_asks(RING_HOLDS)
    yield Site(lab)
    lab.datapath.take_asks(RING_HOLDS)
    forget_strangers(lab.datapath)


def taking(client: Client, address: int | None, server: int = SERVER) -> Client:
    """Who was offered an address wants it."""
    others = tuple(each for each in client.options if each[0] != 53)
    wish = (50, ip(address or 0)), (54, ip(server))
    return client.but(options=((53, bytes((REQUEST,))), *wish, *others))


def told(site: Site) -> list[Ask]:
    """What the agent is asked now."""
    return site.lab.datapath.take_asks(RING_HOLDS)


@pytest.mark.parametrize(("client", "arrange"), OFFERED.values(), ids=OFFERED)
def test_who_takes_his_offer_is_handed_over(
    site: Site, client: Client, arrange: Callable[[Site], object]
) -> None:
    """On every kind of port the agent is told what it would have read, and the frame ends here."""
    arrange(site)
    wanting = taking(client, site.offered(client))
    before = now_boot_ns()

    assert site.hear(wanting) == ("asked", XDP_DROP, wanting.frame())
    (ask,) = told(site)
    assert ask == ask_in(wanting.frame(), IFINDEX, site.twin, ask.at_boot_ns)
    assert before <= ask.at_boot_ns <= now_boot_ns()


def test_he_may_have_no_name(site: Site) -> None:
    """Option 12 may be missing, or empty, and is no other's of before."""
    nameless = ASKING.without_option(12)
    named = nameless.with_option(12, b"first")
    for client in (named, nameless, nameless.with_option(12, b"")):
        assert site.hear(taking(client, site.offered(client))).counter == "asked"

    assert [ask.host_name for ask in told(site)] == [b"first", b"", b""]


NOT_HANDED_OVER: dict[str, tuple[Client, Callable[[Site], object]]] = {
    "another address": (taking(ASKING, FIRST + 1), lambda _: None),
    "address 0": (taking(ASKING, 0), lambda _: None),
    "of no server": (taking(ASKING, FIRST).without_option(54), lambda _: None),
    "of another server": (taking(ASKING, FIRST, SERVER + 1), lambda _: None),
    "sent to another server": (taking(ASKING, FIRST).but(dst_ip=SERVER + 1), lambda _: None),
    "with an address in use": (taking(ASKING, FIRST).but(ciaddr=FIRST), lambda _: None),
    "without naming it": (taking(ASKING, FIRST).without_option(50), lambda _: None),
    "what another was offered": (taking(ASKING.but(mac=OTHER), FIRST), lambda _: None),
    "who was known meanwhile": (taking(ASKING, FIRST), lambda s: s.know(STRANGER)),
    "what is offered no more": (
        taking(ASKING, FIRST), lambda s: [each.stock.clear(0) for each in s.sides]
    ),
    "what another is offered now": (taking(ASKING, FIRST), lambda s: s.put(0)),
    "from no group": (taking(ASKING, FIRST), lambda s: s.use(0)),
    "where the port does not offer": (
        taking(ASKING, FIRST), lambda s: s.set_port(offers_stock=False)
    ),
    "while the log may say more": (taking(ASKING, FIRST), lambda s: s.set_state(current_s=0)),
    "through a relay": (taking(ASKING, FIRST).but(giaddr=1), behind_relay),
}  # fmt: skip


@pytest.mark.parametrize(("client", "arrange"), NOT_HANDED_OVER.values(), ids=NOT_HANDED_OVER)
def test_any_doubt_is_passed_up(
    site: Site, client: Client, arrange: Callable[[Site], object]
) -> None:
    """Whoever may want something else is left to the agent's own judgement (I9)."""
    assert site.offered(ASKING) == FIRST
    arrange(site)

    assert site.hear(client).action == XDP_PASS
    assert told(site) == []


@pytest.mark.parametrize(
    "client",
    [
        taking(ASKING, FIRST).but(bootp_len=abi.ASK_FRAME_MAX - 42 + 1),
        taking(ASKING, FIRST).but(trailer=bytes(abi.ASK_FRAME_MAX)),
        taking(ASKING, FIRST).with_option(12, b"in parts"),
    ],
    ids=["long", "padded", "a name in parts"],
)
def test_what_does_not_fit_is_passed_up(site: Site, client: Client) -> None:
    """The agent reads itself what has no place in the ring."""
    assert site.offered(ASKING) == FIRST
    assert site.lab.judge(client) == ("pass_unknown_client", XDP_PASS, client.frame())
    longest = taking(ASKING, FIRST).but(bootp_len=abi.ASK_FRAME_MAX - 42)
    assert site.hear(longest).counter == "asked"


def test_a_full_ring_is_no_loss(site: Site) -> None:
    """What finds no room is passed up, and there is room when the agent has taken some."""
    wanting = taking(ASKING, site.offered(ASKING))
    counters = [site.lab.judge(wanting).counter for _ in range(RING_HOLDS + 2)]

    assert set(counters[: RING_HOLDS - 1]) == {"asked"}
    assert counters[-1] == "pass_unknown_client"
    assert len(site.lab.datapath.take_asks(10)) == 10
    assert site.lab.judge(wanting).counter == "asked"


def test_the_agent_is_woken(site: Site) -> None:
    """The descriptor can be read from the first ask on until all are taken."""
    fd, wanting = site.lab.datapath.asks_fd, taking(ASKING, site.offered(ASKING))
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)  # type: ignore[arg-type]

    assert not waiting.poll(0)
    site.lab.judge(wanting)
    assert waiting.poll(1000)
    assert len(told(site)) == 1
    assert not waiting.poll(0)


def test_too_many_are_dropped(site: Site) -> None:
    """An ask takes a token of its line, as what is passed up does; without one nobody is asked."""
    alone = ASKING.but(tags=ALONE)
    wanting = taking(alone, site.offered(alone))
    site.set_port(line_limit=Limit(1, 2))
    counters = [site.lab.judge(wanting).counter for _ in range(3)]

    assert counters == ["asked", "asked", "drop_line_rate"]
    assert len(told(site)) == 2
