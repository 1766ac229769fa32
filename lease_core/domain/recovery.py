"""Recovery: what becomes of a site whose log lost events that edges and clients act on.

The edge is the only one who knows what was promised by them, so its word goes above the log's:
what it tells is adopted. Until it agrees with the log again, or A + Q passed, no address is
assigned anew and no life without a past is given a horizon (I1).
"""

from lease_core.domain.commands import (
    EndRecovery,
    Heartbeat,
    ReportBinding,
    ReportLoss,
    StartRecovery,
)
from lease_core.domain.decision import NOTHING, Decision, ended, refuse
from lease_core.domain.desk import Desk
from lease_core.domain.events import (
    AddressDeclined,
    Event,
    HorizonGranted,
    LeaseAdopted,
    LeaseRevoked,
    RecoveryEnded,
    RecoveryStarted,
)
from lease_core.domain.ledger import Ledger
from lease_core.domain.reasons import Reason
from lease_core.domain.state import Binding

CAUSE = "recovery"
MILLISECOND = 1_000_000


def beat(ledger: Ledger, desk: Desk, command: Heartbeat, now_ns: int) -> Decision:
    """Grant a horizon to the life that serves the site, or to one that may take its place."""
    reason = _may_not_serve(ledger, desk, command, now_ns)
    if reason:
        return refuse(command.nonce, reason)
    if ledger.edge and command.incarnation != ledger.edge.incarnation:
        desk.retire_life()
    desk.raise_horizon(now_ns)
    granted = HorizonGranted(
        edge=command.edge,
        incarnation=command.incarnation,
        nonce=command.nonce,
        horizon_s=desk.timing.horizon_s,
        elapsed_ms=now_ns // MILLISECOND if command.elapsed_ms else 0,
    )
    recovery = ledger.recovery
    if recovery and command.epoch == ledger.epoch and command.applied >= recovery.seq:
        return Decision((RecoveryEnded(cause="edge-agrees"), granted))
    return Decision((granted,))


def _may_not_serve(
    ledger: Ledger, desk: Desk, command: Heartbeat | ReportLoss, now_ns: int
) -> Reason | None:
    life = ledger.edge
    if command.incarnation in ledger.retired:
        return Reason.FORMER_LIFE
    is_other = life is not None and command.edge != life.edge
    if is_other and not desk.is_site_silent(now_ns):
        return Reason.OTHER_EDGE
    if ledger.recovery and isinstance(command, Heartbeat):
        # a life that nobody knows may be one whose predecessor made promises that were lost
        known = ledger.recovery.incarnation or (life.incarnation if life else "")
        return None if command.incarnation == known else Reason.RECOVERING
    return None


def report_loss(ledger: Ledger, desk: Desk, command: ReportLoss, now_ns: int) -> Decision:
    """The edge followed another log than this one: recover with it.

    It comes over only to a newer epoch than it has seen (I5); the leader begins one.
    """
    reason = _may_not_serve(ledger, desk, command, now_ns)
    if reason:
        return refuse(command.req, reason)
    if command.epoch >= ledger.epoch:
        return refuse(command.req, Reason.OLDER_EPOCH)
    if ledger.recovery and ledger.recovery.incarnation == command.incarnation:
        return NOTHING
    started = RecoveryStarted(
        cause="edge-lost-log", edge=command.edge, incarnation=command.incarnation
    )
    return Decision((started,))


def adopt(ledger: Ledger, desk: Desk, command: ReportBinding) -> Decision:
    """Take over what the edge promised by a log that was lost."""
    recovery = ledger.recovery
    if recovery is None or recovery.incarnation != command.incarnation:
        return refuse(command.req, Reason.NOT_RECOVERING)
    pool = ledger.pool_of(command.ip)
    if pool is None:
        return refuse(command.req, Reason.NOT_OURS)
    if is_told(ledger, command):
        return NOTHING
    adopted = LeaseAdopted(
        mac=command.mac,
        ip=command.ip,
        pool=pool.pool,
        line=command.line,
        cause=CAUSE,
        req=command.req,
    )
    binding = Binding(command.mac, command.line, command.ip, pool.pool, ledger.seq)
    in_the_way = {ledger.bound.get(command.ip), ledger.binding_of(command.mac, command.line)}
    events: list[Event] = [
        ended(LeaseRevoked, other, CAUSE, command.req)
        for other in sorted(filter(None, in_the_way), key=lambda each: each.seq)
    ]
    if _is_contested(ledger, command):
        events += (adopted, _kept_apart(desk, binding, command.req))
        return Decision(tuple(events), refuse(command.req, Reason.CONFLICT).answer)
    own = ledger.bound.get(command.ip)
    is_ended_only = command.state == "removed" and own is not None and _is_holder(own, command)
    if not is_ended_only:
        events.append(adopted)
        if command.state == "removed":
            events.append(ended(LeaseRevoked, binding, CAUSE, command.req))
    return Decision(tuple(events))


def is_told(ledger: Ledger, command: ReportBinding) -> bool:
    """Whether the log knows that the subscriber may be promised the address."""
    bound = ledger.bound.get(command.ip)
    if bound:
        return command.state == "bound" and _is_holder(bound, command)
    removal = ledger.removed.get(command.ip)
    if removal is None or not _is_holder(removal.binding, command):
        return False
    return removal.quarantine_s is None


def _is_holder(binding: Binding, command: ReportBinding) -> bool:
    return (binding.mac, binding.line) == (command.mac, command.line)


def _is_contested(ledger: Ledger, command: ReportBinding) -> bool:
    """Whether another life may have promised the address to somebody else.

    The life that tells is the one that served last as far as the log knows, or the log knows of
    none: then whoever the log has on the address was promised nothing.
    """
    if ledger.edge is None or ledger.edge.incarnation == command.incarnation:
        return False
    removal = ledger.removed.get(command.ip)
    other = ledger.bound.get(command.ip) or (removal.binding if removal else None)
    return other is not None and not _is_holder(other, command)


def _kept_apart(desk: Desk, binding: Binding, req: str) -> AddressDeclined:
    """Both may be promised it: neither goes on, and it rests for H + W + Q."""
    timing = desk.timing
    rest_s = timing.horizon_s + timing.deposed_writer_s + timing.reuse_guard_s
    return AddressDeclined(
        mac=binding.mac,
        ip=binding.ip,
        pool=binding.pool,
        line=binding.line,
        cause="recovery-conflict",
        req=req,
        quarantine_s=rest_s,
    )


def start(ledger: Ledger, command: StartRecovery) -> Decision:
    """An operator knows of a loss that no process remembers."""
    return NOTHING if ledger.recovery else Decision((RecoveryStarted(cause=command.cause),))


def end(ledger: Ledger, command: EndRecovery) -> Decision:
    """An operator answers for it that no promise of the lost events stands."""
    if ledger.recovery is None:
        return refuse(command.req, Reason.NOT_RECOVERING)
    return Decision((RecoveryEnded(cause=command.cause),))
