"""A ledger as rows of plain values, in one order only, and a digest over them.

The order is that of the events which made the rows, so every process that evolved the same events
gives the same rows, and a ledger that is restored from them goes on like the first (I3).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby, islice
from typing import Final

from lease_core.domain.events import PoolAdded
from lease_core.domain.state import State

Row = tuple[str | int | bool | None, ...]
"""A word that names its kind, then values."""

ROWS_VERSION: Final = 2
"""Changes whenever older programs could not read the rows.

Version 2 added kinds of rows to version 1. A ledger that needs none of them is written as version
1, so that older programs read it, and digests that they wrote stay right.
"""

PORTION: Final = 4096
BOUND: Final = "bound"
"""The kind of the rows that most of a snapshot is made of."""

POOL_FIELDS: Final = tuple(field.name for field in fields(PoolAdded))
OPTION_FIELDS: Final = 2
"""So many of them, the last ones, stand in a row only if one of them was ever set."""


def rows_of(ledger: State) -> Iterator[Row]:
    """Every row of a ledger, which must not change meanwhile; see `Ledger.copy`."""
    life = ledger.edge
    yield (
        *("site", _version(ledger), ledger.seq, ledger.epoch),
        *((life.edge, life.incarnation, life.since_seq) if life else ("", "", 0)),
    )
    yield from (("retired", incarnation) for incarnation in ledger.retired)
    for mark in (ledger.verified, ledger.taken):
        if mark:
            yield ("snapshot", mark.covers, mark.digest, mark.taker, mark.verifier)
    for pool in ledger.pools.values():
        row = ("pool", *(getattr(pool, name) for name in POOL_FIELDS))
        yield row if pool.options or pool.plan_seq else row[:-OPTION_FIELDS]
    for b in ledger.bound.values():
        yield (BOUND, b.mac, b.line, b.ip, b.pool, b.seq)
    former = ledger.former
    for ip, removal in ledger.removed.items():
        b = removal.binding
        yield (
            *("removed", b.mac, b.line, ip, b.pool, b.seq),
            *(removal.seq, removal.declined_s, removal.quarantine_s),
            former.get((b.mac, b.line)) == ip,
        )
    for ip, b in ledger.freed.items():
        yield ("freed", b.mac, b.line, ip, b.pool, b.seq, former.get((b.mac, b.line)) == ip)
    yield from (("declines", ip, count) for ip, count in sorted(ledger.declines.items()))
    if ledger.recovery:
        yield ("recovery", ledger.recovery.seq, ledger.recovery.edge, ledger.recovery.incarnation)
    yield from (("replaces", genesis) for genesis in ledger.replaces)
    yield from (("since", ip, seq) for ip, seq in sorted(ledger.held_since.items()))


def _version(ledger: State) -> int:
    return ROWS_VERSION if ledger.held_since or ledger.recovery or ledger.replaces else 1


def portions_of(ledger: State) -> Iterator[list[Row]]:
    """The rows, at most `PORTION` at a time, live bindings apart: milliseconds of work each."""
    for _, rows in groupby(rows_of(ledger), key=lambda row: row[0] == BOUND):
        while portion := list(islice(rows, PORTION)):
            yield portion


class RowsDigest:
    """A hash over rows in their order, however they come in portions."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def update(self, rows: Sequence[Row]) -> None:
        # ascii() looks the same in every version of Python, and holds no line end
        self._hash.update("".join(f"{row!a}\n" for row in rows).encode())

    def text(self) -> str:
        return self._hash.hexdigest()


def digest_of(ledger: State) -> str:
    """A hash over the whole state; equal ledgers have equal digests (I3)."""
    digest = RowsDigest()
    for portion in portions_of(ledger):
        digest.update(portion)
    return digest.text()
