"""Decide: what one command means, given the ledger, the desk and the time.

Flow: (ledger, desk, command, now) -> events to append and an answer to give. The ledger is only
read; the desk is written (an offer is kept, a horizon raised). Asking twice gives the same lease.
"""

from collections.abc import Iterator

from lease_core.domain import recovery
from lease_core.domain.commands import (
    AckRemoval,
    Command,
    ConfirmSnapshot,
    DeclineAddress,
    EndRecovery,
    Heartbeat,
    Held,
    Offered,
    ReleaseLease,
    ReportBinding,
    ReportExpiry,
    ReportLoss,
    RequestLease,
    RequestOffer,
    RequestStock,
    RevokeLease,
    StartRecovery,
    Stocked,
)
from lease_core.domain.decision import NOTHING, Decision, ended, refuse
from lease_core.domain.desk import SECOND, Desk
from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    Event,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    PoolAdded,
    RecoveryEnded,
    RemovalAcked,
    SnapshotVerified,
)
from lease_core.domain.ledger import Binding, Ledger
from lease_core.domain.reasons import Reason
from lease_core.domain.values import Ipv4, Mac

FREED_PER_TICK = 256
SELECTING = "selecting"


def decide(ledger: Ledger, desk: Desk, command: Command, now_ns: int) -> Decision:
    """Decide one command; `now_ns` is the allocator's elapsed clock."""
    match command:
        case RequestOffer():
            return _offer(ledger, desk, command, now_ns)
        case RequestLease():
            return _assign(ledger, desk, command)
        case RequestStock():
            return _set_aside(ledger, desk, command, now_ns)
        case ReleaseLease() | DeclineAddress() | ReportExpiry():
            return _end(ledger, desk, command)
        case RevokeLease():
            return _revoke(ledger, command)
        case AckRemoval():
            return _ack(ledger, desk, command, now_ns)
        case Heartbeat():
            return recovery.beat(ledger, desk, command, now_ns)
        case ConfirmSnapshot():
            return _confirm(ledger, command)
        case _:
            return _recover(ledger, desk, command, now_ns)


def _recover(
    ledger: Ledger,
    desk: Desk,
    command: ReportLoss | ReportBinding | StartRecovery | EndRecovery,
    now_ns: int,
) -> Decision:
    match command:
        case ReportLoss():
            return recovery.report_loss(ledger, desk, command, now_ns)
        case ReportBinding():
            return recovery.adopt(ledger, desk, command)
        case StartRecovery():
            return recovery.start(ledger, command)
        case EndRecovery():
            return recovery.end(ledger, command)


def tick(ledger: Ledger, desk: Desk, now_ns: int) -> list[Event]:
    """What time alone brings: quarantines that are over, and the addresses of a silent site."""
    desk.drop_stale_offers(now_ns)
    events: list[Event] = [
        _freed(ledger.removed[ip].binding, "quarantine-over") for ip in desk.quarantine_over(now_ns)
    ]
    if desk.is_site_silent(now_ns):
        if ledger.recovery:
            events.append(RecoveryEnded(cause="horizon-over"))
        unacked = (r.binding for r in ledger.removed.values() if r.quarantine_s is None)
        events += [_freed(binding, "horizon-over") for binding in unacked][:FREED_PER_TICK]
    return events


def _freed(binding: Binding, cause: str) -> AddressFreed:
    return AddressFreed(
        mac=binding.mac, ip=binding.ip, pool=binding.pool, line=binding.line, cause=cause
    )


def _is_free_for(ledger: Ledger, desk: Desk, ip: Ipv4, mac: Mac, line: str) -> bool:
    """Whether nobody but this subscriber can hold a promise for `ip`.

    What is set aside the edge may give to anybody. The last holder may have it back out of
    quarantine, because a promise to itself does no harm; a declined address it may not.
    """
    if ip in ledger.bound or desk.is_offered_to_other(ip, mac, line):
        return False
    removal = ledger.removed.get(ip)
    return removal is None or (
        (removal.binding.mac, removal.binding.line) == (mac, line) and removal.declined_s is None
    )


def _offer(ledger: Ledger, desk: Desk, command: RequestOffer, now_ns: int) -> Decision:
    mac, line = command.mac, command.line
    binding = ledger.binding_of(mac, line)
    if binding:
        return Decision(answer=Held(req=command.req, seq=binding.seq))
    if ledger.recovery:
        return refuse(command.req, Reason.RECOVERING)
    reason = Reason.NO_POOL
    for pool, ip in _choices(ledger, desk, command):
        offer = desk.offer(mac, line, pool, ip, now_ns)
        if offer:
            return Decision(answer=Offered(req=command.req, ip=offer.ip, pool=offer.pool))
        reason = Reason.POOL_FULL
    return refuse(command.req, reason)


def _choices(
    ledger: Ledger, desk: Desk, command: RequestOffer
) -> Iterator[tuple[PoolAdded, Ipv4 | None]]:
    """What may be offered, best first: a free address that is wished for, then any of a pool."""
    mac, line, link = command.mac, command.line, command.link
    standing = desk.offer_to(mac, line)
    for ip in (standing and standing.ip, ledger.former_ip(mac, line), command.wanted):
        pool = ledger.pool_of(ip) if ip else None
        if not (ip and pool and ledger.is_on_link(pool.pool, link)):
            continue
        if ip not in desk.stock and _is_free_for(ledger, desk, ip, mac, line):
            yield pool, ip
    for pool in ledger.pools_on(link):
        yield pool, None


