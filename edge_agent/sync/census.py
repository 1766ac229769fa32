"""The census: which bindings stand in the tables, as a digest and as a count for each line."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np

from edge_agent.datapath.columns import Rows, are_whole, discriminators, macs_of, places_of
from edge_agent.datapath.port import Datapath
from edge_agent.dhcp.tables import CIRCUIT_TAG, Assignment, Entry, Line, SubscriberKey, holder
from edge_agent.sync.lines import Lines
from edge_agent.sync.occupancy import Occupancy
from edge_agent.sync.pools import Pools
from edge_agent.sync.removals import TOMBSTONE
from lease_core.domain.columns import Bindings, BindingsDigest
from lease_core.domain.ledger import Binding
from lease_core.domain.mixing import Words


def found_under(datapath: Datapath, keys: Iterable[SubscriberKey]) -> Iterator[Entry]:
    """The entries that stand under these keys."""
    for key in keys:
        found = datapath.lookup(key)
        if found:
            yield key, found


class Census:
    """Follows every change of the live bindings; damaged entries are not counted."""

    def __init__(
        self, datapath: Datapath, lines: Lines, pools: Pools, limited: Collection[int]
    ) -> None:
        """`limited` are the interfaces where it is counted how many are bound on a line."""
        self.digest = BindingsDigest()
        """Over the live bindings in the tables; the ledger's at the same event is equal (I4)."""
        self.occupancy = Occupancy(limited)
        self._datapath = datapath
        self._lines = lines
        self._pools = pools

    def add(self, key: SubscriberKey, found: Assignment) -> None:
        if found.check_ok:
            self.digest.add(self._binding(key, found))
            self.occupancy.add(found.line)

    def discard(self, key: SubscriberKey, found: Assignment) -> None:
        if found.check_ok:
            self.digest.discard(self._binding(key, found))
            self.occupancy.discard(found.line)

    def add_all(self, bindings: Bindings) -> None:
        """Many that are in the tables now."""
        self.digest.add_all(bindings)
        counts = np.bincount(bindings.place, minlength=len(bindings.places)).tolist()
        for (text, _), count in zip(bindings.places, counts, strict=True):
            line = self._lines.parse(text) if self.occupancy.counts_any else None
            if line:
                self.occupancy.add(line, count)

    def take(self, keys: Words, rows: Rows) -> None:
        """Count in what stands in these entries."""
        apart, whole = self._live(keys, rows)
        for entry in apart:
            self.add(*entry)
        self.add_all(whole)

    def retake(self) -> None:
        """Count anew what somebody else has changed."""
        self.digest = BindingsDigest()
        self.occupancy.clear()
        for keys, rows in self._datapath.rows():
            self.take(keys, rows)

    def add_to(self, digest: BindingsDigest, keys: Words, rows: Rows) -> None:
        """Add to another digest what stands in these entries."""
        apart, whole = self._live(keys, rows)
        for key, found in apart:
            if found.check_ok:
                digest.add(self._binding(key, found))
        digest.add_all(whole)

    def _live(self, keys: Words, rows: Rows) -> tuple[list[Entry], Bindings]:
        """The live entries: those of circuits one by one, their lines stand elsewhere."""
        is_live = discriminators(keys) < TOMBSTONE
        is_apart = keys >> np.uint64(56) == np.uint64(CIRCUIT_TAG)
        apart = list(found_under(self._datapath, keys[is_live & is_apart].tolist()))
        is_whole = is_live & ~is_apart & are_whole(keys, rows)
        return apart, self._bindings(keys[is_whole], rows[is_whole])

    def _bindings(self, keys: Words, rows: Rows) -> Bindings:
        """Entries of the tables in the words of the log."""
        fields, place = places_of(rows)
        lines = (Line(ifindex, s_vlan, c_vlan) for ifindex, s_vlan, c_vlan, _ in fields)
        names = (self._pools.name_of(number) for *_, number in fields)
        places = list(zip(map(self._lines.text, lines), names, strict=True))
        ips = rows["ip_be"].astype(np.uint32)
        return Bindings(macs_of(keys, rows), ips, rows["seq"], place, places)

    def _binding(self, key: SubscriberKey, found: Assignment) -> Binding:
        line, pool = self._lines.text(found.line), self._pools.name_of(found.pool_id)
        return Binding(holder(key, found), line, found.ip, pool, found.seq)
