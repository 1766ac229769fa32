"""Where two ledgers that should be equal differ, in words."""

from itertools import zip_longest

from lease_core.domain.ledger import Ledger
from lease_core.domain.rows import rows_of
from lease_core.domain.state import Binding, Removal
from lease_core.domain.values import Ipv4, ip_text, mac_text


def first_difference(one: Ledger, other: Ledger) -> str:
    """The lowest address whose holder differs, else the first row that does; "" if none."""
    for ip in sorted({*one.bound, *other.bound, *one.removed, *other.removed}):
        first, second = _state(one, ip), _state(other, ip)
        if first != second:
            return f"{ip_text(ip)}: {first} / {second}"
    for rows in zip_longest(rows_of(one), rows_of(other)):
        if rows[0] != rows[1]:
            return f"{rows[0]} / {rows[1]}"
    return ""


def _state(ledger: Ledger, ip: Ipv4) -> str:
    match ledger.bound.get(ip) or ledger.removed.get(ip):
        case Binding() as binding:
            return f"bound to {_holder(binding)}"
        case Removal() as removal:
            rest = "" if removal.quarantine_s is None else f", quarantined {removal.quarantine_s} s"
            return f"taken from {_holder(removal.binding)} by event {removal.seq}{rest}"
        case None:
            return "free"


def _holder(binding: Binding) -> str:
    return f"{mac_text(binding.mac)} on {binding.line} of {binding.pool} by event {binding.seq}"
