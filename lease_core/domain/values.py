"""Values of the field: MAC and IPv4 addresses, names, and text that cannot forge a log line.

Addresses are plain integers inside the program and text at its border, because tables hold
a million of them.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import NewType, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """A class of values: made with keywords, compared by content, unchangeable to the type checker.

    At run time nothing hinders a change, and the wire codec makes them without keywords: a frozen
    dataclass takes three times as long to make, and logs hold millions.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


Mac = NewType("Mac", int)
"""A 48-bit Ethernet address; the first octet on the wire is the most significant."""

Ipv4 = NewType("Ipv4", int)
"""An IPv4 address as a number in host order; 0 means none."""

NO_IP = Ipv4(0)
MAX_PRINTABLE = 64

_SHOWN = [
    chr(octet) if 0x21 <= octet <= 0x7E and octet != 0x5C else f"\\x{octet:02x}"
    for octet in range(256)
]

_MAC = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30})")
_LINE = re.compile(r"[!-~]{1,160}")


class InvalidValueError(ValueError):
    """Text that names no address or no allowed name; the fault of whoever wrote it."""


def mac_text(mac: Mac) -> str:
    return mac.to_bytes(6, "big").hex(":")


def mac_from_bytes(octets: bytes) -> Mac:
    """Read six octets in wire order."""
    return Mac(int.from_bytes(octets, "big"))


def mac_from_text(text: str) -> Mac:
    """Read `02:00:00:00:00:17` (or with hyphens).

    Raises:
        InvalidValueError: the text is no MAC address.
    """
    if not _MAC.fullmatch(text):
        raise InvalidValueError(f"{text!r} is no MAC address; write it like 02:00:00:00:00:17")
    return Mac(int(text.replace(":", "").replace("-", ""), 16))


def ip_text(ip: Ipv4) -> str:
    return f"{ip >> 24}.{ip >> 16 & 255}.{ip >> 8 & 255}.{ip & 255}"


def ip_from_text(text: str) -> Ipv4:
    """Read dotted decimal.

    Raises:
        InvalidValueError: the text is no IPv4 address.
    """
    try:
        return Ipv4(int(ipaddress.IPv4Address(text)))
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is no IPv4 address; write it like 100.64.0.1") from error


def name(text: str) -> str:
    """Check the name of a site, an edge or a pool: it becomes part of keys and log lines.

    Raises:
        InvalidValueError: other characters than a-z, 0-9 and hyphen, or more than 31 of them.
    """
    if not _NAME.fullmatch(text):
        raise InvalidValueError(
            f"{text!r} is no name; use 1-31 of a-z, 0-9 and '-', the first no hyphen"
        )
    return text


def line(text: str) -> str:
    """Check a line (`access0`, `access0:100.200`): printable ASCII without blanks.

    Raises:
        InvalidValueError: other characters, or more than 160 of them.
    """
    if not _LINE.fullmatch(text):
        raise InvalidValueError(f"{text!r} is no line; write it like access0 or access0:100.200")
    return text


def printable(octets: bytes) -> str:
    r"""Show bytes of a stranger as printable ASCII without blanks, others as `\xNN`.

    The result is at most `MAX_PRINTABLE` characters and holds no control character, so that it
    can stand in a log line, an event field or a terminal without forging anything.
    """
    return "".join(map(_SHOWN.__getitem__, octets))[:MAX_PRINTABLE]
