"""The allocator of one site: commands in, a draft out, whatever the commands are."""

import random
from dataclasses import fields, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from lease_core.domain import commands
from lease_core.domain.commands import (
    AckRemoval,
    Command,
    ConfirmSnapshot,
    DeclineAddress,
    EndRecovery,
    Heartbeat,
    Offered,
    Refused,
    ReleaseLease,
    ReportBinding,
    ReportExpiry,
    ReportLoss,
    RequestLease,
    RequestOffer,
    RequestStock,
    RevokeLease,
    Sent,
    StartRecovery,
)
from lease_core.domain.decide import Decision
from lease_core.domain.desk import SECOND, Timing
from lease_core.domain.events import (
    AddressFreed,
    EpochStarted,
    HorizonGranted,
    LeaseAssigned,
    LeaseRevoked,
    OptionsPlanned,
    PoolAdded,
    PoolOptionsSet,
    RemovalAcked,
)
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.port import ZERO_HASH, ZERO_ID, Head, Unreadable
from lease_core.log.writer import build
from lease_core.service import site_allocator
from lease_core.service.border import fault_of
from lease_core.service.site_allocator import Draft, SiteAllocator
from tests.unit.service.logs import FIRST, beat, prefix, request

NOW = 1000 * SECOND
HEAD = Head(
    genesis="0c" * 16,
    epoch=1,
    seq=0,
    h=ZERO_HASH,
    last_id=ZERO_ID,
    batch="",
    cursor=ZERO_ID,
    owner="",
)
OFFER = RequestOffer(req="r1", mac=Mac(1), line="access0", host="tv")


def site(size: int = 10) -> SiteAllocator:
    made = SiteAllocator("ams01", Ledger(), Timing(), 1, NOW)
    made.begin("first-start", NOW)
    made.plan([prefix(size=size)], NOW)
    return made


def options(text: str, pool: str = "res-1") -> OptionsPlanned:
    return OptionsPlanned(site="ams01", pool=pool, cause="test", dns="", options=text)


def sent(*wanted: Command) -> list[Sent | Unreadable]:
    return [Sent(entry_id=f"7-{n}", by=sender(c), command=c) for n, c in enumerate(wanted, 1)]


def sender(command: Command) -> str:
    return "operator:test" if isinstance(command, RevokeLease) else "bng1"


def do(allocator: SiteAllocator, *wanted: Command, now_ns: int = NOW) -> Draft:
    return allocator.handle(sent(*wanted), now_ns)


def writes(draft: Draft) -> None:
    """The draft can be written: what is decided is never refused by the wire format."""
    build(HEAD, draft.events, by="a", epoch=1, commit_ms=1, batch_id="b", answers=draft.answers)


