"""The chain of hashes, and the two forms in which an entry shows its own."""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from lease_core.domain.values import InvalidValueError, printable

OCTETS: Final = 8
"""Of a hash."""
_HEX: Final = re.compile(rb"[0-9a-f]{16}")
_HEX_DIGITS: Final = re.compile(rb"[0-9a-f]+")
_SIGNED: Final = struct.Struct(">q")
_DECIMAL: Final = re.compile(rb"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class HashForm:
    """How an entry shows a hash."""

    write: Callable[[bytes], bytes]
    """Eight octets as text."""
    read: Callable[[bytes], str]
    """That text as 16 hex digits, as heads and snapshots say a hash; raises InvalidValueError."""
    read_all: Callable[[Sequence[bytes]], bytes]
    """The octets that many texts tell, one behind the other; raises InvalidValueError."""


def chain(previous: bytes, octets: bytes) -> bytes:
    """Hash the octets of an event onto the hash before it: 8 octets."""
    return blake2b(previous + octets, digest_size=OCTETS).digest()


def chained(previous: bytes, octets: Iterable[bytes]) -> bytes:
    """The hashes of events that follow each other, one behind the other; see `chain`."""
    found = []
    for each in octets:
        previous = blake2b(previous + each, digest_size=OCTETS).digest()
        found.append(previous)
    return b"".join(found)


def _write_hex(digest: bytes) -> bytes:
    return digest.hex().encode()


def _read_hex(octets: bytes) -> str:
    if not _HEX.fullmatch(octets):
        raise InvalidValueError(f"{printable(octets)!r} is no hash")
    return octets.decode()


def _read_all_hex(column: Sequence[bytes]) -> bytes:
    if set(map(len, column)) != {2 * OCTETS} or not _HEX_DIGITS.fullmatch(b"".join(column)):
        raise InvalidValueError("a hash is malformed")
    return bytes.fromhex(b"".join(column).decode())


def _write_decimal(digest: bytes) -> bytes:
    return b"%d" % _SIGNED.unpack(digest)[0]


def _read_decimal(octets: bytes) -> str:
    number = int(octets) if _DECIMAL.fullmatch(octets) else 1 << 63
    if not -1 << 63 <= number < 1 << 63:
        raise InvalidValueError(f"{printable(octets)!r} is no hash")
    return number.to_bytes(OCTETS, "big", signed=True).hex()


def _read_all_decimal(column: Sequence[bytes]) -> bytes:
    numbers = list(map(int, column))
    if ",".join(map(str, numbers)).encode() != b",".join(column):
        raise InvalidValueError("a hash is malformed")
    try:
        return struct.pack(f">{len(numbers)}q", *numbers)
    except struct.error:
        raise InvalidValueError("a hash is malformed") from None


HEX: Final = HashForm(_write_hex, _read_hex, _read_all_hex)
DECIMAL: Final = HashForm(_write_decimal, _read_decimal, _read_all_decimal)
"""The hash as a signed number, which Redis keeps in 10 octets instead of 18."""


def forms_of(h: str) -> tuple[str, str]:
    """A hash as entries may show it."""
    digest = bytes.fromhex(h)
    return HEX.write(digest).decode(), DECIMAL.write(digest).decode()
