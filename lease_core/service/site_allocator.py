"""The allocator of one site, without any input or output: commands in, a batch to append out.

Flow: commands -> decide -> events, which the ledger and the desk follow at once. If the batch
turns out not to be appended, this object is wrong and must be thrown away.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from lease_core.audit import tell_events
from lease_core.domain.commands import Answer, Heartbeat, Refused, ReportLoss, Sent
from lease_core.domain.decide import decide, tick
from lease_core.domain.desk import Desk, Timing
from lease_core.domain.events import (
    EpochStarted,
    Event,
    LeaseAssigned,
    OptionsPlanned,
    PoolAdded,
    PoolOptionsSet,
    PrefixPlanned,
    RecoveryStarted,
)
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.reasons import Reason
from lease_core.domain.speakers import may_not_say
from lease_core.domain.values import mac_text
from lease_core.log.port import Unreadable
from lease_core.rationing import Quota
from lease_core.service.border import fault_of

audit = structlog.get_logger("allocator")

REFUSALS_PER_MINUTE = 60
"""Lines about refused commands, for each reason; the counters know them all."""


@dataclass(slots=True)
class Draft:
    """What commands and time came to, before it is appended."""

    cursor: str = ""
    events: list[Event] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.cursor or self.events or self.answers)

    def add(self, later: "Draft") -> None:
        """Go on with what was decided behind it."""
        self.cursor = later.cursor or self.cursor
        self.events += later.events
        self.answers += later.answers


class SiteAllocator:
    """Decides for one site under one epoch."""

    def __init__(self, site: str, ledger: Ledger, timing: Timing, epoch: int, now_ns: int) -> None:
        self.site = site
        self.ledger = ledger
        self.epoch = epoch
        self.desk = Desk(ledger, timing, now_ns)
        self.genesis = ""
        """The log that edges have to follow; "" = not asked."""
        self.outrun_by = 0
        """A newer epoch that an edge has seen; only under one above it edges come over."""
        self.reads = 1
        """The newest version of events about leases that the edge reads; no other is written."""
        self.refusals: Counter[str] = Counter()
        self._log = audit.bind(site=site)
        self._quota = Quota(REFUSALS_PER_MINUTE)

    def begin(self, cause: str, now_ns: int, recovery: RecoveryStarted | None = None) -> Draft:
        """The first batch of an epoch."""
        draft = Draft()
        self._record(draft, EpochStarted(cause=cause), now_ns)
        if recovery:
            self._record(draft, recovery, now_ns)
        return self._told(draft)

    def note(self, event: Event, now_ns: int) -> Draft:
        """Record what nobody asked for."""
        draft = Draft()
        self._record(draft, event, now_ns)
        return self._told(draft)

    def plan(self, prefixes: Sequence[PrefixPlanned], now_ns: int) -> Draft:
        """Add the pools that the plan gives the site and the log does not know yet."""
        draft = Draft()
        for prefix in prefixes:
            if prefix.pool in self.ledger.pools:
                continue
            added = PoolAdded(
                pool=prefix.pool,
                number=len(self.ledger.pools) + 1,
                network=prefix.network,
                first=prefix.first,
                last=prefix.last,
                gateway=prefix.gateway,
                dns=prefix.dns,
                lease_time_s=prefix.lease_time_s,
                cause="plan",
                options=prefix.options,
            )
            self._record(draft, added, now_ns)
        return self._told(draft)

    def set_options(self, planned: OptionsPlanned, plan_seq: int, now_ns: int) -> Draft:
        """Tell clients what event `plan_seq` of the plan said, unless a newer one is in the log.

        An allocator that has not read all of the plan yet must not take it back.
        """
        pool = self.ledger.pools.get(planned.pool)
        if pool is None or pool.plan_seq >= plan_seq:
            return Draft()
        options_set = PoolOptionsSet(
            pool=planned.pool,
            cause="plan",
            dns=planned.dns,
            options=planned.options,
            plan_seq=plan_seq,
        )
        return self.note(options_set, now_ns)

    def handle(self, commands: Sequence[Sent | Unreadable], now_ns: int) -> Draft:
        """Decide commands in their order; the draft's cursor stands behind the last of them.

        No command, whoever wrote it, keeps those behind it from being decided.
        """
        draft = Draft()
        for sent in commands:
            draft.cursor = sent.entry_id
            if isinstance(sent, Unreadable):
                self._refuse("unreadable", sent.by, now_ns, detail=sent.reason)
            elif fault := fault_of(sent.command):
                self._refuse("malformed", sent.by, now_ns, detail=fault)
            elif reason := self._may_not_say(sent):
                self._refuse(reason, sent.by, now_ns, command=type(sent.command).__name__)
            else:
                self._decide(draft, sent, now_ns)
        return self._told(draft)

    def _told(self, draft: Draft) -> Draft:
        if not draft.events:
            return draft
        first = self.ledger.seq - len(draft.events) + 1
        told = [(event, seq) for seq, event in enumerate(draft.events, first)]
        tell_events(self._log, "decided", told, key="seq")
        return draft

    def _may_not_say(self, sent: Sent) -> Reason | None:
        command = sent.command
        if isinstance(command, Heartbeat) and self._is_of_other_log(command.genesis):
            return Reason.OTHER_LOG
        return may_not_say(self.ledger, sent.by, command)

    def _is_of_other_log(self, genesis: str) -> bool:
        return bool(genesis and self.genesis and genesis != self.genesis)

    def _decide(self, draft: Draft, sent: Sent, now_ns: int) -> None:
        if isinstance(sent.command, Heartbeat):
            self.reads = sent.command.reads
        decision = decide(self.ledger, self.desk, sent.command, now_ns)
        try:
            for event in decision.events:
                self._record(draft, event, now_ns)
        except LedgerError as error:  # our bug; the ledger checks before it changes anything
            self._log.critical("command.contradicts", command=repr(sent.command), reason=str(error))
            self.refusals["contradicts"] += 1
        if decision.answer:
            self._answer(draft, decision.answer, sent, now_ns)

    def _refuse(self, reason: str, by: str, now_ns: int, **more: Any) -> None:
        self.refusals[reason] += 1
        if self._quota.allows(reason, now_ns):
            self._log.warning("command.refused", stage="decided", reason=reason, by=by, **more)

    def pass_time(self, now_ns: int) -> Draft:
        """Record what time alone brought."""
        draft = Draft()
        for event in tick(self.ledger, self.desk, now_ns):
            self._record(draft, event, now_ns)
        return self._told(draft)

    def _record(self, draft: Draft, event: Event, now_ns: int) -> None:
        self.ledger.evolve(self.ledger.seq + 1, self.epoch, event)
        self.desk.observe(event, now_ns)
        draft.events.append(event)
        if isinstance(event, LeaseAssigned):
            self._report_duplicate(event)

    def _answer(self, draft: Draft, answer: Answer, sent: Sent, now_ns: int) -> None:
        draft.answers.append(answer)
        if isinstance(sent.command, ReportLoss) and isinstance(answer, Refused):
            is_older = answer.reason == Reason.OLDER_EPOCH
            self.outrun_by = max(self.outrun_by, sent.command.epoch if is_older else 0)
        if isinstance(answer, Refused):
            kind = type(sent.command).__name__
            self._refuse(answer.reason, sent.by, now_ns, command=kind, req=answer.req)

    def _report_duplicate(self, event: LeaseAssigned) -> None:
        bindings = self.ledger.bindings_of(event.mac)
        if len(bindings) > 1:
            lines = sorted(binding.line for binding in bindings)
            self._log.warning("mac.duplicate", mac=mac_text(event.mac), lines=lines)
