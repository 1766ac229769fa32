"""The plan as a text that a person can keep: one event a line, in JSON.

It is the whole log of the plan, not only what stands: sites remember the genesis of the logs they
had, and count the changes of a pool's options by the seq of the plan.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from lease_core.domain.events import Event, OptionsPlanned, PlanEvent, PrefixPlanned, SiteAdded
from lease_core.domain.ledger import LedgerError
from lease_core.domain.plan import Plan, PlanRefusedError, add_site, options_of, plan_prefix
from lease_core.domain.values import InvalidValueError, ip_from_text, ip_text

_KINDS = {kind.__name__: kind for kind in (SiteAdded, PrefixPlanned, OptionsPlanned)}
_ADDRESSES = {"first", "last", "gateway"}


def line_of(event: PlanEvent) -> str:
    told = {
        name: ip_text(value) if name in _ADDRESSES else value
        for name, value in asdict(event).items()
    }
    return json.dumps({"type": type(event).__name__, **told})


def read_lines(lines: Iterable[str]) -> list[Event]:
    """The events of a plan, each checked against those before it; empty lines are passed over.

    Raises:
        PlanRefusedError: a line is no event of a plan, or the plan cannot take it; names the line.
    """
    plan, found = Plan(), list[Event]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = _event_of(line)
            _check(plan, event)
            plan.evolve(plan.seq + 1, event)
        except (ValueError, TypeError, LedgerError) as error:
            raise PlanRefusedError(f"line {number}: {error}; export it anew") from error
        found.append(event)
    return found


def _event_of(line: str) -> PlanEvent:
    told = json.loads(line)
    kind = _KINDS.get(told.pop("type", "")) if isinstance(told, dict) else None
    if kind is None:
        raise InvalidValueError("it is no event of a plan")
    for each in fields(kind):
        is_number = each.type in {int, "int"}
        if each.name in told and not isinstance(told[each.name], int if is_number else str):
            raise InvalidValueError(f"{each.name} is no {'number' if is_number else 'text'}")
    told |= {name: ip_from_text(told[name]) for name in _ADDRESSES & told.keys()}
    event: PlanEvent = kind(**told)
    return event


def _check(plan: Plan, event: PlanEvent) -> None:
    """Refuse what `leasectl` would not have planned."""
    match event:
        case SiteAdded(site=site) if site not in plan.sites:
            add_site(
                plan, **_arguments(event, "site", "genesis", "horizon_s", "reuse_guard_s", "cause")
            )
        case PrefixPlanned():
            options = (f"dns={event.dns}",) if event.dns else ()
            planned = plan_prefix(
                plan,
                **_arguments(event, "site", "pool", "network", "lease_time_s", "cause"),
                gateway=ip_text(event.gateway),
                dns=(),
                options=(*options, event.options) if event.options else options,
            )
            if planned != event:
                raise InvalidValueError(f"its addresses are not those of {event.network}")
        case OptionsPlanned():
            options_of(event)


def _arguments(event: PlanEvent, *names: str) -> dict[str, Any]:
    return {name: getattr(event, name) for name in names}
