"""A ledger from the rows of another: strict, because rows come from a store that others may write.

What is checked here is form: types, ranges, references. That the rows are the right ones, a
digest tells.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, product
from types import NoneType
from typing import Any, Final

from lease_core.domain.events import PoolAdded
from lease_core.domain.ledger import RETIRED_INCARNATIONS, Ledger
from lease_core.domain.rows import POOL_FIELDS, ROWS_VERSION, Row
from lease_core.domain.state import (
    Binding,
    EdgeLife,
    LedgerError,
    Recovery,
    Removal,
    SnapshotMark,
)
from lease_core.domain.values import Ipv4, Mac

_HELD: Final = (str, int, str, int, str, int)
_POOL: Final = (str, str, int, str, int, int, int, str, int, str)
_OPTIONAL: Final = (int, NoneType)
_TYPES: Final[dict[object, set[tuple[type, ...]]]] = {
    "site": {(str, int, int, int, str, str, int)},
    "retired": {(str, str)},
    "snapshot": {(str, int, str, str, str)},
    "pool": {_POOL, (*_POOL, str, int)},
    "removed": {(*_HELD, int, *two, bool) for two in product(_OPTIONAL, _OPTIONAL)},
    "freed": {(*_HELD, bool)},
    "declines": {(str, int, int)},
    "since": {(str, int, int)},
    "recovery": {(str, int, str, str)},
    "replaces": {(str, str)},
}
"""The types that a row of each kind may have."""

_MAX_INT: Final = 10**18


class Restoring:
    """Takes rows in portions, in the order of `rows_of`; `ledger` is whole after the last one."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._version = 0
        self._take: dict[object, Callable[..., None]] = {
            "site": self._site,
            "retired": self._retired,
            "snapshot": self._snapshot,
            "pool": self._pool,
            "removed": self._removed,
            "freed": self._freed,
            "declines": self._declines,
            "since": self._since,
            "recovery": self._recovery,
            "replaces": self._replaces,
        }

    def add(self, rows: Iterable[Row]) -> None:
        """Take further rows.

        Raises:
            LedgerError: one has another form, or contradicts those before it.
        """
        for kind, alike in groupby(rows, lambda row: row[0] if row else None):
            if kind == "bound":
                self._bound(list(alike))
                continue
            for row in alike:
                if tuple(map(type, row)) not in _TYPES.get(kind, ()):
                    raise LedgerError(f"a row of kind {kind!a:.40} has another form")
                self._take[kind](*row[1:])

    def _check(self, *, is_right: bool, what: str) -> None:
        if not is_right:
            raise LedgerError(f"a row of kind {what} contradicts the rows before it")

    def _site(self, version: int, seq: int, epoch: int, *life: Any) -> None:
        edge, incarnation, since_seq = life
        is_right = 0 < version <= ROWS_VERSION and not self._version and 0 <= since_seq <= seq
        self._check(is_right=is_right and seq < _MAX_INT > epoch >= 0, what="site")
        self._version = version
        self.ledger.seq, self.ledger.epoch = seq, epoch
        self.ledger.edge = EdgeLife(edge, incarnation, since_seq) if since_seq else None

    def _retired(self, incarnation: str) -> None:
        retired = (*self.ledger.retired, incarnation)
        self._check(is_right=len(retired) <= RETIRED_INCARNATIONS, what="retired")
        self.ledger.retired = retired

    def _snapshot(self, covers: int, digest: str, taker: str, verifier: str) -> None:
        self._check(is_right=0 < covers < self.ledger.seq, what="snapshot")
        self.ledger.taken = SnapshotMark(covers, digest, taker, verifier)
        if verifier:
            self.ledger.verified = self.ledger.taken

    def _pool(self, *values: Any) -> None:
        try:
            added = PoolAdded(**dict(zip(POOL_FIELDS, values, strict=False)))
            self.ledger.add_pool(added, self.ledger.seq)
        except ValueError as error:
            raise LedgerError(f"a row of kind pool: {error}") from error

    def _binding(self, what: str, held: Sequence[Any]) -> Binding:
        mac, line, ip, pool, seq = held
        ledger = self.ledger
        address = Ipv4(ip)
        is_new = not (
            address in ledger.bound or address in ledger.removed or address in ledger.freed
        )
        in_range = 0 <= mac < 1 << 48 and 0 <= ip < 1 << 32 and 0 < seq <= ledger.seq
        if not (is_new and in_range and pool in ledger.pools):
            self._check(is_right=False, what=what)
        return Binding(Mac(mac), sys.intern(line), address, ledger.pools[pool].pool, seq)

    def _bound(self, rows: Sequence[Any]) -> None:
        """Live bindings, which are most of the rows, column by column."""
        columns = list(zip(*rows, strict=True)) if {*map(len, rows)} == {len(_HELD)} else []
        if [{*map(type, column)} for column in columns] != [{kind} for kind in _HELD]:
            raise LedgerError("a row of kind bound has another form")
        _, macs, lines, ips, pools, seqs = columns
        ledger = self.ledger
        tables = (ledger.bound, ledger.removed, ledger.freed)
        is_new = all(table.keys().isdisjoint(ips) for table in tables)
        in_range = min(macs) >= 0 <= min(ips) and max(macs) < 1 << 48 and max(ips) < 1 << 32
        self._check(
            is_right=is_new
            and in_range
            and 0 < min(seqs) <= max(seqs) <= ledger.seq
            and len({*ips}) == len(ips)
            and ledger.pools.keys() >= {*pools},
            what="bound",
        )
        line_of = {line: sys.intern(line) for line in {*lines}}
        pool_of = {name: pool.pool for name, pool in ledger.pools.items()}
        held = (macs, map(line_of.get, lines), ips, map(pool_of.get, pools), seqs)
        ledger.bind_many(list(map(Binding._make, zip(*held, strict=True))))

    def _removed(self, *values: Any) -> None:
        *held, seq, declined_s, quarantine_s, is_former = values
        binding, ledger = self._binding("removed", held), self.ledger
        self._check(
            is_right=binding.seq < seq <= ledger.seq
            and 0 <= (declined_s or 0) < _MAX_INT
            and 0 <= (quarantine_s or 0) < _MAX_INT,
            what="removed",
        )
        ledger.removed[binding.ip] = Removal(binding, seq, declined_s, quarantine_s)
        if declined_s:
            ledger.resting[binding.pool] = ledger.resting.get(binding.pool, 0) + 1
        self._former(binding, is_former=is_former)

    def _freed(self, *values: Any) -> None:
        *held, is_former = values
        binding = self._binding("freed", held)
        self.ledger.freed[binding.ip] = binding
        self._former(binding, is_former=is_former)

    def _former(self, binding: Binding, *, is_former: bool) -> None:
        if is_former:
            self.ledger.former[binding.mac, binding.line] = binding.ip

    def _declines(self, ip: int, count: int) -> None:
        self._check(is_right=0 <= ip < 1 << 32 and 0 < count < _MAX_INT, what="declines")
        self.ledger.declines[Ipv4(ip)] = count

    def _since(self, ip: int, seq: int) -> None:
        address = Ipv4(ip)
        removal = self.ledger.removed.get(address)
        binding = removal.binding if removal else self.ledger.bound.get(address)
        is_older = binding is not None and 0 < seq < binding.seq
        self._check(is_right=is_older and self._version > 1, what="since")
        self.ledger.held_since[address] = seq

    def _recovery(self, seq: int, edge: str, incarnation: str) -> None:
        is_right = 0 < seq <= self.ledger.seq and self._version > 1
        self._check(is_right=is_right and not self.ledger.recovery, what="recovery")
        self.ledger.recovery = Recovery(seq, edge, incarnation)

    def _replaces(self, genesis: str) -> None:
        self._check(is_right=self._version > 1, what="replaces")
        self.ledger.replaces = (*self.ledger.replaces, genesis)


def restore(rows: Iterable[Row]) -> Ledger:
    """The ledger whose rows these are. Raises LedgerError as `Restoring.add`."""
    restoring = Restoring()
    restoring.add(rows)
    return restoring.ledger
