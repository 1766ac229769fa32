"""Events become entries of the tables (I4), whatever dies in between."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp.options import FIXED_LEN
from edge_agent.dhcp.tables import (
    Assignment,
    Line,
    PoolOptions,
    SubscriberKey,
    key_mac,
    subscriber_key,
)
from edge_agent.sync.projection import MAX_LINES_PER_MAC, Projection
from edge_agent.sync.removals import NO_SLOT, TOMBSTONE
from lease_core.domain.commands import ReleaseLease, RevokeLease
from lease_core.domain.events import (
    AddressFreed,
    LeaseAssigned,
    LeaseRevoked,
    PoolAdded,
    PoolOptionsSet,
    Record,
)
from lease_core.domain.ledger import LedgerError
from lease_core.domain.values import Ipv4, Mac
from tests.site import FIRST, Site, pool_added
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

ACCESS0, ACCESS1 = Line(7), Line(8)


def applied(site: Site, size: int = 64) -> Projection:
    return projection_of(open_tables(size), records_of(site.log), size=size)


def served_first(projection: Projection, mac: int) -> Assignment | None:
    """What the kernel serves: the entry under discriminator 0."""
    return projection.datapath.lookup(subscriber_key(Mac(mac), 0))


def found_under(projection: Projection, mac: int) -> SubscriberKey:
    """The key of a MAC's binding on the second interface."""
    found = projection.find(Mac(mac), ACCESS1)
    assert found
    return found[0]


