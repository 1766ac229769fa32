"""How a value stands in a field, and back: strictly, in its one canonical form."""

import re
import sys
from collections.abc import Callable, Sequence
from socket import AF_INET, inet_pton
from typing import Any, Final

from lease_core.domain.stock import MAX_RUNS, MAX_STOCK, runs_of
from lease_core.domain.values import (
    InvalidValueError,
    Ipv4,
    Mac,
    ip_text,
    mac_text,
    printable,
)

MAX_DIGITS: Final = 18
_WIRE_MAC: Final = re.compile(rb"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def write_int(value: int) -> str:
    """Raises InvalidValueError for what `read_int` would refuse."""
    if not 0 <= value < 10**MAX_DIGITS:
        raise InvalidValueError(f"{value} is out of range; entries hold 0..10^{MAX_DIGITS}-1")
    return str(value)


def read_int(octets: bytes) -> int:
    """Raises InvalidValueError for all but plain digits without leading zeros."""
    if not octets.isdigit() or len(octets) > MAX_DIGITS or (octets[0] == 0x30 and len(octets) > 1):
        raise InvalidValueError(f"{printable(octets)!r} is no number")
    return int(octets)


def read_word(octets: bytes) -> str:
    """Text of which there are few: a million leases share one copy of their pool's name."""
    return sys.intern(octets.decode())


def _write_mac(value: Mac) -> str:
    if not 0 <= value < 1 << 48:
        raise InvalidValueError(f"{value} is no MAC address")
    return mac_text(value)


def read_mac(octets: bytes) -> Mac:
    """Raises InvalidValueError for all but six pairs of lower-case digits with colons between."""
    if not _WIRE_MAC.fullmatch(octets):
        raise InvalidValueError(f"{printable(octets)!r} is no MAC address in lower case")
    return Mac(int(octets.replace(b":", b""), 16))


def _write_ip(value: Ipv4) -> str:
    if not 0 <= value < 1 << 32:
        raise InvalidValueError(f"{value} is no IPv4 address")
    return ip_text(value)


def read_ip(octets: bytes) -> Ipv4:
    """Raises InvalidValueError for all but four plain numbers up to 255 with dots between."""
    try:
        packed = inet_pton(AF_INET, octets.decode())
    except (OSError, ValueError):
        raise InvalidValueError(f"{printable(octets)!r} is no IPv4 address") from None
    return Ipv4(int.from_bytes(packed, "big"))


def _write_ips(ips: Sequence[Ipv4]) -> str:
    """Runs of neighbours, `100.64.0.5-100.64.0.9 100.64.0.77`; no two addresses are equal."""
    return " ".join(_write_run(first, last) for first, last in runs_of(ips))


def _write_run(first: Ipv4, last: Ipv4) -> str:
    return _write_ip(first) if first == last else f"{_write_ip(first)}-{_write_ip(last)}"


def _read_ips(octets: bytes) -> tuple[Ipv4, ...]:
    """Raises InvalidValueError for all but what `_write_ips` writes, and for too many."""
    ips: list[Ipv4] = []
    runs = octets.split(b" ")
    for run in runs if len(runs) <= MAX_RUNS else ():
        first, *last = map(read_ip, run.split(b"-", 1))
        end = last[0] if last else first
        if end - first >= MAX_STOCK:
            break
        ips += map(Ipv4, range(first, end + 1))
    if not 0 < len(ips) <= MAX_STOCK or _write_ips(ips).encode() != octets:
        raise InvalidValueError(f"{printable(octets)!r} are no addresses, or too many")
    return tuple(ips)


CONVERTERS: Final[dict[object, tuple[Callable[[Any], str], Callable[[bytes], Any]]]] = {
    Mac: (_write_mac, read_mac),
    Ipv4: (_write_ip, read_ip),
    tuple[Ipv4, ...]: (_write_ips, _read_ips),
    int: (write_int, read_int),
    str: (str, bytes.decode),
}