class TestDrafts:
    def test_a_draft_holds_events_answers_and_the_cursor(self) -> None:
        """Whatever becomes of commands, the cursor stands behind the last of them."""
        draft = do(site(), OFFER, request(2), request(3, Ipv4(7)), beat())

        assert [type(event) for event in draft.events] == [LeaseAssigned, HorizonGranted]
        assert [type(answer) for answer in draft.answers] == [Offered, Refused]
        assert draft.cursor == "7-4"

    def test_nothing_is_no_draft(self) -> None:
        """Without commands or passing time there is nothing to append."""
        allocator = site()

        assert not allocator.handle([], NOW)
        assert not allocator.pass_time(NOW)
        assert not allocator.plan([prefix()], NOW), "known already"

    def test_begin_and_plan(self) -> None:
        """An epoch begins with its event; pools are numbered in their order."""
        allocator = SiteAllocator("ams01", Ledger(), Timing(), 1, NOW)
        begun = allocator.begin("takeover", NOW)
        planned = allocator.plan([prefix("one"), prefix("two", number=1)], NOW)

        assert begun.events == [EpochStarted(cause="takeover")]
        assert [(e.pool, e.number) for e in planned.events if isinstance(e, PoolAdded)] == [
            ("one", 1),
            ("two", 2),
        ]

    def test_options_of_the_plan_are_set_once(self) -> None:
        """What the plan said last stands, whoever reads the plan again from its beginning."""
        allocator = site()
        first = allocator.set_options(options("mtu=1400"), 7, NOW)
        second = allocator.set_options(options("mtu=1500"), 9, NOW)

        [told, _] = first.events + second.events
        assert isinstance(told, PoolOptionsSet)
        assert (told.pool, told.options, told.plan_seq) == ("res-1", "mtu=1400", 7)
        assert not allocator.set_options(options("mtu=1400"), 7, NOW)
        assert not allocator.set_options(options("mtu=1500"), 9, NOW)
        assert not allocator.set_options(options("mtu=1500", pool="ghost"), 10, NOW)
        assert allocator.ledger.pools["res-1"].options == "mtu=1500"
        assert allocator.ledger.is_on_link("res-1", FIRST)

    def test_time_alone_frees(self) -> None:
        """A quarantine that is over comes out of `pass_time`."""
        allocator = site()
        do(allocator, beat(), request(1))
        [revoked] = do(allocator, RevokeLease(req="x", ip=Ipv4(FIRST + 1), cause="op")).events
        assert isinstance(revoked, LeaseRevoked)
        ack = AckRemoval(
            req="a", ip=revoked.ip, ref=allocator.ledger.seq, remaining_s=10, incarnation="a"
        )
        [acked] = do(allocator, ack).events
        assert isinstance(acked, RemovalAcked)
        freed = allocator.pass_time(NOW + 131 * SECOND).events

        assert [type(event) for event in freed] == [AddressFreed]


class TestBorder:
    @pytest.mark.parametrize(
        "command",
        [
            replace(OFFER, line="access0\nforged"),
            replace(OFFER, line=""),
            replace(OFFER, line="x" * 161),
            replace(OFFER, host="tv\x1b[2J"),
            replace(OFFER, host="x" * 65),
            replace(OFFER, host="é"),
            replace(OFFER, req=""),
            replace(OFFER, req="a b"),
            replace(OFFER, mac=Mac(0)),
            replace(OFFER, mac=Mac(0xFFFFFFFFFFFF)),
            RequestLease(req="r", mac=Mac(1), line="l", ip=FIRST, kind="stealing"),
            AckRemoval(req="a", ip=FIRST, ref=1, remaining_s=10**18 - 1, incarnation="a"),
            AckRemoval(req="a\n", ip=FIRST, ref=1, remaining_s=1, incarnation="a"),
            RevokeLease(req="r", ip=FIRST, cause=""),
            RevokeLease(req="r", ip=FIRST, cause="\x1b]0;owned\x07"),
            Heartbeat(edge="BNG 1", incarnation="a", nonce="n", applied=0),
            Heartbeat(edge="bng1", incarnation="a\0", nonce="n", applied=0),
            Heartbeat(edge="bng1", incarnation="a", nonce="n" * 65, applied=0),
            ReleaseLease(req="r", mac=Mac(1), line="\u2028", ip=FIRST),
            ReportExpiry(req="r", mac=Mac(1), line="a b", ip=FIRST, ref=1, incarnation="a"),
            DeclineAddress(req="r", mac=Mac(1 << 40), line="a", ip=FIRST),
        ],
    )  # fmt: skip
    def test_what_no_edge_of_ours_says_is_refused(self, command: Command) -> None:
        """A malformed command changes nothing, is counted, and those behind it are decided."""
        allocator = site()
        draft = do(allocator, command, request(2))

        assert fault_of(command)
        assert [type(event) for event in draft.events] == [LeaseAssigned]
        assert allocator.refusals == {"malformed": 1}

    @pytest.mark.parametrize(
        "command",
        [
            OFFER,
            replace(OFFER, host=""),
            request(1),
            beat(),
            AckRemoval(req="ack-7", ip=FIRST, ref=7, remaining_s=604_800, incarnation="a"),
            RevokeLease(req="ab12", ip=FIRST, cause="abuse, case 17:anna"),
            ReleaseLease(req="r", mac=Mac(1), line="access0:100.200", ip=FIRST),
        ],
    )
    def test_what_our_edges_say_is_decided(self, command: Command) -> None:
        """The border lets pass what edges and operators send."""
        assert fault_of(command) == ""

    def test_who_may_not_speak_changes_nothing_and_is_counted(self) -> None:
        """I7: an acknowledgement of another life than the present one frees no address."""
        allocator = site()
        do(allocator, beat(), request(1))
        do(allocator, RevokeLease(req="x", ip=Ipv4(FIRST + 1), cause="op"))
        ref = allocator.ledger.seq
        old = AckRemoval(req="a", ip=Ipv4(FIRST + 1), ref=ref, remaining_s=0, incarnation="older")

        assert do(allocator, old).events == []
        assert allocator.refusals == {"other-life": 1}

    def test_an_unreadable_command_is_counted(self) -> None:
        """What cannot be read moves the cursor and nothing else."""
        allocator = site()
        draft = allocator.handle([Unreadable(entry_id="9-9", by="?", reason="no version")], NOW)

        assert (draft.cursor, draft.events, draft.answers) == ("9-9", [], [])
        assert allocator.refusals == {"unreadable": 1}

    def test_no_command_keeps_the_others_from_being_decided(self) -> None:
        """Thousands of hostile commands of every kind: no exception, every draft can be
        written."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance, allocator = random.Random(seed), site(size=30)
        for _ in range(150):
            batch = [_hostile(chance, allocator) for _ in range(20)]
            draft = do(allocator, *batch, now_ns=NOW + chance.randrange(10**6) * SECOND)
            writes(draft)
            assert draft.cursor == "7-20"

    def test_a_decision_against_the_ledger_is_skipped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Were there ever a command that we decide wrongly, the site would not stop for it."""
        allocator = site()
        before = allocator.ledger.digest()
        wrong = AddressFreed(mac=Mac(1), ip=FIRST, pool="res-1", line="l", cause="bug")
        with monkeypatch.context() as patch, capture_logs() as lines:
            patch.setattr(site_allocator, "decide", lambda *_: Decision((wrong,)))
            draft = do(allocator, OFFER)

        assert draft.events == []
        assert allocator.ledger.digest() == before
        assert [x["log_level"] for x in lines if x["event"] == "command.contradicts"] == [
            "critical"
        ]


