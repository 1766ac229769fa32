"""Names of lines in the log against interface numbers on this router.

The log says `access0` or `access0:100.200`; the kernel program compares ifindex and VLAN ids.
"""

import hashlib
from collections.abc import Mapping

from edge_agent.dhcp.tables import Line


class Lines:
    """The access interfaces of this edge: `interfaces` maps names to ifindex."""

    def __init__(self, interfaces: Mapping[str, int]) -> None:
        self._ifindex = dict(interfaces)
        self._names = {ifindex: name for name, ifindex in interfaces.items()}

    def parse(self, text: str) -> Line | None:
        """The line that `text` names here; None where its interface is not one of ours."""
        interface, _, vlans = text.partition(":")
        ifindex = self._ifindex.get(interface)
        if ifindex is None:
            return None
        s_vlan, _, c_vlan = vlans.partition(".")
        return Line(ifindex, int(s_vlan or 0), int(c_vlan or 0))

    def text(self, line: Line) -> str:
        """The name under which a line of ours stands in the log."""
        vlans = f":{line.s_vlan}" if line.s_vlan else ""
        inner = f".{line.c_vlan}" if line.c_vlan else ""
        return f"{self._names.get(line.ifindex, f'if{line.ifindex}')}{vlans}{inner}"

    def fingerprint(self) -> int:
        """Changes whenever a name or a number does: tables made for others do not fit then."""
        digest = hashlib.blake2b(repr(sorted(self._ifindex.items())).encode(), digest_size=8)
        return int.from_bytes(digest.digest(), "little")
