"""A ledger as rows and back: nothing is lost, nothing else is taken."""

import os
import random
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lease_core.domain.columns import BindingsDigest, bindings_digest, bindings_of
from lease_core.domain.commands import ReleaseLease
from lease_core.domain.events import AddressDeclined, LeaseAssigned
from lease_core.domain.ledger import Binding, Ledger, LedgerError
from lease_core.domain.restore import restore
from lease_core.domain.rows import Row, RowsDigest, rows_of
from lease_core.domain.values import Ipv4, Mac
from tests.histories import folded, random_history
from tests.site import Site

ROOT = Path(__file__).parents[3]
FOLD = """
from tests.histories import folded, random_history
from lease_core.domain.restore import restore
from lease_core.domain.columns import bindings_digest
from lease_core.domain.rows import rows_of
events = random_history(7, 300)
half = restore(rows_of(folded(events[:150])))
whole = folded(events[150:], half)
print(whole.digest(), bindings_digest(whole.bound.values()))
"""


KINDS = {"site", "retired", "snapshot", "pool", "bound", "removed", "freed", "declines", "since"}
KINDS |= {"recovery", "replaces"}


@cache
def a_ledger() -> Ledger:
    """A ledger with several rows of every kind; not to be changed."""
    ledgers = (folded(random_history(seed, 200)) for seed in range(500))
    return next(found for found in ledgers if _is_rich(found))


def _is_rich(ledger: Ledger) -> bool:
    kinds = {row[0] for row in rows_of(ledger)}
    return kinds == KINDS and len(ledger.bound) > 1 and len(ledger.freed) > 1


class TestRestore:
    def test_any_cut_of_any_history_goes_on_alike(self) -> None:
        """I3: restored from rows at any point and evolved on, a ledger equals the one that
        evolved every event, in its rows and in every table that is not in the digest."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        for offset in range(60):
            events = random_history(seed + offset, 120)
            cut = random.Random(seed + offset).randrange(len(events) + 1)
            whole = folded(events)
            restored = folded(events[cut:], restore(rows_of(folded(events[:cut]))))

            assert restored.digest() == whole.digest(), f"seed {seed + offset} cut {cut}"
            assert _without_zeros(restored) == _without_zeros(whole)
            for name in ("bound", "removed", "freed", "pools"):
                assert list(getattr(restored, name)) == list(getattr(whole, name)), name

    @pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
    def test_every_process_comes_to_one_digest(self, hash_seed: str) -> None:
        """I3: snapshot and tail give the digest of the whole, whatever the hash seed."""
        whole = folded(random_history(7, 300))
        printed = subprocess.run(
            [sys.executable, "-c", FOLD],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

        assert printed.split() == [whole.digest(), bindings_digest(whole.bound.values())]

    def test_rows_hold_every_field_of_a_ledger(self) -> None:
        """A field that is added to the ledger is either in the rows or follows from them."""
        in_rows = {"seq", "epoch", "pools", "bound", "removed", "freed", "declines", "edge"}
        in_rows |= {"retired", "taken", "verified", "former", "held_since", "recovery", "replaces"}
        derived = {"resting", "_by_mac", "_networks", "_ranges"}

        assert {field.name for field in fields(Ledger)} == in_rows | derived

    def test_a_copy_stays_while_the_ledger_evolves(self) -> None:
        """A snapshot is of one moment, however long it takes to write."""
        events = random_history(3, 200)
        ledger = folded(events[:100])
        copy, before = ledger.copy(), ledger.digest()
        folded(events[100:], ledger)

        assert copy.digest() == before != ledger.digest()
        assert folded(events[100:], copy).digest() == ledger.digest()


def _without_zeros(ledger: Ledger) -> Ledger:
    return replace(ledger, resting={pool: n for pool, n in ledger.resting.items() if n})


def _damaged(rows: list[Row], kind: str, at: int, value: Any) -> list[Row]:
    number = next(n for n, row in enumerate(rows) if row[0] == kind)
    row = list(rows[number])
    row[at] = value
    return [*rows[:number], tuple(row), *rows[number + 1 :]]


class TestStrictness:
    @pytest.mark.parametrize(
        ("kind", "at", "value"),
        [
            ("site", 0, "state"),
            ("site", 1, 1),
            ("site", 1, 3),
            ("site", 2, -1),
            ("site", 2, True),
            ("site", 6, 10**9),
            ("retired", 1, None),
            ("snapshot", 1, 10**9),
            ("snapshot", 2, 7),
            ("pool", 2, 5),
            ("pool", 3, "100.64.0.0/99"),
            ("pool", 4, "100.64.0.2"),
            ("bound", 1, 1 << 48),
            ("bound", 1, -1),
            ("bound", 3, 1 << 32),
            ("bound", 3, 1.0),
            ("bound", 4, "nowhere"),
            ("bound", 5, 0),
            ("bound", 5, 10**9),
            ("bound", 2, b"access0"),
            ("removed", 6, 0),
            ("removed", 7, -1),
            ("removed", 8, "600"),
            ("removed", 9, 1),
            ("freed", 6, None),
            ("declines", 2, 0),
            ("since", 2, 0),
            ("since", 2, 10**9),
            ("since", 1, 7),
            ("recovery", 1, 0),
            ("recovery", 1, 10**9),
            ("replaces", 1, 5),
        ],
    )
    def test_a_row_of_another_form_is_refused(self, kind: str, at: int, value: Any) -> None:
        """Types, ranges and references of a stranger's rows are checked before they are used."""
        rows = list(rows_of(a_ledger()))
        with pytest.raises(LedgerError):
            restore(_damaged(rows, kind, at, value))

    def test_a_ledger_that_needs_nothing_newer_is_written_as_version_1(self) -> None:
        """Older programs read it, and digests that they wrote stay right."""
        site = Site()
        site.lease(1)
        assert next(rows_of(site.ledger))[1] == 1
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=site.lease(2)))

        assert next(rows_of(restore(rows_of(site.ledger))))[1] == 1

    def test_an_address_stands_once(self) -> None:
        """I10: no rows make an address bound twice, or bound and removed."""
        rows = list(rows_of(a_ledger()))
        bound = next(row for row in rows if row[0] == "bound")
        with pytest.raises(LedgerError):
            restore([*rows, bound])
        with pytest.raises(LedgerError):
            restore([*rows, ("freed", *bound[1:], False)])

    def test_an_empty_row_is_refused(self) -> None:
        """Nothing at all is no row."""
        with pytest.raises(LedgerError):
            restore([()])


