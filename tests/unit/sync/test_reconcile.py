"""Any table becomes right, and what was right is not touched."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.tables import Assignment, Line, SubscriberKey, key_mac, subscriber_key
from edge_agent.sync.lines import Lines
from edge_agent.sync.reconcile import reconcile
from edge_agent.sync.removals import NO_SLOT, TOMBSTONE
from lease_core.domain.commands import ReleaseLease, RevokeLease
from lease_core.domain.events import EpochStarted
from lease_core.domain.values import Mac
from tests.site import FIRST, Site
from tests.unit.sync.histories import (
    LINES,
    NOW_BOOT,
    SECOND,
    expected,
    ledger_of,
    open_tables,
    projection_of,
    random_events,
    records_of,
    view,
)

NOW_NS = 1 << 62
"""After every horizon: nothing is promised anew."""


class WatchedDatapath(MemoryDatapath):
    """Remembers which keys were written or removed."""

    def __init__(self) -> None:
        super().__init__(64)
        self.touched: set[SubscriberKey] = set()

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        self.touched.add(key)
        super().put(key, assignment)

    def remove(self, key: SubscriberKey) -> None:
        self.touched.add(key)
        super().remove(key)


class DyingDatapath(MemoryDatapath):
    """Fails at a write, as if the process died there."""

    writes_left = -1

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        self._burn()
        super().put(key, assignment)

    def remove(self, key: SubscriberKey) -> None:
        self._burn()
        super().remove(key)

    def _burn(self) -> None:
        self.writes_left -= 1
        if self.writes_left == 0:
            raise InterruptedError


Mutilation = Callable[[random.Random, MemoryDatapath, SubscriberKey, Assignment], object]


def _put(change: dict[str, object]) -> Mutilation:
    return lambda _, table, key, found: table.put(key, replace(found, **change))  # type: ignore[arg-type]


MUTILATIONS: dict[str, Mutilation] = {
    "gone": lambda _, table, key, found: table.remove(key),
    "other address": _put({"ip": FIRST + 40}),
    "older event": _put({"seq": 1}),
    "other line": _put({"line": Line(9)}),
    "other pool": _put({"pool_id": 5}),
    "slot outside": _put({"slot": 9999}),
    "no slot": _put({"slot": NO_SLOT}),
    "shared slot": _put({"slot": 0}),
    "check word": _put({"check_ok": False}),
    "twice": lambda chance, table, key, found: table.put(
        subscriber_key(key_mac(key), chance.randrange(1, 8)), found
    ),
    "twice, each in its slot": lambda chance, table, key, found: table.put(
        subscriber_key(key_mac(key), chance.randrange(1, 8)), replace(found, slot=50)
    ),
    "hole": lambda chance, table, key, found: (
        table.remove(key),
        table.put(subscriber_key(key_mac(key), chance.randrange(3, 2000)), found),
    ),
    "stranger": lambda chance, table, key, found: table.put(
        subscriber_key(Mac(chance.randrange(100, 110)), 0), found
    ),
    "false tombstone": lambda chance, table, key, found: table.put(
        subscriber_key(key_mac(key), TOMBSTONE + 5), replace(found, seq=chance.randrange(1, 500))
    ),
}


class TestAnyTable:
    @pytest.mark.parametrize("kind", sorted(MUTILATIONS))
    def test_a_mutilated_table_becomes_right(self, kind: str) -> None:
        """Whatever is wrong with one entry, the tables come to say what the log says."""
        for seed in range(10):
            self._mutilate(seed, [kind])

    def test_a_table_with_everything_wrong_becomes_right(self) -> None:
        """Many faults of all kinds together are mended in one go."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        for offset in range(150):
            kinds = random.Random(seed + offset).choices(sorted(MUTILATIONS), k=5)
            self._mutilate(seed + offset, kinds)

    def _mutilate(self, seed: int, kinds: list[str]) -> None:
        chance = random.Random(seed)
        records = records_of(random_events(seed, 60, size=10))
        ledger, datapath = ledger_of(records), open_tables()
        projection_of(datapath, records)
        for kind in kinds:
            entries = list(datapath.entries())
            if entries:
                MUTILATIONS[kind](chance, datapath, *chance.choice(entries))
        projection = projection_of(datapath)
        reconcile(projection, ledger, NOW_NS)

        assert view(datapath) == expected(ledger), f"seed {seed}: {kinds}"
        again = projection_of(datapath)
        assert projection.census.digest.text() == again.census.digest.text(), (
            f"seed {seed}: {kinds}"
        )
        assert reconcile(again, ledger, NOW_NS) == 0
        assert {r.ip: r.ref for r in again.removals} == expected(ledger).owed

    def test_an_empty_table_is_filled(self) -> None:
        """A new router learns everything that is bound, and owes what the log waits for."""
        records = records_of(random_events(3, 80))
        ledger, datapath = ledger_of(records), open_tables()
        reconcile(projection_of(datapath), ledger, NOW_NS)

        assert view(datapath) == expected(ledger)

    def test_right_entries_are_left_alone(self) -> None:
        """A known client goes on being answered meanwhile: its entry is neither written nor
        removed."""
        for seed in range(20):
            records = records_of(random_events(seed, 60, size=10))
            datapath = WatchedDatapath()
            open_tables(datapath=datapath)
            projection_of(datapath, records)
            entries = list(datapath.entries())
            if not entries:
                continue
            wrong, found = random.Random(seed).choice(entries)
            datapath.put(wrong, replace(found, seq=1))
            right = {key for key, _ in entries if key_mac(key) != key_mac(wrong)}
            datapath.touched.clear()
            reconcile(projection_of(datapath), ledger_of(records), NOW_NS)

            assert not datapath.touched & right

    @pytest.mark.parametrize("writes", range(1, 4))
    def test_whoever_dies_meanwhile_leaves_known_clients_their_entries(self, writes: int) -> None:
        """I1, I13: a log that gave the same addresses by other events, as after a recovery, ends
        nobody's binding, even if the agent is killed between two writes."""
        before, after = Site(), Site()
        after.record(EpochStarted(cause="test"))
        for mac in (1, 2, 3):
            assert before.lease(mac) == after.lease(mac)
        datapath = DyingDatapath(64)
        open_tables(datapath=datapath)
        projection_of(datapath, records_of(before.log))
        datapath.writes_left = writes
        with pytest.raises(InterruptedError):
            reconcile(projection_of(datapath), ledger_of(records_of(after.log)), NOW_NS)
        left = [key for key, _ in datapath.entries()]

        assert sorted(left) == [subscriber_key(Mac(mac)) for mac in (1, 2, 3)]

    def test_a_binding_doubled_under_a_running_agent_stands_once(self) -> None:
        """I11: whoever wrote it a second time, in another slot, gave the subscriber nothing."""
        site = Site()
        site.lease(1)
        records, datapath = records_of(site.log), open_tables()
        projection = projection_of(datapath, records)
        [(_, found)] = datapath.entries()
        datapath.put(subscriber_key(Mac(1), 1), replace(found, slot=50))
        reconcile(projection, ledger_of(records), NOW_NS)

        assert list(datapath.entries()) == [(subscriber_key(Mac(1)), found)]

    def test_a_lost_assignment_is_counted(self) -> None:
        """The operator hears how many bindings were wrong."""
        site = Site()
        for mac in (1, 2, 3):
            site.lease(mac)
        records, datapath = records_of(site.log), open_tables()
        projection_of(datapath, records)
        datapath.remove(subscriber_key(Mac(1)))
        datapath.put(subscriber_key(Mac(9)), Assignment(FIRST + 60, 1, 50, Line(7), 2))

        assert reconcile(projection_of(datapath), ledger_of(records), NOW_NS) == 1


