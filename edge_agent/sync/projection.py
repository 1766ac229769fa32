"""The projection: events become entries of the datapath's tables, and nothing else does (I4).

A MAC has one binding for each line it is seen on. On ports in key mode `MAC` they stand under
discriminators 0, 1, ... without holes, and the kernel looks at 0 alone; on the others each stands
under a key of its own. A removed binding leaves a tombstone, see `removals`.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import structlog

from edge_agent.datapath.columns import discriminators, macs_of
from edge_agent.datapath.port import Datapath, TableFullError
from edge_agent.dhcp.tables import (
    NO_MAC,
    Assignment,
    KeyMode,
    Line,
    SubscriberKey,
    holder,
    key_mac,
    key_mode,
    key_of,
    subscriber_key,
)
from edge_agent.sync.census import Census, found_under
from edge_agent.sync.lines import Lines
from edge_agent.sync.newcomers import are_strangers, put_strangers
from edge_agent.sync.pools import Pools
from edge_agent.sync.promises import Promises
from edge_agent.sync.removals import (
    NO_LINE,
    NO_SLOT,
    TOMBSTONE,
    UNSERVED_POOL,
    Removals,
)
from edge_agent.sync.slots import Slots
from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    Ending,
    LeaseAdopted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    PoolAdded,
    PoolOptionsSet,
    Record,
    RemovalAcked,
)
from lease_core.domain.ledger import Binding
from lease_core.domain.values import Ipv4, Mac, mac_text
from lease_core.log.runs import Run

MAX_LINES_PER_MAC = 8


class Projection:
    """The one writer of bindings and pools in a datapath."""

    def __init__(
        self,
        datapath: Datapath,
        lines: Lines,
        max_subscribers: int,
        site: str = "",
        *,
        limited: Collection[int] = (),
    ) -> None:
        """Take the tables as they are found: empty, or left by a former process.

        `limited` are the interfaces where it is counted how many are bound on a line.
        """
        self.datapath = datapath
        self.lines = lines
        self.unserved = 0
        self.pools = Pools(datapath)
        self.promises = Promises(datapath, self.pools)
        self.census = Census(datapath, lines, self.pools, limited)
        self.known = datapath.known
        self._max_subscribers = max_subscribers
        self._audit = structlog.get_logger("edge").bind(site=site)
        self._adopt()

    def _adopt(self) -> None:
        """Learn what stands in the tables; finish what a crash left half done."""
        used, tombstones, further = [], [], []
        for keys, rows in self.datapath.rows():
            used.append(rows["slot"])
            is_live = discriminators(keys) < TOMBSTONE
            tombstones += keys[~is_live].tolist()
            keys, rows = keys[is_live], rows[is_live]  # noqa: PLW2901 - the live ones
            self.census.take(keys, rows)
            self.known.add_all(macs_of(keys, rows))
            further += keys[discriminators(keys) != 0].tolist()
        self.slots = Slots(self._max_subscribers, np.concatenate([*used, np.zeros(0, np.uint32)]))
        self.removals = Removals(self.datapath, found_under(self.datapath, tombstones))
        for key, found in found_under(self.datapath, further):
            first = self.find(holder(key, found), found.line)
            if first and first[0] != key:
                self.census.discard(key, found)
                self._take_out(key)

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in the tables, not even what is owed."""
        return not any(len(keys) for keys, _ in self.datapath.rows())

    # --- look-ups ---

    def find(self, mac: Mac, line: Line) -> tuple[SubscriberKey, Assignment] | None:
        """The binding of a subscriber, under whichever key it stands."""
        if mac not in self.known:
            return None
        mode = self.mode_of(line)
        if mode is not KeyMode.MAC:
            key = key_of(mac, line, mode)
            found = self.datapath.lookup(key)
            is_own = found and holder(key, found) == mac and found.line == line
            return (key, found) if found and is_own else None
        for key, found in self._bindings(mac):
            if found.line == line:
                return key, found
        return None

    def key_for(self, mac: Mac, line: Line) -> SubscriberKey:
        """The key of a subscriber's binding, or the one that it would have if it came now."""
        found = self.find(mac, line)
        mode = self.mode_of(line)
        number = self._count(mac) if mode is KeyMode.MAC else 0
        return found[0] if found else key_of(mac, line, mode, number)

    def line_of(self, text: str) -> Line | None:
        """The line that `text` names, of the kind that its port has; None where it is not ours."""
        line = self.lines.parse(text)
        is_ours = line and bool(line.circuit) == (self.mode_of(line) is KeyMode.CIRCUIT)
        return line if is_ours else None

    def mode_of(self, line: Line) -> KeyMode:
        """What the port of a line finds subscribers by."""
        port = self.datapath.port(line.ifindex)
        return port.key if port else KeyMode.MAC

    def _bindings(self, mac: Mac) -> Iterator[tuple[SubscriberKey, Assignment]]:
        for number in range(MAX_LINES_PER_MAC):
            key = subscriber_key(mac, number)
            found = self.datapath.lookup(key)
            if found is None:
                return
            yield key, found

    # --- events ---

    def apply_run(self, run: Run, now_boot_ns: int) -> Iterator[int]:
        """Apply leases step by step, newcomers together; after each, how many went with it.

        Raises:
            LedgerError: the next one contradicts what the log said before.
        """
        bindings = run.bindings()
        are_new = are_strangers(self, bindings)
        turns = np.flatnonzero(are_new[1:] != are_new[:-1]) + 1
        for start, stop in pairwise((0, *turns.tolist(), len(run))):
            put = put_strangers(self, bindings[start:stop], now_boot_ns) if are_new[start] else 0
            yield put
            for record in run[start + put : stop]:
                self.apply(record, now_boot_ns)
                yield 1

    def apply(self, record: Record, now_boot_ns: int) -> None:
        """Bring the tables to the state after `record`; applying it again changes nothing.

        Raises:
            LedgerError: it contradicts what the log said before; nothing was written.
        """
        match record.event:
            case LeaseAssigned() | LeaseAdopted() as assigned:
                self._assign(assigned, record.seq, now_boot_ns)
            case LeaseReleased() | LeaseExpired() | LeaseRevoked() | AddressDeclined() as ended:
                self._end(ended, record.seq, now_boot_ns)
            case RemovalAcked() as acked:
                if not self.removals.acknowledged(acked.ip, acked.ref):
                    self.bury(acked.ip, acked.ref)
            case AddressFreed() as freed:
                self.bury(freed.ip, record.seq)
            case PoolAdded() as added:
                self.pools.put(added)
            case PoolOptionsSet() as changed:
                self.pools.set_options(changed)
            case _:
                pass

    def _assign(self, event: LeaseAssigned | LeaseAdopted, seq: int, now_boot_ns: int) -> None:
        self.pools.number(event.pool)
        owed = self.removals.of(event.ip)
        if owed and owed.ref > seq:  # applied again, and ended since
            return
        promised_ns = self.promises.under(owed) if owed else 0
        self.bury(event.ip, seq)
        line = self.line_of(event.line)
        found = self.find(event.mac, line) if line else None
        if found is None or found[1].seq < seq:
            binding = Binding(event.mac, event.line, event.ip, event.pool, seq)
            longest_ns = self.promises.longest_in(event.pool, now_boot_ns)
            self.put(binding, line, max(promised_ns, longest_ns))

    def _end(self, event: Ending, seq: int, now_boot_ns: int) -> None:
        line = self.line_of(event.line)
        found = self.find(event.mac, line) if line else None
        owed = self.removals.of(event.ip)
        if found and found[1].ip == event.ip and found[1].seq < seq:
            self.remove(*found, ref=seq)
        elif owed is None or owed.ref < seq:
            is_known = owed is not None and owed.slot != NO_SLOT
            promised_ns = 0 if is_known else self.promises.longest_in(event.pool, now_boot_ns)
            number = self.pools.number(event.pool)
            self.owe(event.mac, line, event.ip, seq, promised_ns, pool_id=number)

    # --- bindings ---

    def put(self, binding: Binding, line: Line | None, promised_ns: int) -> None:
        """Write a binding over the one of its line, or under the first free key.

        Its holder may have been promised the address until `promised_ns` already, as if an ACK
        had told it of this very binding: under one that ended meanwhile. Without a place it is
        not served, but that is remembered.

        Raises:
            LedgerError: the log never told of its pool.
        """
        number = self.pools.number(binding.pool)
        slot = self._write(binding, line, number) if line else f"{binding.line} is no line of ours"
        if isinstance(slot, int):
            self.datapath.raise_promise(slot, promised_ns)
            return
        self._leave_unserved("table.full" if line else "line.unknown", binding.mac, slot)
        at = None if line and line.circuit else line  # a tombstone has no room for circuits
        ip, seq = binding.ip, binding.seq
        self.owe(binding.mac, at, ip, seq, promised_ns, pool_id=UNSERVED_POOL)

    def _write(self, binding: Binding, line: Line, number: int) -> int | str:
        """Write a binding where there is a place for it; its slot, or why there is none."""
        found = self.find(binding.mac, line)
        key = found[0] if found else self._free_key(binding.mac, line)
        if isinstance(key, str):
            return key
        if found:
            self.census.discard(*found)
        slot = found[1].slot if found else self.slots.take(key)
        if slot is None:
            return "no slot is left; raise max_subscribers"
        try:
            owner = NO_MAC if key_mode(key) is KeyMode.MAC else binding.mac
            put = Assignment(binding.ip, number, slot, line, binding.seq, mac=owner)
            self.known.add(binding.mac)
            self.datapath.put(key, put)
            self.census.add(key, put)
        except TableFullError as error:
            self.slots.give(slot)
            return str(error)
        return slot

    def has_room(self, mac: Mac, line: Line) -> bool:
        """Whether a subscriber who is not bound would be served here if he were."""
        return not self.slots.is_full and not isinstance(self._free_key(mac, line), str)

    def _free_key(self, mac: Mac, line: Line) -> SubscriberKey | str:
        """The key of a new binding, or why there is none."""
        mode = self.mode_of(line)
        if mode is KeyMode.MAC:
            number = self._count(mac)
            if number < MAX_LINES_PER_MAC:
                return subscriber_key(mac, number)
            return f"it is bound on {MAX_LINES_PER_MAC} lines already"
        key = key_of(mac, line, mode)
        return "another subscriber has the same key" if self.datapath.lookup(key) else key

    def _count(self, mac: Mac) -> int:
        return sum(1 for _ in self._bindings(mac)) if mac in self.known else 0

    def _leave_unserved(self, what: str, mac: Mac, reason: str) -> None:
        """Count it; say it the 1st, 2nd, 4th, 8th ... time (I12)."""
        self.unserved += 1
        if not self.unserved & (self.unserved - 1):
            self._audit.error(what, mac=mac_text(mac), reason=reason, unserved=self.unserved)

    def remove(self, key: SubscriberKey, assignment: Assignment, ref: int) -> None:
        """Take a binding from the kernel and leave a tombstone; the last of the MAC fills in."""
        self.census.discard(key, assignment)
        is_kept = self.entomb(holder(key, assignment), assignment, ref)
        self._take_out(key)
        if not is_kept:  # the table was full; there is room now
            self.entomb(holder(key, assignment), assignment, ref)

    def entomb(self, mac: Mac, assignment: Assignment, ref: int) -> bool:
        """Leave a tombstone of a binding; it takes over the promise of an older one."""
        older = self.removals.of(assignment.ip)
        if older and older.slot != assignment.slot:
            self.promises.carry(older.slot, assignment.slot)
            self.bury(assignment.ip, older.ref)
        return self.removals.owe(mac, replace(assignment, seq=ref))

    def _take_out(self, key: SubscriberKey) -> None:
        if key_mode(key) is not KeyMode.MAC:
            self.datapath.remove(key)
            return
        bindings = list(self._bindings(key_mac(key)))
        last_key, last = bindings[-1] if bindings else (key, None)
        if last and last_key != key:
            self.datapath.put(key, last)
        self.datapath.remove(last_key)

    def take_slot(self, shared: int) -> int:
        """A slot of its own for a binding that shared one, with the promise of the shared one."""
        slot = self.slots.take()
        if slot is None:
            return NO_SLOT
        self.promises.carry(shared, slot)
        return slot

    # --- removals ---

    def owe(
        self,
        mac: Mac,
        line: Line | None,
        ip: Ipv4,
        ref: int,
        promised_ns: int,
        *,
        pool_id: int,
    ) -> None:
        """Leave a tombstone of what is not in the tables; it takes over an older one's promise.

        Until `promised_ns` the holder may have been promised the address elsewhere, or before.
        """
        standing = self.removals.of(ip)
        slot = standing.slot if standing else NO_SLOT
        slot = self.take_slot(NO_SLOT) if slot == NO_SLOT else slot
        self.datapath.raise_promise(slot, promised_ns)
        self.known.add(mac)
        self.removals.owe(mac, Assignment(ip, pool_id, slot, line or NO_LINE, ref))

    def bury(self, ip: Ipv4, up_to: int) -> None:
        """Forget a removal that event `up_to` or an earlier one ended."""
        removal = self.removals.settle(ip, up_to)
        if removal:
            self.slots.give(removal.slot)
