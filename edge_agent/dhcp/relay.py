"""Option 82, what relays say of their clients (RFC 3046): which of it the fast path takes."""

from typing import Final

CIRCUIT_ID: Final = 1  # RFC 3046 3.1
REMOTE_ID: Final = 2  # RFC 3046 3.2
DEVICE_CLASS: Final = 4  # RFC 3256
SUBSCRIBER_ID: Final = 6  # RFC 3993
VENDOR: Final = 9  # RFC 4243
FLAGS: Final = 10  # RFC 5010
RELAY_ID: Final = 12  # RFC 6925

KNOWN: Final = frozenset(
    (CIRCUIT_ID, REMOTE_ID, DEVICE_CLASS, SUBSCRIBER_ID, VENDOR, FLAGS, RELAY_ID)
)
"""Sub-options that say who and where. Every other one may ask for another reply than the usual:
link selection (5, RFC 3527), server id override (11, RFC 5107), relay source port (19, RFC 8357).
"""

MAX_CIRCUIT: Final = 64
"""Octets of a circuit id that a line may have."""


def circuit_of(relay_info: bytes | None) -> bytes:
    """The circuit id by which a port in mode `CIRCUIT` tells lines apart (rule 14).

    Empty where there is none, where it is longer than `MAX_CIRCUIT`, or where option 82 is not
    one that the fast path takes.
    """
    circuit = (sub_options(relay_info or b"") or {}).get(CIRCUIT_ID, b"")
    return circuit if len(circuit) <= MAX_CIRCUIT else b""


def sub_options(value: bytes) -> dict[int, bytes] | None:
    """The sub-options by code (rule 13 of `docs/replies.md`).

    None where they do not fill the value exactly, or one is not `KNOWN` or stands twice; never
    raises. A sub-option may be empty (RFC 3046 2.0).
    """
    found: dict[int, bytes] = {}
    at, end = 0, len(value)
    while at < end:
        start = at + 2
        if start > end:
            return None
        code, at = value[at], start + value[at + 1]
        if at > end or code not in KNOWN or code in found:
            return None
        found[code] = value[start:at]
    return found
