"""The 64-bit mixer of "Hash" in `docs/replies.md`, which `bpf/hash.h` computes too."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

MASK_64: Final = (1 << 64) - 1

Words = NDArray[np.uint64]
"""A column of 64-bit numbers; arithmetic on it is modulo 2**64."""

_FIRST: Final = 0xFF51AFD7ED558CCD
_SECOND: Final = 0xC4CEB9FE1A85EC53


def mix64(number: int) -> int:
    """Mix 64 bits; no two numbers have the same result."""
    number = (number ^ number >> 33) * _FIRST & MASK_64
    number = (number ^ number >> 33) * _SECOND & MASK_64
    return number ^ number >> 33


def mix64_all(numbers: Words) -> Words:
    """`mix64` of each."""
    half = np.uint64(33)
    numbers = (numbers ^ numbers >> half) * np.uint64(_FIRST)
    numbers = (numbers ^ numbers >> half) * np.uint64(_SECOND)
    return numbers ^ numbers >> half
