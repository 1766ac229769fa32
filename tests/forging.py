"""Changing what stands in a log in memory, as nobody should."""

from lease_core.log.layout import Flat, by_name
from lease_core.log.memory_store import Stream


def flat_of(entry: dict[bytes, bytes]) -> Flat:
    """Names and values in turn."""
    return [part for pair in entry.items() for part in pair]


def forge(stream: Stream, index: int, name: bytes, value: bytes) -> None:
    """Change a field of an entry."""
    stream.entries[index] = flat_of(by_name(stream.entries[index]) | {name: value})
