"""What a decision is made of: events to append, an answer to give, and how bindings end."""

from typing import NamedTuple

from lease_core.domain.commands import Answer, Refused
from lease_core.domain.events import Event, LeaseExpired, LeaseReleased, LeaseRevoked
from lease_core.domain.reasons import Reason
from lease_core.domain.state import Binding


class Decision(NamedTuple):
    events: tuple[Event, ...] = ()
    answer: Answer | None = None


NOTHING = Decision()


def refuse(req: str, reason: Reason) -> Decision:
    return Decision(answer=Refused(req=req, reason=reason))


def ended(
    kind: type[LeaseReleased | LeaseExpired | LeaseRevoked], binding: Binding, cause: str, req: str
) -> Event:
    """The event that ends a binding."""
    return kind(
        mac=binding.mac,
        ip=binding.ip,
        pool=binding.pool,
        line=binding.line,
        cause=cause,
        req=req,
    )