class TestEvents:
    def test_an_assignment_is_answered_from_its_line(self) -> None:
        """LeaseAssigned puts the binding with address, pool, line and seq."""
        site = Site()
        ip = site.lease(1, "access0:100.7")
        projection = applied(site)

        assert view(projection.datapath).bindings == {
            (1, Line(7, 100, 7)): (ip, 1, site.ledger.seq)
        }

    @pytest.mark.parametrize("how", ["release", "revoke"])
    def test_an_end_takes_the_binding_and_owes_its_acknowledgement(self, how: str) -> None:
        """After the end nothing is answered; the acknowledgement names the ending event."""
        site = Site()
        ip = site.lease(1)
        if how == "release":
            site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        else:
            site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        projection = applied(site)

        assert view(projection.datapath).bindings == {}
        assert view(projection.datapath).owed == {ip: site.ledger.seq}
        assert [r.ref for r in projection.removals] == [site.ledger.seq]

    def test_an_acknowledged_removal_is_kept_until_its_address_is_freed(self) -> None:
        """I1: should the log lose it, the edge still knows what it promised; it owes nothing."""
        site = Site()
        ip = site.lease(1)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        site.ack(ip, remaining_s=100)
        projection = applied(site, size=1)

        [kept] = projection.removals.all()
        assert (kept.ip, kept.is_acked, len(projection.removals)) == (ip, True, 0)
        restarted = projection_of(projection.datapath)
        assert restarted.removals.all() == [kept]
        assert len(restarted.removals) == 0

    def test_a_freed_removal_is_forgotten(self) -> None:
        """AddressFreed buries the tombstone and frees its slot."""
        site = Site()
        ip = site.lease(1)
        site.do(ReleaseLease(req="x", mac=Mac(1), line="access0", ip=ip))
        site.ack(ip)
        site.wait(121)
        projection = applied(site, size=1)

        assert list(projection.datapath.entries()) == []
        assert len(projection.removals) == 0

    def test_a_silent_sites_address_that_was_freed_is_not_owed(self) -> None:
        """AddressFreed after A + Q ends what was owed for the address."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.wait(20_000)

        assert view(applied(site).datapath).owed == {}

    def test_a_pool_is_rendered_for_replies(self) -> None:
        """PoolAdded makes the octets that every reply of the pool carries."""
        projection = applied(Site())
        pool = projection.pools.named("res-1")

        assert isinstance(pool, PoolOptions)
        assert pool == projection.datapath.pool(1)
        assert pool.server_id == FIRST - 1

    def test_what_clients_are_told_changes_with_the_log(self) -> None:
        """Options and DNS servers of an event stand in the tables, also for the next process."""
        tables = open_tables()
        projection = projection_of(tables)
        added = replace(pool_added(), dns="192.0.2.53", options="mtu=1500")
        projection.apply(_record(1, added), NOW_BOOT)
        before = tables.pool(1)
        changed = PoolOptionsSet(
            pool="res-1",
            cause="plan",
            dns="192.0.2.54",
            options="mask=255.255.255.255; routers=100.64.0.9; 43=hex:0104",
            plan_seq=3,
        )
        projection_of(tables).apply(_record(2, changed), NOW_BOOT)
        after = tables.pool(1)

        assert before is not None
        assert after == projection_of(tables).pools.named("res-1")
        assert b"\x1a\x02\x05\xdc" in before.on_request
        assert after.options[FIXED_LEN:] == bytes.fromhex("0104ffffffff0304644000090604c0000236")
        assert after.on_request == bytes.fromhex("2b020104")
        assert replace(after, options=before.options, on_request=before.on_request) == before

    def test_options_of_no_pool_are_refused(self) -> None:
        """An event about an unknown pool is a fault of the log."""
        ghost = PoolOptionsSet(pool="ghost", cause="plan", dns="", options="", plan_seq=1)
        with pytest.raises(LedgerError):
            projection_of(open_tables()).apply(_record(1, ghost), NOW_BOOT)

    def test_a_line_that_is_not_ours_is_not_served_but_its_promise_counts(self) -> None:
        """I7: an edge that lost an interface acknowledges an end there with what may be promised;
        also the next process."""
        site = Site()
        ip = site.lease(1, "access9")
        projection = applied(site)
        assert projection.unserved == 1
        assert view(projection.datapath).bindings == {}
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        again = projection_of(projection.datapath)  # type: ignore[arg-type]
        assert [each.ip for each in again.removals.unserved()] == [ip]
        again.apply(records_of(site.log)[-1], NOW_BOOT + 600 * SECOND)
        [owed] = again.removals

        assert (owed.ip, owed.ref) == (ip, site.ledger.seq)
        assert again.promises.remaining_s(owed, NOW_BOOT + 600 * SECOND) == 3000
        assert again.removals.unserved() == []

    def test_an_end_of_what_was_never_here_may_leave_a_promise(self) -> None:
        """I7: nothing is known of the binding, so as much as anybody can be promised counts."""
        site = Site()
        ip = site.lease(1, "access9")
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        projection = projection_of(open_tables(), records_of(site.log)[:-2])
        projection.apply(records_of(site.log)[-1], NOW_BOOT)
        [owed] = projection.removals

        assert projection.promises.remaining_s(owed, NOW_BOOT) == 3600

    def test_without_room_for_a_promise_the_longest_counts(self) -> None:
        """I7: a full table acknowledges what it could not remember with a whole lease time."""
        site = Site(size=2)
        ips = [site.lease(mac) for mac in (1, 2)]
        site.do(RevokeLease(req="x", ip=ips[1], cause="operator"))
        projection = Projection(open_tables(1), LINES, 1)
        for record in records_of(site.log):
            projection.apply(record, NOW_BOOT)
        [owed] = projection.removals

        assert owed.slot == NO_SLOT
        assert projection.promises.remaining_s(owed, NOW_BOOT + 9000 * SECOND) == 3600


class TestContradictions:
    @pytest.mark.parametrize(
        "change",
        [
            {"network": "100.64.0.0/99"},
            {"network": "no network"},
            {"dns": "9.9.9.9,nonsense"},
            {"options": "mtu=nonsense"},
            {"options": "53=hex:01"},
            {"dns": ",".join(["9.9.9.9"] * 64)},
        ],
    )
    def test_a_pool_that_cannot_be_told_is_refused(self, change: dict[str, str]) -> None:
        """A PoolAdded that no reply can carry is a fault of the log, and nothing is written."""
        fields = {name: getattr(pool_added(), name) for name in PoolAdded.__dataclass_fields__}
        fields.pop("VERSION")
        bad = PoolAdded(**(fields | change))
        projection = projection_of(open_tables())

        with pytest.raises(LedgerError):
            projection.apply(_record(1, bad), NOW_BOOT)
        assert list(projection.datapath.pools()) == []

    def test_an_assignment_from_no_pool_is_refused(self) -> None:
        """A LeaseAssigned of an unknown pool is a fault of the log, and nothing is written."""
        assigned = LeaseAssigned(
            mac=Mac(1), ip=FIRST, pool="ghost", line="access0", cause="selecting", req="r"
        )
        projection = projection_of(open_tables())

        with pytest.raises(LedgerError):
            projection.apply(_record(1, assigned), NOW_BOOT)
        assert list(projection.datapath.entries()) == []


def _record(seq: int, event: LeaseAssigned | PoolAdded | PoolOptionsSet) -> Record:
    return Record(seq=seq, commit_ms=1, epoch=1, by="x", h="00" * 8, event=event)


class TestTwoLines:
    def test_the_kernel_serves_the_first_line_and_then_the_next(self) -> None:
        """Key 0 is the first line's; when that ends, the other moves up and is served."""
        site = Site()
        one, two = site.lease(1, "access0"), site.lease(1, "access1")
        before = applied(site)
        site.do(RevokeLease(req="x", ip=one, cause="operator"))
        after = applied(site)

        assert served_first(before, 1).ip == one  # type: ignore[union-attr]
        assert found_under(before, 1) == subscriber_key(Mac(1), 1)
        assert served_first(after, 1).ip == two  # type: ignore[union-attr]
        assert found_under(after, 1) == subscriber_key(Mac(1))

    def test_a_mac_on_too_many_lines_is_served_on_the_first(self) -> None:
        """One MAC everywhere is bounded (I12); what is not served is remembered."""
        lines = [f"access0:{number}" for number in range(1, MAX_LINES_PER_MAC + 20)]
        site = Site(size=len(lines) + 1)
        for name in lines:
            site.lease(1, name)
        projection = applied(site)
        site.lease(2, "access1")
        projection.apply(records_of(site.log)[-1], NOW_BOOT)

        assert len(projection.removals.unserved()) == projection.unserved == 19
        assert len(view(projection.datapath).bindings) == MAX_LINES_PER_MAC + 1
        assert served_first(projection, 2) is not None


