"""Live bindings as columns: a million of them are a few arrays instead of a million objects."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import repeat
from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lease_core.domain.mixing import Words, mix64, mix64_all
from lease_core.domain.state import Binding, LedgerError, State
from lease_core.domain.values import Ipv4, Mac

Place = tuple[str, str]
"""Line and pool, of which many bindings share few."""

_PLACES_KNOWN = 4096


@dataclass(frozen=True, slots=True)
class Bindings:
    """Live bindings, one in each row; numbers in host order."""

    mac: Words
    ip: NDArray[np.uint32]
    seq: Words
    place: NDArray[np.uint32]
    """Where in `places` the line and pool of each stand."""
    places: Sequence[Place]

    def __len__(self) -> int:
        return len(self.mac)

    def __getitem__(self, rows: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "Bindings":
        """Some of the rows."""
        return Bindings(
            self.mac[rows], self.ip[rows], self.seq[rows], self.place[rows], self.places
        )

    def of_places(self, words: Iterable[int]) -> Words:
        """For each binding the word of its place, one for each of `places` given."""
        return np.array(list(words), np.uint64)[self.place]

    def rows(self, kind: str) -> Iterator[tuple[str, int, str, int, str, int]]:
        """Each binding as a row of plain values, `kind` first."""
        lines, pools = zip(*self.places, strict=True)
        at = self.place.tolist()
        return zip(
            repeat(kind), self.mac.tolist(), (lines[number] for number in at), self.ip.tolist(),
            (pools[number] for number in at), self.seq.tolist(), strict=False,
        )  # fmt: skip

    def row(self, number: int) -> Binding:
        """One binding as an object."""
        line, pool = self.places[self.place[number]]
        mac, ip = Mac(int(self.mac[number])), Ipv4(int(self.ip[number]))
        return Binding(mac, line, ip, pool, int(self.seq[number]))


def bindings_of(rows: Sequence[tuple[Mac, str, Ipv4, str, int]]) -> Bindings:
    """Rows of MAC, line, address, pool and event as columns."""
    return columns_of(*zip(*rows, strict=True) if rows else ((), (), (), (), ()))


def columns_of(
    macs: Sequence[int],
    lines: Sequence[str],
    ips: Sequence[int],
    pools: Sequence[str],
    seqs: Sequence[int],
) -> Bindings:
    """Bindings of what is told column by column."""
    places: dict[Place, int] = {}
    numbers = [places.setdefault(place, len(places)) for place in zip(lines, pools, strict=True)]
    return Bindings(
        np.array(macs, np.uint64),
        np.array(ips, np.uint32),
        np.array(seqs, np.uint64),
        np.array(numbers, np.uint32),
        tuple(places),
    )


Packed = tuple[bytes, bytes, bytes, bytes, tuple[Place, ...]]
"""MACs (8 octets each), addresses (4), events (8), places (2), little-endian; line and pool."""


def pack_bindings(bindings: Bindings) -> Packed:
    """Columns as octets; at most 65,536 places."""
    place = bindings.place.astype("<u2").tobytes()
    columns = (bindings.mac.tobytes(), bindings.ip.tobytes(), bindings.seq.tobytes(), place)
    return *columns, tuple(bindings.places)


def unpack_bindings(parts: tuple[Any, ...]) -> Bindings:
    """Read columns; what they say is still to be checked.

    Raises:
        ValueError: they have another form.
    """
    if [type(part) for part in parts] != [bytes] * 4 + [tuple]:
        raise ValueError("columns have another form")
    *octets, places = parts
    if any(type(each) is not tuple or [type(w) for w in each] != [str, str] for each in places):
        raise ValueError("a place is no line and pool")
    mac, ip, seq, place = map(np.frombuffer, octets, ("<u8", "<u4", "<u8", "<u2"))
    if not 0 < len(mac) == len(ip) == len(seq) == len(place) or place.max() >= len(places):
        raise ValueError("columns do not fit together")
    words = [(intern(line), intern(pool)) for line, pool in places]
    return Bindings(mac, ip, seq, place.astype(np.uint32), words)


def check_bindings(columns: Sequence[Bindings], state: State) -> None:
    """Check what a snapshot says of live bindings against the rest of it, see `restore`.

    Raises:
        LedgerError: a value is out of range, or two hold one address.
    """
    ips = np.concatenate([np.array(list(state.removed), np.uint32), *(b.ip for b in columns)])
    ips.sort()
    is_right = not (ips[1:] == ips[:-1]).any() and all(
        int(b.mac.max()) < 1 << 48
        and 0 < int(b.seq.min()) <= int(b.seq.max()) <= state.seq
        and all(pool in state.pools for _, pool in b.places)
        for b in columns
    )
    if not is_right:
        raise LedgerError("live bindings contradict the rows beside them")


class BindingsDigest:
    """A hash over a set of live bindings, whatever their order; it follows changes one by one.

    It tells faults apart, not forgeries: it is a sum.
    """

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self._sum = 0
        for binding in bindings:
            self.add(binding)

    def add(self, b: Binding) -> None:
        self._sum += _weight(b)

    def discard(self, b: Binding) -> None:
        """Take out a binding that was added."""
        self._sum -= _weight(b)

    def add_all(self, bindings: Bindings) -> None:
        """Add the binding of every row."""
        mixed = bindings.of_places(_place_word(place) for place in bindings.places)
        mixed = mix64_all(mixed ^ bindings.mac)
        mixed = mix64_all(mixed ^ bindings.ip)
        self._sum += int(mix64_all(mixed ^ bindings.seq).sum(dtype=np.uint64))

    def text(self) -> str:
        return f"{self._sum % (1 << 64):016x}"


def bindings_digest(bindings: Iterable[Binding]) -> str:
    """The digest of live bindings, which a ledger and an edge's tables can both tell."""
    return BindingsDigest(bindings).text()


def _weight(b: Binding) -> int:
    mixed = mix64(_place_word((b.line, b.pool)) ^ b.mac)
    return mix64(mix64(mixed ^ b.ip) ^ b.seq)


@lru_cache(_PLACES_KNOWN)
def _place_word(place: Place) -> int:
    octets = " ".join(place).encode()
    return int.from_bytes(blake2b(octets, digest_size=8).digest(), "little")
