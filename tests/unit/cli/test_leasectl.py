"""leasectl from the outside: what it prints, how it ends, and what it refuses."""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lease_core.cli import common
from lease_core.cli.main import main
from lease_core.domain.commands import EndRecovery, RevokeLease, Sent, StartRecovery
from lease_core.domain.dhcp_options import MAX_OCTETS
from lease_core.domain.events import EpochStarted, LeaseAssigned
from lease_core.domain.values import Mac
from lease_core.log.keys import PLAN
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.writer import build
from tests.forging import forge
from tests.site import FIRST, Site

NEW_POOL = ("pool", "add", "ams01/new", "100.70.0.0/24")
MANY = [word for code in range(200, 233) for word in ("--option", f"{code}=hex:00")]
HALF = (MAX_OCTETS - 15) // 2
LONG = f"43=hex:{'00' * HALF}; 125=hex:{'00' * (MAX_OCTETS - 15 - HALF)}"
"""One octet too much beside mask and router."""
MINUTE = 60_000
T0 = 1_763_800_000_000
ISO = "2025-11-22T08:26:41+00:00"
"""T0 and a second."""


class Leasectl:
    """Runs commands against logs in memory."""

    def __init__(self, server: MemoryServer, directory: Path) -> None:
        self.server = server
        self._env = {"LEASE_HISTORY": str(directory / "state" / "history.sqlite")}
        self._runner = CliRunner(env=self._env)

    def __call__(self, *words: str, code: int = 0) -> Result:
        """Run; the exit code is checked, and that no error got through unsaid."""
        result = self._runner.invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), words
        assert result.exit_code == code, result.output
        return result

    def rows(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run with --json: one object a line and nothing else."""
        return [json.loads(line) for line in self(*words, "--json", code=code).stdout.splitlines()]

    def log(self, site: str = "ams01") -> MemoryLog:
        return MemoryLog(site, self.server)

    def do(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return asyncio.run(work())


@pytest.fixture
def clock() -> list[int]:
    """The time, which goes on by 2 ms whenever somebody looks."""
    return [T0]


@pytest.fixture
def leasectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: list[int]) -> Leasectl:
    server = MemoryServer(now_ms=lambda: clock.__setitem__(0, clock[0] + 2) or clock[0])  # type: ignore[func-returns-value]
    monkeypatch.setattr(common, "connect", lambda _, site: MemoryLog(site, server))
    return Leasectl(server, tmp_path)


def write(leasectl: Leasectl, events: list[Any], site: str = "ams01") -> None:
    """Append to a site's log at the time of the clock."""

    async def work() -> None:
        log = leasectl.log(site)
        head = await log.head()
        assert head
        await log.claim("allocator", 10**12, head.genesis)
        head = await log.head()
        assert head
        batch = build(
            head,
            events,
            by="allocator",
            epoch=head.epoch,
            commit_ms=leasectl.server.now_ms(),
            batch_id=secrets.token_hex(4),
        )
        await log.append(batch)

    leasectl.do(work)


@pytest.fixture
def told(leasectl: Leasectl, clock: list[int]) -> Site:
    """Site ams01: MAC 1 from minute 0 to 10, MAC 2 from minute 20; MAC 3 holds another."""
    leasectl("site", "add", "ams01")
    site, done = Site(size=2), 0
    for minute in (0, 10, 20):
        clock[0] = T0 + minute * MINUTE
        if minute == 0:
            site.lease(1)
            site.lease(3)
        elif minute == 10:
            site.do(RevokeLease(req="x", ip=FIRST, cause="operator"))
            site.ack(FIRST, remaining_s=60)
            site.wait(500)
        else:
            site.lease(2)
        write(leasectl, site.log[done:])
        done = len(site.log)
    return site


class TestPlan:
    def test_sites_are_added_and_listed(self, leasectl: Leasectl) -> None:
        """What was added is shown; the log of the site is there with the plan's genesis."""
        added = leasectl("site", "add", "ams01")
        leasectl("site", "add", "fra01", "--horizon", "7200", "--reuse-guard", "60")
        rows = leasectl.rows("site", "list")
        head = leasectl.do(leasectl.log("ams01").head)

        assert "leasectl pool add ams01/" in added.stdout
        assert [(r["site"], r["horizon_s"], r["reuse_guard_s"]) for r in rows] == [
            ("ams01", 14_400, 120),
            ("fra01", 7200, 60),
        ]
        assert head.genesis == rows[0]["genesis"]
        assert leasectl("site", "list").stdout.splitlines()[0].startswith("SITE")

    def test_an_empty_plan_is_empty(self, leasectl: Leasectl) -> None:
        """Before the first site there is nothing to show, and that is no error."""
        assert leasectl.rows("site", "list") == []
        assert leasectl.rows("pool", "list") == []

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("site", "add", "ams01"), "exists already"),
            (("site", "add", "Ams 01"), "is no name"),
            (("site", "add", "plan"), "plan log itself"),
            (("site", "add", "x", "--horizon", "5"), "5 is not in the range"),
            (("pool", "add", "ams01/new", "100.64.0.0/25"), "overlaps 100.64.0.0/24"),
            (("pool", "add", "ams01/res-1", "100.70.0.0/24"), "exists already"),
            (("pool", "add", "fra01/res-1", "100.70.0.0/24"), "leasectl site add fra01"),
            (("pool", "add", "ams01", "100.70.0.0/24"), "is no name"),
            (("pool", "add", "ams01/new", "100.70.0.0"), "use /8 to /29"),
            (("pool", "add", "ams01/new", "nonsense"), "is no prefix"),
            (("pool", "add", "ams01/new", "100.70.0.0/24", "--gateway", "1.2.3.4"), "the first or"),
            (("pool", "add", "ams01/new", "100.70.0.0/24", "--dns", "x"), "is no IPv4 address"),
            ((*NEW_POOL, "--option", LONG), f"at most {MAX_OCTETS} are sent"),
            ((*NEW_POOL, "--option", "53=hex:01"), "the service's own"),
            ((*NEW_POOL, "--option", "mtu"), "write mtu=VALUE"),
            ((*NEW_POOL, "--dns", "9.9.9.9", "--option", "6=9.9.9.9"), "named twice"),
            ((*NEW_POOL, "--dns", ",".join(["9.9.9.9"] * 55)), "mask, routers and dns take 234"),
            ((*NEW_POOL, *MANY), "33 own options; at most 32"),
            (("pool", "set", "ams01/new", "--option", "mtu=1500"), "no pool ams01/new"),
            (("pool", "set", "ams01/res-1"), "nothing to change"),
            (("pool", "set", "ams01/res-1", "--unset", "mtu"), "option mtu of ams01/res-1 is not"),
            (("pool", "set", "ams01/res-1", "--unset", "x"), "is no option"),
            (("pool", "set", "ams01/res-1", "--option", LONG), "shorten or unset one"),
            (("pool", "add", "ams01/new", "100.70.0.0/24", "--lease-time", "7201"), "half of"),
        ],
    )  # fmt: skip
    def test_a_refusal_is_a_sentence_and_changes_nothing(
        self, leasectl: Leasectl, words: tuple[str, ...], said: str
    ) -> None:
        """Exit code 2, the reason on standard error, the plan as it was."""
        leasectl("site", "add", "ams01")
        leasectl("pool", "add", "ams01/res-1", "100.64.0.0/24")
        before = leasectl.rows("pool", "list"), leasectl.rows("site", "list")
        refused = leasectl(*words, code=common.EXIT_USAGE)

        assert said in refused.stderr
        assert refused.stdout == ""
        assert (leasectl.rows("pool", "list"), leasectl.rows("site", "list")) == before

    def test_pools_are_added_and_listed(self, leasectl: Leasectl) -> None:
        """A pool says its range; the gateway is the first address unless told."""
        leasectl("site", "add", "ams01")
        added = leasectl("pool", "add", "ams01/res-1", "100.64.0.0/24")
        leasectl("pool", "add", "ams01/res-2", "100.65.0.0/24", "--gateway", "100.65.0.254")
        first, second = leasectl.rows("pool", "list")

        assert "253 addresses, gateway 100.64.0.1" in added.stdout
        assert (first["first"], first["last"]) == ("100.64.0.2", "100.64.0.254")
        assert (second["first"], second["last"]) == ("100.65.0.1", "100.65.0.253")

    def test_options_of_a_pool_are_told_and_changed(self, leasectl: Leasectl) -> None:
        """What is named changes, what is not stays; DNS servers are an option like others."""
        leasectl("site", "add", "ams01")
        words = ("--dns", "9.9.9.9", "--dns", "1.1.1.1", "--option", "mtu=1500")
        leasectl("pool", "add", "ams01/res-1", "100.64.0.0/24", *words)
        [added] = leasectl.rows("pool", "list")
        leasectl(
            *("pool", "set", "ams01/res-1", "--option", "43=hex:0104", "--unset", "26"),
            *("--option", "121=10.0.0.0/8 via 100.64.0.1", "--option", "dns=192.0.2.53"),
        )
        [changed] = leasectl.rows("pool", "list")
        leasectl("pool", "set", "ams01/res-1", "--unset", "dns")
        [without] = leasectl.rows("pool", "list")

        assert added["options"] == "dns=9.9.9.9,1.1.1.1; mtu=1500"
        assert changed["options"] == (
            "dns=192.0.2.53; 43=hex:0104; routes=10.0.0.0/8 via 100.64.0.1"
        )
        assert without["options"] == "43=hex:0104; routes=10.0.0.0/8 via 100.64.0.1"

    def test_the_plan_says_who_changed_it(
        self, leasectl: Leasectl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`by` is the operator, by number where the user has no name."""

        def nameless() -> str:
            raise KeyError("getpwuid(): uid not found")

        monkeypatch.setattr("getpass.getuser", lambda: "anna")
        leasectl("site", "add", "ams01")
        monkeypatch.setattr("getpass.getuser", nameless)
        leasectl("site", "add", "fra01")
        one, two = leasectl.do(lambda: leasectl.log(PLAN).read("0-0"))

        assert one.by == "operator:anna"
        assert two.by.removeprefix("operator:").isdigit()


class TestLeases:
    def test_leases_are_listed_and_found(self, leasectl: Leasectl, told: Site) -> None:
        """Everything that is not free, by address, MAC or line."""
        rows = leasectl.rows("lease", "list", "ams01")
        found = leasectl.rows("lease", "show", "ams01", "00:00:00:03")

        assert {(r["ip"], r["mac"], r["state"]) for r in rows} == {
            ("100.64.0.2", "00:00:00:00:00:02", "bound"),
            ("100.64.0.3", "00:00:00:00:00:03", "bound"),
        }
        assert [r["ip"] for r in found] == ["100.64.0.3"]
        assert leasectl("lease", "list", "ams01").stdout.splitlines()[0].startswith("IP ")

    def test_nothing_found_is_exit_code_1(self, leasectl: Leasectl, told: Site) -> None:
        """A script can tell an absent lease from a failure."""
        assert "matches" in leasectl("lease", "show", "ams01", "10.9", code=1).stderr

    def test_removals_are_shown_with_their_state(self, leasectl: Leasectl, told: Site) -> None:
        """An address that rests says what it waits for."""
        told.do(RevokeLease(req="x", ip=FIRST, cause="operator"))
        write(leasectl, told.log[-1:])
        [row] = leasectl.rows("lease", "show", "ams01", "100.64.0.2")

        assert row["state"] == "awaiting the edge"

    def test_an_operator_revokes(self, leasectl: Leasectl, told: Site) -> None:
        """The wish is queued for the allocator with its cause and its operator."""
        asked = leasectl("lease", "revoke", "ams01", "100.64.0.2", "--cause", "abuse case 17")
        [sent] = leasectl.do(lambda: leasectl.log().commands("0-0"))

        assert "leasectl events tail ams01" in asked.stdout
        assert isinstance(sent, Sent)
        assert isinstance(sent.command, RevokeLease)
        assert sent.command.ip == FIRST
        assert sent.command.cause.startswith("abuse case 17:")
        assert sent.by.startswith("operator:")

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("ams01", "100.64.0.99"), 1, "nobody holds"),
            (("ams01", "nonsense"), 2, "is no IPv4 address"),
            (("ams01", "100.64.0.2", "--cause", "\x1b[2J"), 2, "is no cause"),
            (("ams01", "100.64.0.2", "--cause", "x" * 200), 2, "is no cause"),
            (("fra01", "100.64.0.2"), 65, "no log of site fra01"),
        ],
    )
    def test_a_revoke_in_vain_says_so(
        self, leasectl: Leasectl, told: Site, words: tuple[str, ...], code: int, said: str
    ) -> None:
        """Nothing is queued for an address nobody holds, a site that is not, or a forged cause."""
        refused = leasectl("lease", "revoke", *words, code=code)

        assert said in refused.stderr
        assert leasectl.do(lambda: leasectl.log().commands("0-0")) == []
        assert "fra01" not in {name for name, s in leasectl.server.sites.items() if s.commands.ids}


class TestHistory:
    @pytest.mark.parametrize(
        ("minute", "mac"),
        [(0, "00:00:00:00:00:01"), (9, "00:00:00:00:00:01"), (21, "00:00:00:00:00:02")],
    )
    def test_who_held_an_address(
        self, leasectl: Leasectl, told: Site, minute: int, mac: str
    ) -> None:
        """One holder, the events that prove it, and the neighbours in time."""
        at = f"2025-11-22T{8 + (26 + minute) // 60:02}:{(26 + minute) % 60:02}:41Z"
        answer = leasectl("who", "100.64.0.2", "--at", at)
        [row] = leasectl.rows("who", "100.64.0.2", "--at", at)

        assert row["mac"] == mac
        assert f"{mac}   line ams01/access0" in answer.stdout
        assert f"evidence  events {row['from_id']}" in answer.stdout
        assert ("before    00:00:00:00:00:01" in answer.stdout) == (minute > 10)
        assert ("after     00:00:00:00:00:02" in answer.stdout) == (minute < 10)

    def test_a_zone_changes_the_hour_and_not_the_answer(
        self, leasectl: Leasectl, told: Site
    ) -> None:
        """The same moment written in any zone has the same holder."""
        answers = [
            leasectl.rows("who", "100.64.0.2", "--at", at)
            for at in (ISO, "2025-11-22T09:26:41+01:00", "2025-11-22 03:26:41-05:00")
        ]

        assert answers[0] == answers[1] == answers[2] != []

    def test_nobody_is_exit_code_1(self, leasectl: Leasectl, told: Site) -> None:
        """Between two holders nobody held it; before and after are told all the same."""
        answer = leasectl("who", "100.64.0.2", "--at", "2025-11-22T08:40:00Z", code=1)

        assert "nobody held it" in answer.stdout
        assert "before    00:00:00:00:00:01" in answer.stdout
        assert "last promise until 2025-11-22T08:37:40" in answer.stdout
        assert "after     00:00:00:00:00:02" in answer.stdout

    @pytest.mark.parametrize(
        ("at", "said"),
        [
            ("2025-11-22T08:30:00", "has no time zone"),
            ("2025-11-22", "has no time zone"),
            ("yesterday", "is no time"),
            ("0001-01-01T00:00:00+23:59", "is no time"),
        ],
    )
    def test_a_time_without_zone_is_refused(
        self, leasectl: Leasectl, told: Site, at: str, said: str
    ) -> None:
        """An hour off is another subscriber: the zone must be said."""
        refused = leasectl("who", "100.64.0.2", "--at", at, code=common.EXIT_USAGE)

        assert said in refused.stderr

    def test_the_history_of_an_address_and_of_a_mac(self, leasectl: Leasectl, told: Site) -> None:
        """Every holding, oldest first."""
        by_ip = leasectl.rows("history", "100.64.0.2")
        by_mac = leasectl.rows("history", "00:00:00:00:00:03")

        assert [row["mac"][-1] for row in by_ip] == ["1", "2"]
        assert by_ip[0]["ended"] == "LeaseRevoked"
        assert [row["ip"] for row in by_mac] == ["100.64.0.3"]
        assert "nothing is known" in leasectl("history", "10.0.0.1", code=1).stderr
        assert "is no MAC" in leasectl("history", "zz:zz", code=2).stderr

    def test_a_database_that_cannot_be_used_is_a_sentence(
        self, leasectl: Leasectl, told: Site, tmp_path: Path
    ) -> None:
        """No traceback for a wrong path or a file that is something else."""
        other = tmp_path / "other.txt"
        other.write_text("no database at all, but some text that is long enough" * 50)
        for path in (other, other / "below"):
            refused = leasectl("who", "100.64.0.2", "--database", str(path), code=78)
            assert "--database" in refused.stderr


class TestEvents:
    def test_the_last_events_are_shown(self, leasectl: Leasectl, told: Site) -> None:
        """As text for people and as JSON, the newest last."""
        rows = leasectl.rows("events", "tail", "ams01", "-n", "3")
        everything = leasectl.rows("events", "tail", "ams01", "-n", "1000")
        text = leasectl("events", "tail", "ams01", "-n", "3").stdout.splitlines()

        assert rows == everything[-3:]
        assert rows[-1]["type"] == "LeaseAssigned"
        assert rows[-1]["mac"] == "00:00:00:00:00:02"
        assert "VERSION" not in rows[-1]
        assert len(text) == 3
        assert "lease.assigned" in text[-1]
        assert leasectl.rows("events", "tail", "ams01", "-n", "0") == []

    def test_no_event_steers_the_terminal(self, leasectl: Leasectl, told: Site) -> None:
        """What a forged event carries is shown, not obeyed."""
        evil = LeaseAssigned(
            mac=Mac(9),
            ip=FIRST,
            pool="p",
            line="l\x1b[2J",
            cause="c\r\n",
            req="r",
            host="\x9bh\x07",
        )
        write(leasectl, [evil])
        shown = leasectl("events", "tail", "ams01", "-n", "1").stdout
        raw = leasectl("events", "tail", "ams01", "-n", "1", "--json").stdout

        for text in (shown, raw):
            assert all(" " <= char <= "~" for char in text.rstrip("\n"))
        assert r"\x1b[2J" in shown

    def test_no_log_is_a_sentence(self, leasectl: Leasectl) -> None:
        """A site that is not there, or no name at all."""
        assert "no log of site" in leasectl("events", "tail", "ams01", code=65).stderr
        assert "is no name" in leasectl("events", "tail", "A B", code=2).stderr
        assert "no log of site" in leasectl("lease", "list", "ams01", code=65).stderr


class TestRecovery:
    def test_a_site_is_given_a_new_log_only_where_its_own_is_gone(self, leasectl: Leasectl) -> None:
        """An operator answers for it that the old one will not come back."""
        leasectl("site", "add", "ams01")
        assert "say --yes" in leasectl("site", "recreate", "ams01", code=2).stderr
        assert "is there" in leasectl("site", "recreate", "ams01", "--yes", code=2).stderr
        assert "no site" in leasectl("site", "recreate", "fra01", "--yes", code=2).stderr
        before = json.loads(leasectl("site", "list", "--json").stdout)
        del leasectl.server.sites["ams01"]
        leasectl("site", "recreate", "ams01", "--yes")
        after = json.loads(leasectl("site", "list", "--json").stdout)

        assert before["genesis"] != after["genesis"]

    def test_a_log_that_was_replaced_is_taken_up_where_it_stands(self, leasectl: Leasectl) -> None:
        """Where the former log is back, the operator's next word has the plan follow it."""
        leasectl("site", "add", "ams01")
        former = leasectl.server.sites.pop("ams01")
        leasectl("site", "recreate", "ams01", "--yes")
        leasectl.server.sites["ams01"] = former
        leasectl("site", "recreate", "ams01", "--yes")

        [site] = leasectl.rows("site", "list")
        assert former.head
        assert site["genesis"] == former.head.genesis

    def test_operators_begin_and_end_a_recovery(self, leasectl: Leasectl) -> None:
        """Both are commands to whoever leads; ending it wants a word of responsibility."""
        leasectl("site", "add", "ams01")
        leasectl("recovery", "start", "ams01")
        assert "say --yes" in leasectl("recovery", "end", "ams01", code=2).stderr
        leasectl("recovery", "end", "ams01", "--yes")

        sent = leasectl.do(lambda: leasectl.log().commands("0-0"))
        assert [type(each.command) for each in sent] == [StartRecovery, EndRecovery]


class TestFaults:
    def test_an_outage_is_exit_code_69(self, leasectl: Leasectl, told: Site) -> None:
        """Unavailable, try again later: for every command that needs the log."""
        leasectl.server.is_down = True
        for words in (
            ("site", "list"), ("site", "add", "x"), ("pool", "list"), ("lease", "list", "ams01"),
            ("lease", "revoke", "ams01", "100.64.0.2"), ("who", "100.64.0.2"),
            ("events", "tail", "ams01"), ("history", "100.64.0.2"),
        ):  # fmt: skip
            assert "down" in leasectl(*words, code=common.EXIT_UNAVAILABLE).stderr

    @pytest.mark.parametrize("how", ["gap", "forged", "unknown", "contradiction"])
    def test_a_damaged_log_is_a_sentence(self, leasectl: Leasectl, told: Site, how: str) -> None:
        """No traceback for a log that cannot be replayed."""
        events = leasectl.server.site("ams01").events
        if how == "gap":
            del events.ids[1], events.entries[1]
        elif how == "forged":
            forge(events, 1, b"nonce", b"forged")
        elif how == "unknown":
            forge(events, 1, b"type", b"Unheard")
        else:
            write(leasectl, [told.log[0]])
        for words in (("lease", "list", "ams01"), ("lease", "revoke", "ams01", "100.64.0.2")):
            assert "cannot be used" in leasectl(*words, code=65).stderr

    def test_a_plan_event_in_a_site_is_a_sentence(self, leasectl: Leasectl) -> None:
        """A damaged plan stops who wants to change it."""
        leasectl("site", "add", "ams01")
        write(leasectl, [EpochStarted(cause="x")], site=PLAN)

        assert "cannot be used" in leasectl("site", "list", code=65).stderr

    @pytest.mark.parametrize("url", ["nonsense", "redis://user:hunter2@host:port/0"])
    def test_a_wrong_address_is_a_sentence_without_secrets(
        self, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        """The real client's refusal of an address is told, its password is not."""
        for words in (("site", "list"), ("allocator",)):
            result = CliRunner().invoke(main, [*words, "--redis", url])
            assert result.exit_code == common.EXIT_CONFIG, result.output
            assert "hunter2" not in result.output