class TestFullTable:
    def test_whoever_finds_no_room_is_not_served_and_counted(self) -> None:
        """A full table refuses the newcomer and leaves the others alone."""
        site = Site(size=4)
        for mac in (1, 2, 3):
            site.lease(mac)
        projection = applied(site, size=2)

        assert len(view(projection.datapath).bindings) == 2
        assert projection.unserved == 1

    def test_a_removal_from_a_full_table_survives_a_restart(self) -> None:
        """What is owed is in the tables even when there was no room for one more entry."""
        site = Site(size=2)
        ips = [site.lease(mac) for mac in (1, 2)]
        site.do(RevokeLease(req="x", ip=ips[0], cause="operator"))
        projection = applied(site, size=2)
        restarted = projection_of(projection.datapath)  # type: ignore[arg-type]

        assert [removal.ip for removal in restarted.removals] == [ips[0]]

    def test_room_that_comes_back_is_used(self) -> None:
        """A slot refused by a full table is not lost."""
        site = Site(size=4)
        ips = [site.lease(mac) for mac in (1, 2, 3)]
        site.do(RevokeLease(req="x", ip=ips[0], cause="operator"))
        site.ack(ips[0])
        site.do(RevokeLease(req="x", ip=ips[2], cause="operator"))
        site.ack(ips[2])
        site.wait(121)
        site.lease(4)
        projection = applied(site, size=2)

        assert served_first(projection, 4) is not None


