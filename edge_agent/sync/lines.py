"""Names of lines in the log against interface numbers on this router.

The log says `access0` or `access0:100.200`; the kernel program compares ifindex and VLAN ids.
"""

import hashlib
import re
from collections.abc import Mapping

from edge_agent.dhcp.tables import Line

_LINE = re.compile(r"([^:]+)(?::([1-9][0-9]{0,3})(?:\.([1-9][0-9]{0,3}))?)?", re.ASCII)
MAX_VLAN = 4094


class Lines:
    """The access interfaces of this edge: `interfaces` maps names to ifindex."""

    def __init__(self, interfaces: Mapping[str, int]) -> None:
        self._ifindex = dict(interfaces)
        self._names = {ifindex: name for name, ifindex in interfaces.items()}

    def parse(self, text: str) -> Line | None:
        """The line that `text` names here; None where it names none of ours.

        Never raises. A line has one name: what `text` would not write is no name.
        """
        match = _LINE.fullmatch(text)
        ifindex = self._ifindex.get(match[1]) if match else None
        if match is None or ifindex is None:
            return None
        s_vlan, c_vlan = int(match[2] or 0), int(match[3] or 0)
        return Line(ifindex, s_vlan, c_vlan) if max(s_vlan, c_vlan) <= MAX_VLAN else None

    def text(self, line: Line) -> str:
        """The name under which a line of ours stands in the log."""
        vlans = f":{line.s_vlan}" if line.s_vlan else ""
        inner = f".{line.c_vlan}" if line.c_vlan else ""
        return f"{self._names.get(line.ifindex, f'if{line.ifindex}')}{vlans}{inner}"

    def fingerprint(self) -> int:
        """Changes whenever a name or a number does: tables made for others do not fit then."""
        digest = hashlib.blake2b(repr(sorted(self._ifindex.items())).encode(), digest_size=8)
        return int.from_bytes(digest.digest(), "little")
