"""A structure of C as octets."""

import struct
from itertools import accumulate


class Record:
    """A C structure: its fields with their `struct` codes, without padding between them."""

    def __init__(self, name: str, /, **fields: str) -> None:
        self.name = name
        self.layout = struct.Struct("<" + "".join(fields.values()))
        sizes = [struct.calcsize("<" + code) for code in fields.values()]
        starts = accumulate(sizes, initial=0)
        self.offsets = dict(zip(fields, starts, strict=False))
        """Octets from the start of the record, by field."""

    @property
    def size(self) -> int:
        return self.layout.size