class TestPromises:
    def test_a_new_binding_is_promised_as_if_answered(self) -> None:
        """P of a new binding covers what an ACK at that moment would say, within E (I6)."""
        site = Site()
        site.lease(1)
        projection = applied(site)
        slot = served_first(projection, 1).slot  # type: ignore[union-attr]

        assert projection.datapath.promise(slot) == NOW_BOOT + 3600 * SECOND

    def test_a_promise_outlives_the_return_of_the_address_to_its_holder(self) -> None:
        """I7: revoke, acknowledge, assign again to the same holder, revoke: the first promise
        still counts."""
        site = Site()
        ip = site.lease(1)
        projection = applied(site)
        done = len(site.log)
        old = served_first(projection, 1)
        assert old
        projection.datapath.raise_promise(old.slot, NOW_BOOT + 3600 * SECOND)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.ack(ip, remaining_s=3600)
        site.lease(1)
        site.lease(2)
        site.do(RevokeLease(req="y", ip=ip, cause="operator"))
        for record in records_of(site.log)[done:]:
            projection.apply(record, NOW_BOOT + 10 * SECOND)
        owed = projection.removals.of(ip)
        assert owed

        assert projection.promises.remaining_s(owed, NOW_BOOT + 10 * SECOND) >= 3590

    def test_the_remainder_is_rounded_up(self) -> None:
        """What is still promised is never told shorter than it is."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        projection = applied(site)
        [owed] = projection.removals
        projection.datapath.raise_promise(owed.slot, NOW_BOOT + 7200 * SECOND + 1)

        assert projection.promises.remaining_s(owed, NOW_BOOT) == 7201
        assert projection.promises.remaining_s(owed, NOW_BOOT + 9000 * SECOND) == 0


class Crash(Exception):
    pass


class CrashingDatapath(MemoryDatapath):
    """Dies before the n-th change of the subscriber table; what was changed before stands."""

    left: int | None = None

    def _spend(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Crash

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        self._spend()
        super().put(key, assignment)

    def remove(self, key: SubscriberKey) -> None:
        self._spend()
        super().remove(key)


def promised_to(projection: Projection) -> dict[tuple[Mac, Ipv4], int]:
    """P of every holder, whether bound or removed."""
    return {
        (key_mac(key), found.ip): projection.datapath.promise(found.slot)
        for key, found in projection.datapath.entries()
        if found.slot != NO_SLOT
    }


class TestCrashes:
    @pytest.mark.parametrize("seed", range(12))
    def test_applying_anew_from_any_torn_point_gives_the_same_tables(self, seed: int) -> None:
        """I4: die before any single write of a batch, start anew, apply the batch again: the
        tables are those of an undisturbed edge, and no promise is forgotten."""
        records = records_of(random_events(seed, 40))
        chance = random.Random(seed)
        for _ in range(6):
            start = chance.randrange(len(records))
            stop = min(len(records), start + chance.randint(1, 12))
            self._die_everywhere(records, start, stop)

    def _die_everywhere(self, records: Sequence[Record], start: int, stop: int) -> None:
        undisturbed = view(projection_of(open_tables(), records[:stop]).datapath)
        assert undisturbed == expected(ledger_of(records[:stop]))
        for writes in range(1000):
            datapath = CrashingDatapath(64)
            open_tables(datapath=datapath)
            projection = projection_of(datapath, records[:start])
            for number, (_, found) in enumerate(datapath.entries()):
                datapath.raise_promise(found.slot, NOW_BOOT + (9000 + number) * SECOND)
            before = promised_to(projection)
            datapath.left = writes
            try:
                for record in records[start:stop]:
                    projection.apply(record, NOW_BOOT)
                is_through = True
            except Crash:
                is_through = False
            datapath.left = None
            restarted = projection_of(datapath, records[start:stop])

            assert view(datapath) == undisturbed, f"events {start + 1}-{stop}, write {writes}"
            after = promised_to(restarted)
            for owed in restarted.removals:
                holder = (key_mac(owed.key), owed.ip)
                assert after.get(holder, 0) >= before.get(holder, 0), "a promise was forgotten"
            if is_through:
                return
        raise AssertionError("endless")

    @pytest.mark.parametrize(
        "until", ["removed", "removed again", "bound again", "bound elsewhere"]
    )
    def test_an_event_applied_again_does_not_undo_a_later_one(self, until: str) -> None:
        """Not even for a moment: older events of a subscriber leave its newer state alone (I4)."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        if until == "removed again":
            site.lease(1)
            site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        if until == "bound again":
            site.lease(1)
        if until == "bound elsewhere":
            site.ack(ip)
            site.request(1, ip + 1)
        records = records_of(site.log)
        projection = projection_of(open_tables(), records)
        before = dict(projection.datapath.entries())
        for record in records:
            if isinstance(record.event, LeaseAssigned | LeaseRevoked):
                projection.apply(record, NOW_BOOT)
                after = dict(projection.datapath.entries())
                if "bound" in until:  # the end owes again until its ack is applied again
                    before, after = (
                        {key: found for key, found in entries.items() if key >> 48 < TOMBSTONE}
                        for entries in (before, after)
                    )
                assert after == before, record.entry_id

    def test_an_address_freed_long_ago_does_not_settle_a_later_removal(self) -> None:
        """I7: the event that freed an address, applied again, leaves what ended since owed."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        site.ack(ip)
        site.wait(site.timing.reuse_guard_s + 1)
        freed = records_of(site.log)[-1]
        assert isinstance(freed.event, AddressFreed)
        site.lease(1)
        site.do(RevokeLease(req="y", ip=ip, cause="operator"))
        projection = applied(site)
        projection.apply(freed, NOW_BOOT)

        assert [owed.ref for owed in projection.removals] == [site.ledger.seq]

    def test_the_end_of_another_address_takes_no_binding(self) -> None:
        """I4: an event that names another address than the tables have leaves the binding alone."""
        site = Site()
        ip = site.lease(1)
        projection = applied(site)
        revoked = LeaseRevoked(
            mac=Mac(1), ip=Ipv4(ip + 1), pool="res-1", line="access0", cause="operator", req="x"
        )
        record = replace(records_of(site.log)[-1], seq=site.ledger.seq + 1, event=revoked)
        projection.apply(record, NOW_BOOT)

        assert served_first(projection, 1) == projection.find(Mac(1), ACCESS0)[1]  # type: ignore[index]
        assert [owed.ip for owed in projection.removals] == [ip + 1]

    def test_of_two_tombstones_the_newer_counts(self) -> None:
        """A table that holds two for one address is read as owing the later removal."""
        datapath = open_tables()
        for number, ref in ((0, 9), (1, 12), (2, 10)):
            key = subscriber_key(Mac(1), TOMBSTONE + number)
            datapath.put(key, Assignment(FIRST, 1, number, Line(0), ref))
        [owed] = projection_of(datapath).removals

        assert (owed.ref, owed.slot) == (12, 1)
        assert len(list(datapath.entries())) == 1

    def test_tombstones_survive_the_process(self) -> None:
        """What is owed is found again in the tables, with slot, promise and reference."""
        site = Site()
        ip = site.lease(1)
        site.do(RevokeLease(req="x", ip=ip, cause="operator"))
        projection = applied(site)
        [before] = projection.removals
        projection.datapath.raise_promise(before.slot, NOW_BOOT + 7000 * SECOND)
        restarted = projection_of(projection.datapath)  # type: ignore[arg-type]
        [after] = restarted.removals

        assert after == before
        assert restarted.promises.remaining_s(after, NOW_BOOT) == 7000

    def test_a_tombstone_is_under_a_key_that_no_packet_is_judged_by(self) -> None:
        """Discriminators of tombstones lie beyond every line number."""
        site = Site()
        site.do(RevokeLease(req="x", ip=site.lease(1), cause="operator"))
        [(key, _)] = applied(site).datapath.entries()

        assert key >> 48 >= TOMBSTONE > MAX_LINES_PER_MAC

    def test_slots_are_never_shared_by_two_live_bindings(self) -> None:
        """Over long histories with restarts, each live binding and tombstone has its own slot."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        records = records_of(random_events(seed, 400, size=12, macs=6))
        datapath = open_tables()
        for start in range(0, len(records), 7):
            projection_of(datapath, records[start : start + 7])
            view(datapath)
        assert view(datapath) == expected(ledger_of(records))
        assert LINES.parse("access0")