class TestDigests:
    def test_portions_do_not_matter(self) -> None:
        """The digest of rows depends on the rows, not on how they were cut into chunks."""
        rows = list(rows_of(a_ledger()))
        digests = set()
        for size in (1, 7, len(rows)):
            digest = RowsDigest()
            for start in range(0, len(rows), size):
                digest.update(rows[start : start + size])
            digests.add(digest.text())

        assert digests == {a_ledger().digest()}

    def test_every_value_counts(self) -> None:
        """Changing any value of any row changes the digest."""
        rows = list(rows_of(a_ledger()))
        seen = set()
        for row in rows:
            for at in range(len(row)):
                digest = RowsDigest()
                digest.update([*row[:at], f"{row[at]}x", *row[at + 1 :]])
                seen.add(digest.text())

        assert len(seen) == len({(row, at) for row in rows for at in range(len(row))})

    def test_the_free_order_counts(self) -> None:
        """Which address is given next is state: two orders of freed addresses are two states."""
        ledger = a_ledger().copy()
        before = ledger.digest()
        ledger.freed = dict(reversed(ledger.freed.items()))

        assert ledger.digest() != before

    def test_bindings_have_no_order(self) -> None:
        """Ledger and tables list bindings differently and come to one digest."""
        bindings = list(a_ledger().bound.values())

        assert bindings_digest(bindings) == bindings_digest(reversed(bindings))
        assert bindings_digest(()) == "0" * 16

    @pytest.mark.parametrize(
        "change", [{"mac": Mac(9)}, {"ip": Ipv4(9)}, {"line": "b"}, {"pool": "q"}, {"seq": 9}]
    )
    def test_every_part_of_a_binding_counts(self, change: dict[str, Any]) -> None:
        """MAC, address, line, pool and event each change the digest."""
        binding = Binding(Mac(1), "a", Ipv4(2), "p", 3)

        assert bindings_digest([binding]) != bindings_digest([binding._replace(**change)])

    def test_columns_have_the_digest_of_their_bindings(self) -> None:
        """Ledgers add bindings one by one, edges by the thousand."""
        bindings = list(a_ledger().bound.values())
        digest = BindingsDigest()
        digest.add_all(bindings_of([(b.mac, b.line, b.ip, b.pool, b.seq) for b in bindings]))

        assert digest.text() == bindings_digest(bindings)

    def test_a_digest_follows_changes(self) -> None:
        """Added and taken out one by one, the digest is that of what is left."""
        first, second = Binding(Mac(1), "a", Ipv4(2), "p", 3), Binding(Mac(2), "a", Ipv4(3), "p", 4)
        digest = BindingsDigest([first])
        digest.add(second)
        digest.discard(first)

        assert digest.text() == bindings_digest([second])
        digest.discard(second)
        assert digest.text() == bindings_digest(())


def test_a_declined_address_that_its_holder_gets_back_rests_no_more() -> None:
    """Resting addresses are those declined and not yet given: restoring counts the same."""
    site = Site(size=4)
    ip = site.lease(1)
    ledger = site.ledger
    binding = ledger.bound[ip]
    folded([decline(binding), again(binding)], ledger)

    assert ledger.resting == {"res-1": 0}


def decline(binding: Binding) -> AddressDeclined:
    return AddressDeclined(
        mac=binding.mac,
        ip=binding.ip,
        pool=binding.pool,
        line=binding.line,
        cause="client",
        req="d",
        quarantine_s=600,
    )


def again(binding: Binding) -> LeaseAssigned:
    return LeaseAssigned(
        mac=binding.mac,
        ip=binding.ip,
        pool=binding.pool,
        line=binding.line,
        cause="selecting",
        req="a",
    )