class TestPromises:
    def test_other_interface_numbers_keep_what_was_promised(self) -> None:
        """I1: when interfaces get other numbers, the client's promise moves along, so that the
        binding is not taken for expired."""
        site = Site()
        ip = site.lease(1)
        records, datapath = records_of(site.log), open_tables()
        before = projection_of(datapath, records)
        found = before.find(Mac(1), Line(7))
        assert found
        datapath.raise_promise(found[1].slot, NOW_BOOT + 9999 * SECOND)
        moved = projection_of(datapath, lines=Lines({"access0": 70, "access1": 80}))
        reconcile(moved, ledger_of(records), NOW_NS)
        after = moved.find(Mac(1), Line(70))

        assert moved.find(Mac(1), Line(7)) is None
        assert after
        assert after[1].ip == ip
        assert datapath.promise(after[1].slot) >= NOW_BOOT + 9999 * SECOND

    @pytest.mark.parametrize("how", ["dropped", "renamed"])
    def test_a_port_that_goes_keeps_what_was_promised_there(self, how: str) -> None:
        """I1, I7: an end on a line that is none of ours any more is acknowledged with the promise
        that was made while it was; if the port comes back, its bindings have their promises."""
        site = Site()
        ip = site.lease(1)
        records, datapath = records_of(site.log), open_tables()
        found = projection_of(datapath, records).find(Mac(1), Line(7))
        assert found
        datapath.raise_promise(found[1].slot, NOW_BOOT + 9999 * SECOND)
        others = {"access1": 8} if how == "dropped" else {"access7": 7, "access1": 8}
        for _ in range(2):
            without = projection_of(datapath, lines=Lines(others))
            reconcile(without, ledger_of(records), NOW_NS)
            assert (list(without.removals), view(datapath).bindings) == ([], {})

        back = projection_of(datapath, lines=LINES)
        reconcile(back, ledger_of(records), NOW_NS)
        again = back.find(Mac(1), Line(7))
        assert again
        assert datapath.promise(again[1].slot) == NOW_BOOT + 9999 * SECOND
        assert back.removals.all() == []

        without = projection_of(datapath, lines=Lines(others))
        reconcile(without, ledger_of(records), NOW_NS)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        without.apply(records_of(site.log)[-1], NOW_NS)
        [owed] = without.removals
        assert without.promises.remaining_s(owed, NOW_BOOT) == 9999

    def test_an_end_that_was_missed_is_acknowledged_with_its_promise(self) -> None:
        """I7: a binding that ended in a gap is owed with what the kernel promised meanwhile."""
        site = Site()
        ip = site.lease(1)
        datapath = open_tables()
        projection = projection_of(datapath, records_of(site.log))
        found = projection.find(Mac(1), Line(7))
        assert found
        datapath.raise_promise(found[1].slot, NOW_BOOT + 9999 * SECOND)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        reconcile(projection, ledger_of(records_of(site.log)), NOW_NS)
        [owed] = projection.removals

        assert owed.ref == site.ledger.seq
        assert projection.promises.remaining_s(owed, NOW_BOOT) == 9999

    def test_a_tombstone_of_another_reference_keeps_its_promise(self) -> None:
        """I7: ended, assigned again and ended once more in a gap: the older promise counts on."""
        site = Site()
        ip = site.lease(1)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        datapath = open_tables()
        projection = projection_of(datapath, records_of(site.log))
        [before] = projection.removals
        datapath.raise_promise(before.slot, NOW_BOOT + 9999 * SECOND)
        site.lease(1)
        site.do(ReleaseLease(req="y", mac=Mac(1), line="access0", ip=ip))
        reconcile(projection, ledger_of(records_of(site.log)), NOW_NS)
        [after] = projection.removals

        assert after.ref == site.ledger.seq != before.ref
        assert projection.promises.remaining_s(after, NOW_BOOT) == 9999

    def test_a_rebooted_router_takes_what_it_did_not_see_for_promised(self) -> None:
        """I1: an end that waits for its acknowledgement may have left as much as an ACK promises;
        one that is acknowledged, as much as its quarantine lasts."""
        site = Site()
        waiting, resting = site.lease(1), site.lease(2)
        site.do(RevokeLease(req="x", ip=waiting, cause="operator"))
        site.do(RevokeLease(req="y", ip=resting, cause="operator"))
        site.ack(resting, remaining_s=5000)
        projection = projection_of(open_tables())
        reconcile(projection, ledger_of(records_of(site.log)), NOW_BOOT)
        left_s = {
            r.ip: projection.promises.remaining_s(r, NOW_BOOT) for r in projection.removals.all()
        }

        assert left_s == {waiting: 3600, resting: 5000 + site.timing.reuse_guard_s}

    def test_an_acknowledgement_that_the_log_lost_is_owed_again(self) -> None:
        """I10: the tables say that it was given, the log waits for it: the address comes back only
        if it is given once more."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        waits = ledger_of(records_of(site.log))
        site.ack(ip)
        projection = projection_of(open_tables(), records_of(site.log))
        assert list(projection.removals) == []
        reconcile(projection, waits, NOW_BOOT)

        assert [owed.ip for owed in projection.removals] == [ip]

    def test_whoever_came_and_went_in_a_gap_may_hold_a_promise(self) -> None:
        """I7: ended, acknowledged, back and ended again: the first promise is not forgotten."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.ack(ip, remaining_s=3600)
        datapath = open_tables()
        projection = projection_of(datapath, records_of(site.log))
        site.lease(1)
        site.do(RevokeLease(req="y", ip=ip, cause="operator"))
        reconcile(projection, ledger_of(records_of(site.log)), NOW_BOOT)
        [owed] = projection.removals

        assert projection.promises.remaining_s(owed, NOW_BOOT) == 3600

    def test_of_two_promises_for_an_address_the_longer_counts(self) -> None:
        """I1: a tombstone and a wrong binding of one address, each in a slot of its own: whichever
        stays tells of the longer promise."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        datapath = open_tables()
        projection = projection_of(datapath, records_of(site.log))
        [owed] = projection.removals
        datapath.raise_promise(owed.slot, NOW_BOOT + 9999 * SECOND)
        datapath.put(subscriber_key(Mac(2)), Assignment(ip, 1, 40, Line(7), 2))
        again = projection_of(datapath)
        reconcile(again, ledger_of(records_of(site.log)), NOW_BOOT)
        [after] = again.removals

        assert again.promises.remaining_s(after, NOW_BOOT) == 9999

    def test_whoever_came_in_a_gap_has_a_promise(self) -> None:
        """I7: a binding put by a rebuild may stand for an older one that was promised more."""
        site = Site()
        datapath = open_tables()
        projection = projection_of(datapath, records_of(site.log))
        site.lease(1)
        reconcile(projection, ledger_of(records_of(site.log)), NOW_BOOT)
        found = projection.find(Mac(1), Line(7))

        assert found
        assert datapath.promise(found[1].slot) == NOW_BOOT + 3600 * SECOND

    def test_whoever_came_again_in_a_gap_has_a_promise(self) -> None:
        """I1: the same address by another event, as after a recovery, may have been promised as
        long as an ACK promises now."""
        before, after = Site(), Site()
        after.record(EpochStarted(cause="test"))
        assert before.lease(1) == after.lease(1)
        projection, later = projection_of(open_tables(), records_of(before.log)), NOW_BOOT + SECOND
        reconcile(projection, ledger_of(records_of(after.log)), later)
        found = projection.find(Mac(1), Line(7))

        assert found
        assert projection.datapath.promise(found[1].slot) == later + 3600 * SECOND

    def test_a_binding_without_a_place_stays_remembered(self) -> None:
        """I1: nobody is answered by it, but what its holder may have been promised is not lost."""
        site = Site()
        ip = site.lease(1, "access9")
        projection = projection_of(open_tables(), records_of(site.log))
        before = projection.removals.of(ip)
        reconcile(projection, ledger_of(records_of(site.log)), NOW_BOOT)

        assert before
        assert before.is_unserved
        assert projection.removals.of(ip) == before

    def test_a_line_that_is_not_ours_is_not_put(self) -> None:
        """Bindings of interfaces that this edge does not have stay out of its tables."""
        site = Site()
        site.lease(1, "access9")
        datapath = open_tables()

        assert reconcile(projection_of(datapath), ledger_of(records_of(site.log)), NOW_NS) == 0
        assert view(datapath).bindings == {}
        assert LINES.parse("access9") is None
