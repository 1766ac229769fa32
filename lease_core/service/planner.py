"""Changes to the plan log, each under an epoch of its own, and the logs of new sites."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence

from lease_core.domain.events import Event
from lease_core.domain.plan import Plan, PlanRefusedError
from lease_core.log.port import (
    Batch,
    Claimed,
    ForeignLogError,
    Head,
    LogError,
    LogUnavailableError,
    OutcomeUnknownError,
    SiteLog,
)
from lease_core.log.reader import Position, advance
from lease_core.log.writer import build, commit

CLAIM_MS = 5000
CLAIM_TRIES = 50
APPEND_TRIES = 5
PAUSE_S = 0.1


async def read_plan(log: SiteLog) -> tuple[Plan, Head | None]:
    """The plan as it stands; None where there is no plan log yet."""
    plan, head = Plan(), await log.head()
    if head is None:
        return plan, None
    position = Position(head.genesis)
    while records := await log.read(position.entry_id):
        for record in records:
            position = advance(position, record)
            plan.evolve(record.seq, record.event)
    return plan, head


async def change_plan(log: SiteLog, by: str, change: Callable[[Plan], Event]) -> Event:
    """Decide one event on the plan as it stands and append it.

    Raises:
        PlanRefusedError, InvalidValueError: the plan cannot take the change; nothing was written.
        LogError: the log could not be written; OutcomeUnknownError: look whether it was.
    """
    [event] = await _write(log, by, lambda plan: [change(plan)])
    return event


async def import_plan(log: SiteLog, by: str, events: Sequence[Event]) -> None:
    """Write a whole plan where there is none. Raises as `change_plan`."""

    def into_nothing(plan: Plan) -> Sequence[Event]:
        if plan.seq:
            raise PlanRefusedError(f"there is a plan of {plan.seq} events; see: leasectl site list")
        return events

    await _write(log, by, into_nothing)


async def _write(
    log: SiteLog, by: str, change: Callable[[Plan], Sequence[Event]]
) -> Sequence[Event]:
    owner = f"{by}#{secrets.token_hex(4)}"
    genesis = await log.create(secrets.token_hex(16))
    claimed = await _claim(log, owner, genesis)
    try:
        plan, head = await read_plan(log)
        if head is None:
            raise ForeignLogError("the plan vanished")
        events = change(plan)
        batch = build(
            head,
            events,
            by=by,
            epoch=claimed.epoch,
            commit_ms=max(time.time_ns() // 1_000_000, int(head.last_id.split("-")[0])),
            batch_id=secrets.token_hex(8),
        )
        await _append(log, batch)
    finally:
        with contextlib.suppress(LogError):  # it ends by itself
            await log.claim(owner, 1, genesis)
    return events


async def _append(log: SiteLog, batch: Batch) -> None:
    """Append; where the reply was lost, ask again with the same batch, which settles it."""
    for _ in range(APPEND_TRIES - 1):
        try:
            await commit(log, batch)
        except OutcomeUnknownError:
            await asyncio.sleep(PAUSE_S)
        else:
            return
    await commit(log, batch)


async def _claim(log: SiteLog, owner: str, genesis: str) -> Claimed:
    for _ in range(CLAIM_TRIES):
        claim = await log.claim(owner, CLAIM_MS, genesis)
        if isinstance(claim, Claimed):
            return claim
        await asyncio.sleep(PAUSE_S)
    raise LogUnavailableError("somebody else is changing the plan; try again")
