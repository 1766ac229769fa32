"""Reading what a field says in many entries: as `layout` reads it in one, and no less strict."""

import sys
from collections.abc import Callable, Sequence
from itertools import repeat
from socket import AF_INET, inet_pton
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lease_core.domain.mixing import Words
from lease_core.domain.values import InvalidValueError
from lease_core.log.converters import MAX_DIGITS, read_int, read_ip, read_mac, read_word
from lease_core.log.layout import NUL

Column = Sequence[bytes]

_DECIMAL_DIGITS: Final = b"0123456789"
_MAC_DIGITS: Final = 17
_COLON: Final = ord(":")
_IS_DIGIT: Final = np.arange(_MAC_DIGITS) % 3 != 2
_WEIGHTS: Final = np.array([16**place for place in reversed(range(12))], np.uint64)
_NO_DIGIT: Final = 255
_DIGITS: Final = np.full(256, _NO_DIGIT, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


def read_all(column: Column, read: Callable[[bytes], Any]) -> Sequence[Any]:
    """What `read` gives for each value.

    Raises:
        ValueError: it would raise for one.
    """
    if is_one(column):
        return [read(column[0])] * len(column)
    together = _TOGETHER.get(read)
    return together(column) if together else list(map(read, column))


def is_one(column: Column) -> bool:
    """Whether all values are the same."""
    return column.count(column[0]) == len(column)


def split_ids(ids: Column) -> tuple[int, Sequence[int]]:
    """The first number of ids `<ms>-<number>` whose numbers are dense, and all times.

    Raises:
        ValueError: an id is malformed, or a number is missing.
    """
    together = NUL.join(ids)
    if together.translate(None, _DECIMAL_DIGITS) + NUL != (b"-" + NUL) * len(ids):
        raise InvalidValueError("an entry id is malformed")
    parts = together.replace(NUL, b"-").split(b"-")
    numbers = parts[1::2]
    first = read_int(numbers[0])
    if b"-".join(numbers) != "-".join(map(str, range(first, first + len(ids)))).encode():
        raise InvalidValueError("an entry is missing")
    times = {text: read_int(text) for text in set(parts[::2])}
    return first, list(map(times.__getitem__, parts[::2]))


def _ints(column: Column) -> list[int]:
    numbers = list(map(int, column))
    is_canonical = ",".join(map(str, numbers)).encode() == b",".join(column)
    if not is_canonical or min(numbers) < 0 or max(numbers) >= 10**MAX_DIGITS:
        raise InvalidValueError("a number is malformed")
    return numbers


def _macs(column: Column) -> Words:
    if set(map(len, column)) != {_MAC_DIGITS}:
        raise InvalidValueError("a MAC address is malformed")
    octets = np.frombuffer(b"".join(column), np.uint8).reshape(-1, _MAC_DIGITS)
    digits = _DIGITS[octets[:, _IS_DIGIT]]
    if (octets[:, ~_IS_DIGIT] != _COLON).any() or (digits == _NO_DIGIT).any():
        raise InvalidValueError("a MAC address is malformed")
    return digits.astype(np.uint64) @ _WEIGHTS


def _ips(column: Column) -> NDArray[np.uint32]:
    try:
        octets = b"".join(map(inet_pton, repeat(AF_INET), _texts(column)))
    except OSError:
        raise InvalidValueError("an address is malformed") from None
    return np.frombuffer(octets, ">u4").astype(np.uint32)


def _texts(column: Column) -> list[str]:
    return NUL.join(column).decode().split("\0")


def _words(column: Column) -> list[str]:
    return list(map(sys.intern, _texts(column)))


_TOGETHER: Final[dict[Callable[[bytes], Any], Callable[[Column], Sequence[Any]]]] = {
    read_int: _ints,
    read_mac: _macs,  # type: ignore[dict-item]
    read_ip: _ips,  # type: ignore[dict-item]
    read_word: _words,
    bytes.decode: _texts,
}
