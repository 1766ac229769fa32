"""Names of lines in the log against interface numbers on this router.

The log says `access0` or `access0:100.200`; the kernel program compares ifindex and VLAN ids. On a
port that tells lines apart by circuit it says `access0#192.0.2.7=port-4`, giaddr and circuit id, or
`access0#192.0.2.7#706f727420` in hexadecimal where the circuit id is not all printable. Where an
access node says the circuit, giaddr is 0.0.0.0.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache

from edge_agent.dhcp.relay import MAX_CIRCUIT
from edge_agent.dhcp.tables import KeyMode, Line
from lease_core.domain.values import InvalidValueError, ip_from_text, ip_text

_LINE = re.compile(r"([^:]+)(?::([1-9][0-9]{0,3})(?:\.([1-9][0-9]{0,3}))?)?", re.ASCII)
MAX_VLAN = 4094
_KNOWN_MAX = 4096
_CIRCUIT = re.compile(r"([^:#]+)#([0-9.]+)(?:=([!-~]+)|#((?:[0-9a-f]{2})+))", re.ASCII)
_PRINTABLE = re.compile(rb"[!-~]+")


class Lines:
    """The access interfaces of this edge: `interfaces` maps names to ifindex.

    `modes` are the key modes of those that are not in `MAC`, by name.
    """

    def __init__(
        self, interfaces: Mapping[str, int], modes: Mapping[str, KeyMode] | None = None
    ) -> None:
        self._ifindex = dict(interfaces)
        self._modes = {name: int(mode) for name, mode in (modes or {}).items() if mode}
        self._names = {ifindex: name for name, ifindex in interfaces.items()}
        self._known = lru_cache(_KNOWN_MAX)(self._parse)
        self.text = lru_cache(_KNOWN_MAX)(self._text)
        """The name under which a line of ours stands in the log."""

    def parse(self, text: str) -> Line | None:
        """The line that `text` names here; None where it names none of ours.

        Never raises. A line has one name: what `text` would not write is no name.
        """
        return self._known(text)

    def _parse(self, text: str) -> Line | None:
        if "#" in text:
            return self._parse_circuit(text)
        match = _LINE.fullmatch(text)
        ifindex = self._ifindex.get(match[1]) if match else None
        if match is None or ifindex is None:
            return None
        s_vlan, c_vlan = int(match[2] or 0), int(match[3] or 0)
        return Line(ifindex, s_vlan, c_vlan) if max(s_vlan, c_vlan) <= MAX_VLAN else None

    def _parse_circuit(self, text: str) -> Line | None:
        match = _CIRCUIT.fullmatch(text)
        ifindex = self._ifindex.get(match[1]) if match else None
        if match is None or ifindex is None:
            return None
        circuit = match[3].encode() if match[3] else bytes.fromhex(match[4])
        try:
            line = Line(ifindex, giaddr=ip_from_text(match[2]), circuit=circuit)
        except InvalidValueError:
            return None
        return line if len(circuit) <= MAX_CIRCUIT and self.text(line) == text else None

    def _text(self, line: Line) -> str:
        if line.circuit:
            is_text = _PRINTABLE.fullmatch(line.circuit)
            circuit = f"={line.circuit.decode()}" if is_text else f"#{line.circuit.hex()}"
            return f"{self._name(line)}#{ip_text(line.giaddr)}{circuit}"
        vlans = f":{line.s_vlan}" if line.s_vlan else ""
        inner = f".{line.c_vlan}" if line.c_vlan else ""
        return f"{self._name(line)}{vlans}{inner}"

    def _name(self, line: Line) -> str:
        return self._names.get(line.ifindex, f"if{line.ifindex}")

    def fingerprint(self) -> int:
        """Changes with names, numbers and key modes: tables made for others do not fit then."""
        made_for = [*sorted(self._ifindex.items()), *sorted(self._modes.items())]
        digest = hashlib.blake2b(repr(made_for).encode(), digest_size=8)
        return int.from_bytes(digest.digest(), "little")
