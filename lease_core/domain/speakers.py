"""Speakers: who may say what. An edge speaks for its own site, and only in its present life.

Names are what senders call themselves; that nobody else writes under them is Redis's matter (ACL).
"""

from lease_core.domain.commands import (
    AckRemoval,
    Command,
    ConfirmSnapshot,
    EndRecovery,
    Heartbeat,
    ReportBinding,
    ReportExpiry,
    ReportLoss,
    RequestLease,
    RequestOffer,
    RevokeLease,
    StartRecovery,
)
from lease_core.domain.ledger import Ledger
from lease_core.domain.reasons import Reason

OPERATOR = "operator:"
"""How an operator's name begins; no edge and no allocator can have such a name."""


def speaker(owner: str) -> str:
    """The name under which an allocator speaks; `owner` is `<name>#<token of its present life>`."""
    return owner.split("#", maxsplit=1)[0]


def may_not_say(ledger: Ledger, by: str, command: Command) -> Reason | None:
    """Why `by` may not give this command to the site; None if it may."""
    match command:
        case RequestOffer() | RequestLease():  # most commands are
            return _other_edge(ledger, by)
        case RevokeLease() | StartRecovery() | EndRecovery():
            return None if by.startswith(OPERATOR) else Reason.NOT_OPERATOR
        case ConfirmSnapshot():
            is_own = by.startswith(OPERATOR) or speaker(command.verifier) == by
            return None if is_own else Reason.NOT_VERIFIER
        case Heartbeat():
            return None if command.edge == by else Reason.OTHER_EDGE
        case ReportLoss() | ReportBinding():
            is_former = command.incarnation in ledger.retired
            other = None if command.edge == by else Reason.OTHER_EDGE
            return Reason.FORMER_LIFE if is_former else other
        case AckRemoval() | ReportExpiry():
            return _other_edge(ledger, by) or _other_life(ledger, command.incarnation)
        case _:
            return _other_edge(ledger, by)


def _other_edge(ledger: Ledger, by: str) -> Reason | None:
    """Before the first horizon any edge may speak: it cannot promise anything yet."""
    return Reason.OTHER_EDGE if ledger.edge and by != ledger.edge.edge else None


def _other_life(ledger: Ledger, incarnation: str) -> Reason | None:
    """What a life says of its promises is nothing to go by for those of another (I7)."""
    if ledger.edge and ledger.edge.incarnation == incarnation:
        return None
    return Reason.FORMER_LIFE if incarnation in ledger.retired else Reason.OTHER_LIFE
