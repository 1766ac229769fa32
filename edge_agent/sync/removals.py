"""Removals: bindings that an event ended and whose addresses nobody else may have yet.

Each leaves a tombstone in the subscriber table, under a key that no packet is judged by. It keeps
slot and reference, so an agent that dies between the removal and its acknowledgement finds out on
restart what it still owes. Acknowledged, it stays until the address is freed: should the log lose
all of this, the edge still knows what it promised. At most one for an address.

A binding that stands but has no place here (its line is none of ours, its MAC has too many lines,
the table is full) leaves one too: nobody is answered by it, but what was promised is remembered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from edge_agent.datapath.port import Datapath, TableFullError
from edge_agent.dhcp.tables import Assignment, Line, SubscriberKey, key_mac, subscriber_key
from lease_core.domain.values import Ipv4, Mac, mac_text

audit = structlog.get_logger("edge")

TOMBSTONE = 0x8000
NO_SLOT = 0xFFFFFFFF
NO_LINE = Line(0)
ACKED_POOL = 0xFFFFFFFF
"""In a tombstone: the log has its acknowledgement."""
UNSERVED_POOL = 0xFFFFFFFE
"""In a tombstone: nothing ended; event `seq` bound what has no place here."""


@dataclass(frozen=True, slots=True)
class Removal:
    """The event `ref` ended the binding of `ip`, or made it where `is_unserved`."""

    key: SubscriberKey
    ip: Ipv4
    ref: int
    slot: int
    """`NO_SLOT` where there was no room to remember a promise."""
    line: Line
    """Where the binding was; interface 0 where its line is none of ours."""
    pool_id: int
    """The pool's number in the datapath while something is owed."""

    @property
    def is_acked(self) -> bool:
        return self.pool_id == ACKED_POOL

    @property
    def is_unserved(self) -> bool:
        return self.pool_id == UNSERVED_POOL


def discriminator(key: SubscriberKey) -> int:
    return key >> 48


def _removal(key: SubscriberKey, tombstone: Assignment) -> Removal:
    return Removal(
        key, tombstone.ip, tombstone.seq, tombstone.slot, tombstone.line, tombstone.pool_id
    )


class Removals:
    def __init__(
        self, datapath: Datapath, found: Iterable[tuple[SubscriberKey, Assignment]]
    ) -> None:
        """Take over the tombstones `found` in the datapath; of two for an address, the newer."""
        self._datapath = datapath
        self._owed: dict[Ipv4, Removal] = {}
        self._keys: set[SubscriberKey] = set()
        for key, tombstone in found:
            removal = _removal(key, tombstone)
            other = self._owed.setdefault(removal.ip, removal)
            if other is not removal:
                older, newer = sorted((other, removal), key=lambda each: each.ref)
                self._owed[removal.ip] = newer
                datapath.remove(older.key)
        self._keys.update(removal.key for removal in self._owed.values())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __iter__(self) -> Iterator[Removal]:
        """Those whose acknowledgement is owed."""
        return iter(
            [each for each in self._owed.values() if not (each.is_acked or each.is_unserved)]
        )

    def all(self) -> list[Removal]:
        """Those for which nothing is owed too."""
        return list(self._owed.values())

    def unserved(self) -> list[Removal]:
        """Bindings that stand but have no place here."""
        return [each for each in self._owed.values() if each.is_unserved]

    def of(self, ip: Ipv4) -> Removal | None:
        return self._owed.get(ip)

    def among(self, ips: Iterable[Ipv4]) -> list[bool]:
        """Of which addresses there is one."""
        return list(map(self._owed.__contains__, ips))

    def owe(self, mac: Mac, tombstone: Assignment) -> bool:
        """Remember a removal; False = the table is full, so it is remembered in memory only."""
        standing = self._owed.get(tombstone.ip)
        if standing and key_mac(standing.key) == mac:
            key = standing.key
        else:
            if standing:
                self.settle(standing.ip, standing.ref)
            key = self._free_key(mac)
        self._keys.add(key)
        self._owed[tombstone.ip] = _removal(key, tombstone)
        try:
            self._datapath.put(key, tombstone)
        except TableFullError as error:
            audit.error("table.full", mac=mac_text(mac), reason=str(error))
            return False
        return True

    def acknowledged(self, ip: Ipv4, ref: int) -> bool:
        """Keep the removal that event `ref` caused, but owe nothing; False = it is not kept."""
        removal = self._owed.get(ip)
        if removal is None or removal.ref != ref:
            return removal is not None and removal.ref > ref
        if removal.is_acked:
            return True
        tombstone = self._datapath.lookup(removal.key)
        if tombstone is None or removal.slot == NO_SLOT:
            return False
        tombstone = replace(tombstone, pool_id=ACKED_POOL)
        self._datapath.put(removal.key, tombstone)
        self._owed[ip] = _removal(removal.key, tombstone)
        return True

    def settle(self, ip: Ipv4, up_to: int) -> Removal | None:
        """Forget the removal of `ip` that event `up_to` or an earlier one caused; return it."""
        removal = self._owed.get(ip)
        if removal is None or removal.ref > up_to:
            return None
        del self._owed[ip]
        self._keys.discard(removal.key)
        self._datapath.remove(removal.key)
        return removal

    def _free_key(self, mac: Mac) -> SubscriberKey:
        number = TOMBSTONE
        while (key := subscriber_key(mac, number)) in self._keys:
            number += 1
        return key
