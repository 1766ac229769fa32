"""Reconcile: make the tables equal to the log's own state when following it was interrupted.

Used after a gap, and when the tables were made for other interfaces. What is right stays
untouched, so a known client goes on being answered meanwhile; what was promised under a wrong
entry is carried over to whatever takes its place.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from edge_agent.dhcp.tables import (
    Assignment,
    Entry,
    KeyMode,
    Line,
    holder,
    key_mac,
    key_mode,
    key_of,
    subscriber_key,
)
from edge_agent.sync.newcomers import are_strangers, put_strangers
from edge_agent.sync.projection import MAX_LINES_PER_MAC, Projection
from edge_agent.sync.promises import SECOND_NS
from edge_agent.sync.removals import NO_SLOT, TOMBSTONE, discriminator
from edge_agent.sync.removals import Removal as Owed
from lease_core.domain.columns import Bindings, bindings_of
from lease_core.domain.ledger import Binding, Ledger, Removal
from lease_core.domain.rows import PORTION
from lease_core.domain.values import Mac


def reconcile(projection: Projection, ledger: Ledger, now_boot_ns: int) -> int:
    """Bring the tables to the ledger's state; return how many bindings were wrong.

    Whoever is put or removed by an event that was not followed may have been promised as much as
    an ACK would promise now. Takes time and memory for every entry.
    """
    for pool in ledger.pools.values():
        projection.pools.put(pool)
    right, wrong = _sorted_out(projection, ledger)
    renewed = _renew(projection, ledger, right, now_boot_ns)
    own_slots = {found.slot for entries in right.values() for _, found in entries}
    for owed in projection.removals.all():
        slot = _own_slot(projection, owed.slot, own_slots)
        if slot != owed.slot:
            moved = Assignment(owed.ip, 0, slot, owed.line, owed.ref)
            projection.removals.owe(key_mac(owed.key), moved)
    for key, found in wrong:
        slot = _own_slot(projection, found.slot, own_slots)
        projection.entomb(holder(key, found), replace(found, slot=slot), ref=ledger.seq)
        projection.datapath.remove(key)
    for mac, entries in right.items():
        _close_holes(projection, mac, entries)
    missing = _put_missing(projection, ledger, now_boot_ns)
    settle_removals(projection, ledger, now_boot_ns)
    remember_former(projection, ledger)
    if wrong or renewed:
        projection.census.retake()
    return renewed + max(len(wrong), missing)


def _sorted_out(
    projection: Projection, ledger: Ledger
) -> tuple[dict[Mac, list[Entry]], list[Entry]]:
    """Right bindings by MAC in the order of their keys, and everything that must go."""
    right: dict[Mac, list[Entry]] = defaultdict(list)
    wrong: list[Entry] = []
    seen: set[tuple[Mac, Line]] = set()
    slots: set[int] = set()
    for key, found in sorted(projection.datapath.entries(), key=lambda entry: entry[0] >> 48):
        mac = holder(key, found)
        if discriminator(key) >= TOMBSTONE:
            continue
        if (
            _is_right(projection, ledger, mac, (key, found))
            and (mac, found.line) not in seen
            and found.slot not in slots
            and (key_mode(key) is not KeyMode.MAC or len(right[mac]) < MAX_LINES_PER_MAC)
        ):
            right[mac].append((key, found))
            seen.add((mac, found.line))
            slots.add(found.slot)
        else:
            wrong.append((key, found))
    return right, wrong


def _is_right(projection: Projection, ledger: Ledger, mac: Mac, entry: Entry) -> bool:
    key, found = entry
    mode = projection.mode_of(found.line)
    binding = ledger.bound.get(found.ip)
    return (
        binding is not None
        and found.check_ok
        and mac == binding.mac
        and key_mode(key) is mode
        and (mode is KeyMode.MAC or key == key_of(mac, found.line, mode))
        and found.line == projection.line_of(binding.line)
        and found.pool_id == projection.pools.number(binding.pool)
        and projection.datapath.raise_promise(found.slot, 0)  # the slot exists
    )


def _renew(
    projection: Projection, ledger: Ledger, right: dict[Mac, list[Entry]], now_boot_ns: int
) -> int:
    """Let every entry name the event that gave its holder the address last; return how many.

    In its place: who dies meanwhile leaves no known client without an entry.
    """
    renewed = 0
    for entries in right.values():
        for at, (key, found) in enumerate(entries):
            binding = ledger.bound[found.ip]
            if found.seq != binding.seq:
                entries[at] = key, replace(found, seq=binding.seq)
                projection.datapath.put(*entries[at])
                lease_time_s = ledger.pools[binding.pool].lease_time_s
                longest_ns = projection.promises.longest(lease_time_s, now_boot_ns)
                projection.datapath.raise_promise(found.slot, longest_ns)
                renewed += 1
    return renewed


def _own_slot(projection: Projection, slot: int, own: set[int]) -> int:
    """The slot, or another in its place where it belongs to somebody else already."""
    mine = projection.take_slot(slot) if slot in own else slot
    if mine != NO_SLOT:
        own.add(mine)
    return mine


def _close_holes(projection: Projection, mac: Mac, entries: list[Entry]) -> None:
    """Bring the bindings of a MAC, in order, to discriminators 0, 1, ..."""
    by_mac = (entry for entry in entries if key_mode(entry[0]) is KeyMode.MAC)
    for number, (key, found) in enumerate(by_mac):
        wanted = subscriber_key(mac, number)
        if key != wanted:
            projection.datapath.put(wanted, found)
            projection.datapath.remove(key)


def _put_missing(projection: Projection, ledger: Ledger, now_boot_ns: int) -> int:
    missing, bound = 0, list(ledger.bound.values())
    for start in range(0, len(bound), PORTION):
        rows = [(b.mac, b.line, b.ip, b.pool, b.seq) for b in bound[start : start + PORTION]]
        missing += put_all(projection, bindings_of(rows), ledger, now_boot_ns)
    return missing


def put_all(projection: Projection, bindings: Bindings, ledger: Ledger, now_boot_ns: int) -> int:
    """Put bindings that may be there, newcomers together; return how many were missing."""
    are_new = np.flatnonzero(are_strangers(projection, bindings))
    written = put_strangers(projection, bindings[are_new], now_boot_ns)
    are_left = np.ones(len(bindings), np.bool_)
    are_left[are_new[:written]] = False
    left = map(bindings.row, np.flatnonzero(are_left).tolist())
    return written + sum(put_one(projection, each, ledger, now_boot_ns) for each in left)


def put_one(projection: Projection, binding: Binding, ledger: Ledger, now_boot_ns: int) -> bool:
    """Put a binding that may be there; return whether it was missing."""
    line = projection.line_of(binding.line)
    if line and projection.find(binding.mac, line):
        return False
    owed = projection.removals.of(binding.ip)
    if line is None and owed and owed.is_unserved and owed.ref == binding.seq:
        return False
    promised_ns = projection.promises.under(owed) if owed else 0
    lease_time_s = ledger.pools[binding.pool].lease_time_s
    longest_ns = projection.promises.longest(lease_time_s, now_boot_ns)
    projection.put(binding, line, max(promised_ns, longest_ns))
    return line is not None


def remember_former(projection: Projection, ledger: Ledger) -> None:
    """Who had an address is no stranger: it gets that one again, if it is still free."""
    projection.known.add_all(np.array([mac for mac, _ in ledger.former], np.uint64))


def settle_removals(projection: Projection, ledger: Ledger, now_boot_ns: int) -> None:
    """Owe exactly the acknowledgements that the log still waits for, and keep what rests."""
    for owed in projection.removals.all():
        if owed.ip not in ledger.removed and not _is_unserved(projection, ledger, owed):
            projection.bury(owed.ip, owed.ref)
    for removal in ledger.removed.values():
        standing = projection.removals.of(removal.binding.ip)
        is_seen = standing is not None and standing.ref == removal.seq
        if removal.quarantine_s is None:
            if not is_seen or (standing and standing.is_acked):
                _entomb_anew(projection, ledger, removal, now_boot_ns)
        elif not is_seen or not _rests(projection, removal):
            _entomb_anew(projection, ledger, removal, now_boot_ns)
            if not _rests(projection, removal):
                projection.bury(removal.binding.ip, removal.seq)


def _is_unserved(projection: Projection, ledger: Ledger, owed: Owed) -> bool:
    """Whether a tombstone stands for a binding that has no place in the tables."""
    binding = ledger.bound.get(owed.ip)
    if binding is None or not owed.is_unserved:
        return False
    line = projection.line_of(binding.line)
    return line is None or projection.find(binding.mac, line) is None


def _rests(projection: Projection, removal: Removal) -> bool:
    return projection.removals.acknowledged(removal.binding.ip, removal.seq)


def _entomb_anew(
    projection: Projection, ledger: Ledger, removal: Removal, now_boot_ns: int
) -> None:
    """Leave the tombstone of a removal that these tables did not see, or saw otherwise.

    One that is acknowledged already was promised no longer than its quarantine lasts.
    """
    binding = removal.binding
    if removal.quarantine_s is None:
        lease_time_s = ledger.pools[binding.pool].lease_time_s
        end_ns = projection.promises.longest(lease_time_s, now_boot_ns)
    else:
        end_ns = now_boot_ns + removal.quarantine_s * SECOND_NS
    line = projection.line_of(binding.line)
    number = projection.pools.number(binding.pool)
    projection.owe(binding.mac, line, binding.ip, removal.seq, end_ns, pool_id=number)