def _set_aside(ledger: Ledger, desk: Desk, command: RequestStock, now_ns: int) -> Decision:
    """Addresses for the edge to offer, all of the first pool that has any."""
    if ledger.recovery:
        return refuse(command.req, Reason.RECOVERING)
    reason = Reason.NO_POOL
    for pool in ledger.pools_on(command.link):
        ips = tuple(desk.set_aside(pool, command.count, now_ns))
        if ips:
            hold_s = desk.timing.offer_hold_s
            return Decision(answer=Stocked(req=command.req, pool=pool.pool, ips=ips, hold_s=hold_s))
        reason = Reason.POOL_FULL
    return refuse(command.req, reason)


def _assign(ledger: Ledger, desk: Desk, command: RequestLease) -> Decision:
    mac, line, ip = command.mac, command.line, command.ip
    binding = ledger.binding_of(mac, line)
    if binding:
        if binding.ip == ip:
            return Decision(answer=Held(req=command.req, seq=binding.seq))
        return refuse(command.req, Reason.OTHER_ADDRESS)
    if ledger.recovery:
        return refuse(command.req, Reason.RECOVERING)
    pool = ledger.pool_of(ip)
    if pool is None or not ledger.is_on_link(pool.pool, command.link):
        return refuse(command.req, Reason.NOT_OURS)
    if not _is_free_for(ledger, desk, ip, mac, line):
        return refuse(command.req, Reason.IN_USE)
    if command.kind != SELECTING and ledger.former_ip(mac, line) != ip:
        return refuse(command.req, Reason.UNKNOWN_CLIENT)
    assigned = LeaseAssigned(
        mac=mac,
        ip=ip,
        pool=pool.pool,
        line=line,
        cause=command.kind,
        req=command.req,
        host=command.host,
    )
    return Decision((assigned,))


def _end(
    ledger: Ledger, desk: Desk, command: ReleaseLease | DeclineAddress | ReportExpiry
) -> Decision:
    binding = ledger.bound.get(command.ip)
    if binding is None or not _is_meant(binding, command):
        return refuse(command.req, Reason.NOT_HOLDER)
    match command:
        case ReleaseLease():
            return Decision((ended(LeaseReleased, binding, "client", command.req),))
        case ReportExpiry():
            return Decision((ended(LeaseExpired, binding, "promise-over", command.req),))
        case DeclineAddress():
            return Decision((_declined(ledger, desk, binding, command.req),))


def _is_meant(binding: Binding, command: ReleaseLease | DeclineAddress | ReportExpiry) -> bool:
    """Whether a command is about this binding.

    A client speaks on its line; the edge names the event, because the line may be none of its any
    more.
    """
    if isinstance(command, ReportExpiry):
        return (binding.mac, binding.seq) == (command.mac, command.ref)
    return (binding.mac, binding.line) == (command.mac, command.line)


def _declined(ledger: Ledger, desk: Desk, binding: Binding, req: str) -> AddressDeclined:
    """Quarantine grows on repeats; at most 1 % of a pool rests longer than safety asks."""
    pool = ledger.pools[binding.pool]
    timing = desk.timing
    if ledger.resting.get(pool.pool, 0) >= max(1, (pool.last - pool.first + 1) // 100):
        quarantine_s = 0
    else:
        repeats = min(ledger.declines.get(binding.ip, 0), 16)
        quarantine_s = min(timing.decline_first_s << repeats, timing.decline_max_s)
    return AddressDeclined(
        mac=binding.mac,
        ip=binding.ip,
        pool=binding.pool,
        line=binding.line,
        cause="client",
        req=req,
        quarantine_s=quarantine_s,
    )


def _revoke(ledger: Ledger, command: RevokeLease) -> Decision:
    binding = ledger.bound.get(command.ip)
    if binding is None:
        return refuse(command.req, Reason.NOT_HOLDER)
    return Decision((ended(LeaseRevoked, binding, command.cause, command.req),))


def _ack(ledger: Ledger, desk: Desk, command: AckRemoval, now_ns: int) -> Decision:
    """Start the quarantine r + Q, if this very removal still waits for its acknowledgement."""
    removal = ledger.removed.get(command.ip)
    if removal is None or removal.seq != command.ref or removal.quarantine_s is not None:
        return NOTHING
    remaining_s = max(0, command.remaining_s)
    if ledger.edge and ledger.first_seq(removal.binding) < ledger.edge.since_seq:
        former_s = -(-(desk.former_life_ns - now_ns) // SECOND)
        remaining_s = max(remaining_s, former_s)
    binding = removal.binding
    acked = RemovalAcked(
        mac=binding.mac,
        ip=binding.ip,
        pool=binding.pool,
        line=binding.line,
        cause="edge",
        req=command.req,
        ref=removal.seq,
        remaining_s=remaining_s,
        quarantine_s=max(remaining_s + desk.timing.reuse_guard_s, removal.declined_s or 0),
    )
    return Decision((acked,))


def _confirm(ledger: Ledger, command: ConfirmSnapshot) -> Decision:
    """Only the newest snapshot is confirmed, once, and never by the process that took it."""
    mark = ledger.taken
    if mark is None or mark.covers != command.covers:
        return refuse(command.req, Reason.NO_SNAPSHOT)
    if mark.digest != command.digest:
        return refuse(command.req, Reason.OTHER_DIGEST)
    if mark.taker == command.verifier:
        return refuse(command.req, Reason.OWN_SNAPSHOT)
    if mark.verifier:
        return NOTHING
    verified = SnapshotVerified(
        req=command.req,
        covers=command.covers,
        digest=command.digest,
        verifier=command.verifier,
    )
    return Decision((verified,))
