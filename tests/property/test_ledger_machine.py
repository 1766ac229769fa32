"""Random histories of one site against a naive model of who may still hold a promise."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lease_core.domain.commands import (
    AckRemoval,
    DeclineAddress,
    Heartbeat,
    ReleaseLease,
    ReportExpiry,
    RequestStock,
    RevokeLease,
)
from lease_core.domain.desk import SECOND, Timing
from lease_core.domain.events import Event, LeaseAssigned
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac
from tests.site import FIRST, Site

POOL = 9
"""Enough that some of it is set aside, too few for all."""
LEASE_S = 100
TIMING = Timing(horizon_s=300, reuse_guard_s=20, decline_first_s=50, decline_max_s=200)

macs = st.integers(1, 5)
lines = st.sampled_from(["a", "b"])
addresses = st.integers(FIRST - 1, FIRST + POOL)


class History(RuleBasedStateMachine):
    """`promised[ip]` is (holder, end): what a client may believe, by the edge's rules."""

    @initialize()
    def start(self) -> None:
        self.site = Site(size=POOL, timing=TIMING)
        self.edge_horizon_ns = self.site.now_ns + TIMING.horizon_s * SECOND
        self.promised: dict[int, tuple[tuple[int, str], int]] = {}

    def learn(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, LeaseAssigned):
                key = (int(event.mac), event.line)
                holder, end = self.promised.get(event.ip, (key, 0))
                assert holder == key or end <= self.site.now_ns, "I1: two promises for one address"
                self.promise(event.ip, key)

    def promise(self, ip: int, key: tuple[int, str]) -> None:
        now = self.site.now_ns
        end = min(now + LEASE_S * SECOND, max(now, self.edge_horizon_ns))
        before = self.promised.get(ip, (key, 0))
        self.promised[ip] = (key, max(end, before[1] if before[0] == key else 0))

    @rule(mac=macs, line=lines, wanted=addresses)
    def discover(self, mac: int, line: str, wanted: int) -> None:
        self.site.offer(mac, line, wanted)

    @rule(count=st.integers(1, POOL))
    def set_aside(self, count: int) -> None:
        self.site.do(RequestStock(req="s", count=count))

    @rule(mac=macs, line=lines, ip=addresses, kind=st.sampled_from(["selecting", "renewing"]))
    def request(self, mac: int, line: str, ip: int, kind: str) -> None:
        self.learn(self.site.request(mac, ip, line, kind)[0])

    @rule(mac=macs, line=lines)
    def whole_exchange(self, mac: int, line: str) -> None:
        ip = self.site.offer(mac, line)
        if ip is not None:
            self.learn(self.site.request(mac, ip, line)[0])

    @rule(mac=macs, line=lines, ip=addresses, kind=st.sampled_from([ReleaseLease, DeclineAddress]))
    def give_back(self, mac: int, line: str, ip: int, kind: type) -> None:
        self.site.do(kind(req="x", mac=Mac(mac), line=line, ip=Ipv4(ip)))

    @rule(ip=addresses)
    def revoke(self, ip: int) -> None:
        self.site.do(RevokeLease(req="x", ip=Ipv4(ip), cause="operator"))

    @rule(ip=addresses)
    def renew_in_kernel(self, ip: int) -> None:
        """The kernel knows a binding until its removal is acknowledged."""
        ledger = self.site.ledger
        removal = ledger.removed.get(Ipv4(ip))
        waiting = removal.binding if removal and removal.quarantine_s is None else None
        binding = ledger.bound.get(Ipv4(ip)) or waiting
        if binding and self.edge_horizon_ns > self.site.now_ns:
            self.promise(ip, (int(binding.mac), binding.line))

    @rule(ip=addresses)
    def report_expiry(self, ip: int) -> None:
        binding = self.site.ledger.bound.get(Ipv4(ip))
        if binding and self.promised[ip][1] <= self.site.now_ns:
            self.site.do(
                ReportExpiry(
                    req="x",
                    mac=binding.mac,
                    line=binding.line,
                    ip=binding.ip,
                    ref=binding.seq,
                    incarnation="a",
                )
            )

    @rule(ip=addresses, late=st.booleans())
    def acknowledge(self, ip: int, late: bool) -> None:
        removal = self.site.ledger.removed.get(Ipv4(ip))
        if removal:
            left_ns = max(0, self.promised[ip][1] - self.site.now_ns)
            self.site.do(
                AckRemoval(
                    req="a",
                    ip=Ipv4(ip),
                    ref=removal.seq - late,
                    remaining_s=-(-left_ns // SECOND),
                    incarnation="a",
                )
            )

    @rule()
    def heartbeat(self) -> None:
        self.site.do(Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0))
        self.edge_horizon_ns = self.site.now_ns + TIMING.horizon_s * SECOND

    @rule(seconds=st.sampled_from([1, 19, 21, 60, 101, 299, 321]))
    def wait(self, seconds: int) -> None:
        self.site.wait(seconds)

    @rule()
    def take_over(self) -> None:
        self.site.take_over()

    @invariant()
    def horizon_nests(self) -> None:
        """I6: E <= A."""
        assert self.edge_horizon_ns <= self.site.desk.horizon_ns

    @invariant()
    def replay_equals_live(self) -> None:
        """I3: the log alone gives the live state."""
        ledger = Ledger()
        for seq, event in enumerate(self.site.log, 1):
            ledger.evolve(seq, 1, event)
        assert ledger.digest() == self.site.ledger.digest()

    @invariant()
    def addresses_are_conserved(self) -> None:
        """I10: every address is in one state only."""
        ledger = self.site.ledger
        states = [set(ledger.bound), set(ledger.removed), set(ledger.freed)]
        assert sum(map(len, states)) == len(set().union(*states))

    def teardown(self) -> None:
        """I13: once everything was acknowledged and time passed, the whole pool can be given."""
        for ip in list(self.site.ledger.bound):
            self.revoke(ip)
        for ip in list(self.site.ledger.removed):
            self.acknowledge(ip, late=False)
        self.site.wait(TIMING.horizon_s * 2 + TIMING.decline_max_s)
        offers = {self.site.offer(100 + n) for n in range(POOL)}
        assert offers == {FIRST + n for n in range(POOL)}, "an address leaked"


History.TestCase.settings = settings(
    max_examples=5 * settings().max_examples, stateful_step_count=40
)
TestHistory = pytest.mark.timeout(3600)(History.TestCase)
