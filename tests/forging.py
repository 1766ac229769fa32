"""Changing what stands in a log in memory, as nobody should."""

from lease_core.log.layout import by_name, flat_of
from lease_core.log.memory_store import Stream


def forge(stream: Stream, index: int, name: bytes, value: bytes) -> None:
    """Change a field of an entry."""
    stream.entries[index] = flat_of(by_name(stream.entries[index]) | {name: value})
