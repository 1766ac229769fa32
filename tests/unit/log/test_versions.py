"""Versions: what stands in golden files is read for ever, and allocators may be newer than edges.

`python -m tests.unit.log.test_versions` writes the files that show the present form.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from lease_core.domain import commands, events
from lease_core.domain.commands import Answer, Command
from lease_core.domain.desk import Timing
from lease_core.domain.ledger import Ledger
from lease_core.domain.reasons import Reason
from lease_core.domain.restore import restore
from lease_core.domain.rows import rows_of
from lease_core.domain.values import Ipv4, ip_from_text, mac_from_text
from lease_core.log import former
from lease_core.log.decoding import sent_of
from lease_core.log.layout import Flat, by_name
from lease_core.log.port import ZERO_HASH
from lease_core.log.wire import (
    decode_answer,
    encode_answer,
    encode_commands,
    encode_event,
)
from lease_core.service.site_allocator import SiteAllocator
from tests.unit.log.strategies import ANSWER_CLASSES, COMMAND_CLASSES

GOLDEN = Path(__file__).parents[2] / "golden"
ID = b"1763900000000-7"
MAC, IP, LINE = mac_from_text("02:00:00:00:00:17"), ip_from_text("100.64.0.23"), "access0:100.200"
CLIENT: dict[str, Any] = {"req": "bng1-42", "mac": MAC, "line": LINE}
LIFE: dict[str, Any] = {"edge": "bng1", "incarnation": "5f0c"}

COMMANDS: tuple[Command, ...] = (
    commands.RequestOffer(**CLIENT),
    commands.RequestOffer(**CLIENT, wanted=IP, link=IP, host="living-room"),
    commands.RequestLease(**CLIENT, ip=IP, kind="selecting"),
    commands.RequestLease(**CLIENT, ip=IP, kind="selecting", link=IP, host="living-room"),
    commands.RequestStock(req="bng1-42", count=64),
    commands.RequestStock(req="bng1-42", count=64, link=IP),
    commands.ReleaseLease(**CLIENT, ip=IP),
    commands.DeclineAddress(**CLIENT, ip=IP),
    commands.ReportExpiry(**CLIENT, ip=IP, ref=7, incarnation="5f0c"),
    commands.AckRemoval(req="r", ip=IP, ref=8, remaining_s=1800, incarnation="5f0c"),
    commands.RevokeLease(req="r", ip=IP, cause="operator"),
    commands.Heartbeat(**LIFE, nonce="a1b2", applied=0),
    commands.Heartbeat(**LIFE, nonce="a1b2", applied=9, epoch=3, genesis="0123abcd"),
    commands.Heartbeat(**LIFE, nonce="a1b2", applied=9, elapsed_ms=86400123, reads=2),
    commands.ReportLoss(**LIFE, req="r", epoch=3, applied=9),
    commands.ReportBinding(
        **LIFE, req="r", mac=MAC, line=LINE, ip=IP, state="bound", remaining_s=1800
    ),
    commands.StartRecovery(req="r", cause="old copy"),
    commands.EndRecovery(req="r", cause="router gone"),
    commands.ConfirmSnapshot(req="r", covers=9, digest="0f" * 16, verifier="allocator-2#77aa"),
)
ANSWERS: tuple[Answer, ...] = (
    commands.Offered(req="r", ip=IP, pool="res-1"),
    commands.Stocked(
        req="r", pool="res-1", ips=(IP, Ipv4(IP + 1), Ipv4(IP + 2), Ipv4(IP + 9)), hold_s=60
    ),
    commands.Held(req="r", seq=9),
    commands.Refused(req="r", reason="pool-full"),
)


def shown(entry: Flat) -> str:
    """Names and values as redis-cli shows them."""
    pairs = zip(entry[::2], entry[1::2], strict=True)
    line = " ".join(f'{name.decode()} "{value.decode()}"' for name, value in pairs)
    return line.replace("\t", "\\t")


def flat(line: str) -> Flat:
    """What `shown` printed, as it is read; no value here holds a quote."""
    pairs = re.findall(r'([a-z_][a-z_ ]*) "([^"]*)"', line.replace("\\t", "\t"))
    return [part.encode() for pair in pairs for part in pair]


def lines_of(name: str) -> list[str]:
    return (GOLDEN / name).read_text().splitlines()


def line_of(command: Command) -> str:
    [entry] = encode_commands([command], "bng1")
    return shown(entry)


def present() -> dict[str, list[str]]:
    return {
        "commands.txt": list(map(shown, encode_commands(COMMANDS[:2], "bng1")))
        + [line_of(command) for command in COMMANDS[2:]],
        "answers.txt": [shown(encode_answer(answer).flat()) for answer in ANSWERS],
    }


@pytest.mark.parametrize("name", ["commands.txt", "answers.txt"])
def test_the_present_form_stands_in_a_file(name: str) -> None:
    """A change of what goes over the wire shows there."""
    assert {type(sample) for sample in COMMANDS} == set(COMMAND_CLASSES)
    assert {type(sample) for sample in ANSWERS} == set(ANSWER_CLASSES)
    assert lines_of(name) == present()[name]


def read(name: str) -> list[Command]:
    return [sent.command for sent in sent_of([(ID, flat(line)) for line in lines_of(name)])]


def test_commands_are_read() -> None:
    """Several in an entry as well as one, and those that former edges send by their fields."""
    assert read("commands.txt") == read("commands-fields.txt") == list(COMMANDS)


def test_former_commands_are_read() -> None:
    """Every layout that ever was is read as what it means today."""
    told = [line.split()[3].strip('"') for line in lines_of("commands-former.txt")]
    assert {cls.__name__ for cls in former.COMMANDS} == set(told)
    assert read("commands-former.txt") == [
        commands.ReportExpiry(**CLIENT, ip=IP, ref=7, incarnation=former.UNSAID),
        commands.AckRemoval(req="r", ip=IP, ref=8, remaining_s=1800, incarnation=former.UNSAID),
        commands.Heartbeat(**LIFE, nonce="a1b2", applied=9),
        commands.Heartbeat(**LIFE, nonce="a1b2", applied=9, epoch=3, genesis="0123abcd"),
    ]


def test_answers_are_read() -> None:
    """An older allocator's answers are a newer edge's."""
    assert [decode_answer(ID, flat(line)) for line in lines_of("answers.txt")] == list(ANSWERS)


@pytest.mark.parametrize("version", [1, 2])
def test_rows_of_snapshots_are_read(version: int) -> None:
    """A snapshot of any version is restored, and written again with the same digest (I3)."""
    digest, *lines = lines_of(f"rows-v{version}.txt")
    rows = list(map(ast.literal_eval, lines))
    ledger = restore(iter(rows))

    assert rows[0][1] == version
    assert rows == list(rows_of(ledger))
    assert ledger.digest() == digest


class TestAllocatorsFirst:
    """The order of an upgrade: all allocators, then the edges, then what is new is used."""

    def handle(self, *lines: str) -> tuple[SiteAllocator, list[Flat]]:
        """What a new allocator writes when an old edge says this."""
        site = SiteAllocator("ams01", Ledger(), Timing(), 1, 0)
        sent = sent_of([(f"{n}-0".encode(), flat(line)) for n, line in enumerate(lines, 1)])
        draft = site.handle(sent, 0)
        return site, [
            encode_event(event, epoch=1, by="allocator-1", h=ZERO_HASH, reads=site.reads)
            for event in draft.events
        ]

    @pytest.mark.parametrize("index", [2, 3])
    def test_an_old_edge_gets_its_horizon(self, index: int) -> None:
        """It says less than a new one, and is granted in the form that it reads (I2)."""
        _, [granted] = self.handle(lines_of("commands-former.txt")[index])

        golden = next(line for line in lines_of("events-v1.txt") if "HorizonGranted" in line)
        assert granted[::2] == flat(golden.partition(" ")[2])[::2]
        assert granted[:2] == [b"v", b"1"]

    def test_leases_are_written_as_the_edge_reads_them(self) -> None:
        """Version 1 until the edge that serves says that it reads more; the newest where it reads
        even newer ones. An edge that goes back is written for again."""
        *_, old, _ = lines_of("commands-former.txt")
        beat = commands.Heartbeat(**LIFE, nonce="n", applied=0, reads=9)
        new = line_of(beat)
        site, _ = self.handle(old)
        former = self.assigned(site)
        site.handle(sent_of([(b"8-0", flat(new))]), 0)
        today = self.assigned(site)
        site.handle(sent_of([(b"9-0", flat(old))]), 0)

        assert former == self.assigned(site) == (b"1", True)
        assert today == (str(events.LEASE_VERSION).encode(), False)

    def assigned(self, site: SiteAllocator) -> tuple[bytes, bool]:
        """The version of an entry about a lease, and whether it says who wrote it."""
        lease = events.LeaseAssigned(
            mac=MAC, ip=IP, pool="res-1", line=LINE, cause="selecting", req="r"
        )
        entry = by_name(encode_event(lease, epoch=1, by="a", h=ZERO_HASH, reads=site.reads))
        return entry[b"v"], b"by" in entry

    def test_what_an_old_edge_says_of_its_promises_is_left(self) -> None:
        """It does not say of which life it speaks, so nothing is freed by it: its successor
        acknowledges the tombstones again (I7)."""
        expiry, ack, beat, _ = lines_of("commands-former.txt")
        site, events = self.handle(beat, expiry, ack)

        assert len(events) == 1
        assert site.refusals == {Reason.OTHER_LIFE: 2}


def write() -> None:
    for name, lines in present().items():
        (GOLDEN / name).write_text("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    write()