KINDS = (
    RequestOffer, RequestLease, RequestStock, ReleaseLease, DeclineAddress, ReportExpiry,
    AckRemoval, RevokeLease, Heartbeat, ConfirmSnapshot, ReportLoss, ReportBinding, StartRecovery,
    EndRecovery,
)  # fmt: skip
NUMBERS = {"count", "ref", "remaining_s", "applied", "covers", "epoch"}
GOOD = {
    "line": "access0",
    "edge": "bng1",
    "kind": "selecting",
    "host": "tv",
    "state": "bound",
}
TEXTS = (
    "access0",
    "r",
    "a",
    "bng1",
    "selecting",
    "init-reboot",
    "\n",
    "",
    "x" * 200,
    "\x1b",
    "é",
    "\udcff",
)


def _hostile(chance: random.Random, allocator: SiteAllocator) -> Command:
    """Some command with values that are near to real ones, or far from them."""
    kind = chance.choice(KINDS)
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name == "mac":
            values["mac"] = Mac(chance.choice((0, 1, 2, 3, 4, (1 << 48) - 1)))
        elif field.name in {"ip", "wanted", "link"}:
            values[field.name] = Ipv4(chance.choice((0, FIRST, FIRST + 1, FIRST + 2, 2**32 - 1)))
        elif field.type is int or field.name in NUMBERS:
            values[field.name] = chance.choice((0, 1, allocator.ledger.seq, 604_800, 10**18 - 1))
        else:
            usual = GOOD.get(field.name, "a")
            values[field.name] = usual if chance.random() < 0.9 else chance.choice(TEXTS)
    return kind(**values)


def test_every_kind_of_command_is_tried() -> None:
    """The hostile commands above are of every kind there is."""
    assert set(KINDS) == set(commands.Command.__args__)
