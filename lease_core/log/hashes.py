"""The chain of hashes, and the two forms in which an entry shows its own."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from lease_core.domain.values import InvalidValueError, printable

_OCTETS: Final = 8
_HEX: Final = re.compile(rb"[0-9a-f]{16}")
_DECIMAL: Final = re.compile(rb"0|-?[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class HashForm:
    """How an entry shows a hash."""

    write: Callable[[bytes], bytes]
    """Eight octets as text."""
    read: Callable[[bytes], str]
    """That text as 16 hex digits, as heads and snapshots say a hash; raises InvalidValueError."""


def chain(previous: bytes, octets: bytes) -> bytes:
    """Hash the octets of an event onto the hash before it: 8 octets."""
    return blake2b(previous + octets, digest_size=_OCTETS).digest()


def _write_hex(digest: bytes) -> bytes:
    return digest.hex().encode()


def _read_hex(octets: bytes) -> str:
    if not _HEX.fullmatch(octets):
        raise InvalidValueError(f"{printable(octets)!r} is no hash")
    return octets.decode()


def _write_decimal(digest: bytes) -> bytes:
    return b"%d" % int.from_bytes(digest, "big", signed=True)


def _read_decimal(octets: bytes) -> str:
    number = int(octets) if _DECIMAL.fullmatch(octets) else 1 << 63
    if not -1 << 63 <= number < 1 << 63:
        raise InvalidValueError(f"{printable(octets)!r} is no hash")
    return number.to_bytes(_OCTETS, "big", signed=True).hex()


HEX: Final = HashForm(_write_hex, _read_hex)
DECIMAL: Final = HashForm(_write_decimal, _read_decimal)
"""The hash as a signed number, which Redis keeps in 10 octets instead of 18."""


def forms_of(h: str) -> tuple[str, str]:
    """A hash as entries may show it."""
    digest = bytes.fromhex(h)
    return HEX.write(digest).decode(), DECIMAL.write(digest).decode()
