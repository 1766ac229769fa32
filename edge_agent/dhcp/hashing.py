"""The 64-bit mixer of "Hash" in `docs/replies.md`, which `bpf/hash.h` computes too."""

from typing import Final

MASK_64: Final = (1 << 64) - 1


def mix64(number: int) -> int:
    """Mix 64 bits; no two numbers have the same result."""
    number = (number ^ number >> 33) * 0xFF51AFD7ED558CCD & MASK_64
    number = (number ^ number >> 33) * 0xC4CEB9FE1A85EC53 & MASK_64
    return number ^ number >> 33
