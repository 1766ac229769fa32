"""Reading and writing the kernel's maps through bcc's tables."""

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from ctypes import byref
from typing import Any, Final

from edge_agent.datapath.bcc_binding import NoModule, bcc
from edge_agent.datapath.errors import FastPathError
from lease_core.domain.mixing import Words

_BATCH: Final = 4096


class Table:
    """A hash or array with fixed-size keys and values as octets.

    `fd` stays the caller's. bcc asks its module for `max_entries`, which is not there, so it is
    told.
    """

    def __init__(
        self, fd: int, *, key_octets: int, value_octets: int, max_entries: int, is_array: bool
    ) -> None:
        make = bcc().Array if is_array else bcc().HashTable
        self._key: Any = {4: ctypes.c_uint32, 8: ctypes.c_uint64}[key_octets]
        self._leaf: Any = ctypes.c_char * value_octets
        self._table = make(NoModule(), 0, fd, self._key, self._leaf)
        self._table.max_entries = max_entries
        self._fd = fd
        self._lookup = bcc().lib.bpf_lookup_elem
        self._wanted, self._found = self._key(), self._leaf()
        self._at = (fd, byref(self._wanted), byref(self._found))
        self._value_octets = value_octets
        self.max_entries = max_entries

    def get(self, key: int) -> bytes | None:
        """The value, or None where there is none."""
        self._wanted.value = key
        return None if self._lookup(*self._at) < 0 else self._found.raw

    def set(self, key: int, value: bytes) -> None:
        """Write a value.

        Raises:
            OSError: E2BIG = no room.
            IndexError: outside an array.
        """
        # bcc raises a bare Exception with the text alone; the number is still in errno.
        try:
            self._table[self._key(key)] = self._leaf.from_buffer_copy(value)
        except IndexError:
            raise
        except Exception as error:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number)) from error

    def delete(self, key: int) -> None:
        """Delete a key of a hash; an absent one is no error.

        Raises:
            OSError: the kernel refused.
        """
        try:
            del self._table[self._key(key)]
        except KeyError:
            number = ctypes.get_errno()
            if number != errno.ENOENT:
                raise OSError(number, os.strerror(number)) from None

    def set_many(self, keys: Words, values: bytes) -> int:
        """Write 64-bit keys of a hash with their values in one call; how many were written.

        Fewer than asked means that the table is full. bcc's own batch call drops that count.

        Raises:
            FastPathError: the kernel refused for another reason.
        """
        count = ctypes.c_uint32(len(keys))
        packed = keys.tobytes()
        result = bcc().lib.bpf_update_batch(self._fd, packed, values, byref(count))
        if result and ctypes.get_errno() != errno.E2BIG:
            raise FastPathError(f"batch update: {os.strerror(ctypes.get_errno())}")
        return int(count.value)

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Every entry, those of a hash in no order. Raises FastPathError as `chunks`."""
        size = self._value_octets
        for keys, octets in self.chunks():
            count = len(keys) // ctypes.sizeof(self._key)
            for i, key in enumerate((self._key * count).from_buffer_copy(keys)):
                yield key, octets[i * size : (i + 1) * size]

    def chunks(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry as octets, keys and values of some thousands at a time.

        bcc's own call wants room for all. Each chunk is read when it is asked for.

        Raises:
            FastPathError: the kernel refused.
        """
        size, room = self._value_octets, _BATCH
        token = ctypes.c_uint32()
        more, first = True, True
        while more:
            count = ctypes.c_uint32(room)
            keys, values = (self._key * room)(), ctypes.create_string_buffer(room * size)
            result = bcc().lib.bpf_lookup_batch(
                self._fd, None if first else byref(token), byref(token),
                keys, values, byref(count),
            )  # fmt: skip
            number = ctypes.get_errno() if result else 0
            if number == errno.ENOSPC:  # one bucket has more entries than there is room for
                room *= 2
                continue
            if number not in (0, errno.ENOENT):
                raise FastPathError(f"batch lookup: {os.strerror(number)}")
            more, first = not number, False
            octets: bytes = values.raw
            key_size = ctypes.sizeof(self._key)
            yield bytes(keys)[: count.value * key_size], octets[: count.value * size]


class Counters:
    """A per-CPU array with one entry of 64-bit counters."""

    def __init__(self, fd: int, names: Sequence[str]) -> None:
        self._names = names
        leaf = ctypes.c_uint64 * len(names)
        self._table = bcc().PerCpuArray(NoModule(), 0, fd, ctypes.c_uint32, leaf)
        self._table.max_entries = 1

    def read(self) -> dict[str, int]:
        """Counters by name, summed over processors."""
        per_cpu = self._table.getvalue(0)
        return {name: sum(cpu[i] for cpu in per_cpu) for i, name in enumerate(self._names)}
