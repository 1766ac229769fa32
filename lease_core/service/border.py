"""The border: what a command must be before anybody decides about it.

The wire format checks types; here it is checked what they say. Edges are trusted less than the
allocator: their texts end in events, log lines and terminals, their numbers in deadlines.
"""

import re
from dataclasses import fields
from typing import Final, get_args

from lease_core.domain.commands import (
    AckRemoval,
    Command,
    ConfirmSnapshot,
    DeclineAddress,
    EndRecovery,
    Heartbeat,
    ReleaseLease,
    ReportBinding,
    ReportExpiry,
    ReportLoss,
    RequestLease,
    RequestOffer,
    RequestStock,
    RevokeLease,
    StartRecovery,
)
from lease_core.domain.stock import MAX_STOCK
from lease_core.domain.values import InvalidValueError, Mac, line, name

KINDS: Final = frozenset(("selecting", "init-reboot", "renewing", "rebinding"))
MAX_EPOCH: Final = 10**12
STATES: Final = frozenset(("bound", "removed"))
MAX_REMAINING_S: Final = 604_800
"""No promise outlives the longest horizon that a site can have."""

_TOKENS: Final = ("req", "nonce", "incarnation", "verifier")
_TOKENS_OF: Final[dict[type, tuple[str, ...]]] = {
    cls: tuple(each.name for each in fields(cls) if each.name in _TOKENS)
    for cls in get_args(Command)
}
_TOKEN: Final = re.compile(r"[!-~]{1,64}")
_HOST: Final = re.compile(r"[!-~]{0,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")
_CAUSE: Final = re.compile(r"[ -~]{1,160}")
_MULTICAST: Final = 1 << 40


def fault_of(command: Command) -> str:
    """Why a command cannot be decided, whatever the state of the site; "" if it can."""
    try:
        return _malformed_token(command) or _fault_of(command)
    except InvalidValueError as error:
        return str(error)


def _fault_of(command: Command) -> str:
    match command:
        case Heartbeat():
            name(command.edge)
        case RequestLease() if command.kind not in KINDS:
            return f"{command.kind!r} is no state of a client"
        case RequestOffer() | RequestLease():
            return _subscriber(command.mac, command.line, command.host)
        case RequestStock():
            is_right = 0 < command.count <= MAX_STOCK
            return "" if is_right else f"{command.count} addresses are none, or too many"
        case ReleaseLease() | DeclineAddress() | ReportExpiry():
            return _subscriber(command.mac, command.line)
        case AckRemoval():
            return _too_long(command.remaining_s)
        case ReportLoss():
            name(command.edge)
            return "" if command.epoch < MAX_EPOCH else f"{command.epoch} is no epoch"
        case ReportBinding() if command.state not in STATES:
            return f"{command.state!r} is no state of a binding"
        case ReportBinding():
            name(command.edge)
            return _too_long(command.remaining_s) or _subscriber(command.mac, command.line)
        case RevokeLease() | StartRecovery() | EndRecovery() if not _CAUSE.fullmatch(command.cause):
            return f"{command.cause!r} is no cause; use 1-160 printable characters"
        case ConfirmSnapshot() if not _DIGEST.fullmatch(command.digest):
            return f"{command.digest!r} is no digest"
    return ""


def _malformed_token(command: Command) -> str:
    for token in _TOKENS_OF[type(command)]:
        text = getattr(command, token)
        if not _TOKEN.fullmatch(text):
            return f"{text!r} is no token of 1-64 printable characters"
    return ""


def _too_long(remaining_s: int) -> str:
    is_too_long = remaining_s > MAX_REMAINING_S
    return f"{remaining_s} s are longer than any promise" if is_too_long else ""


def _subscriber(mac: Mac, line_text: str, host: str = "") -> str:
    line(line_text)
    if not mac or mac & _MULTICAST:
        return "the MAC is no station's"
    return "" if _HOST.fullmatch(host) else f"{host!r} is no printable host name"
