"""The world: machines, wires, clients and faults of one seed, and the run of one schedule."""

import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lease_core.domain.events import Ending, PrefixPlanned, RecoveryStarted
from lease_core.domain.values import Ipv4, Mac, ip_from_text, ip_text
from lease_core.log.memory_log import MemoryLog
from lease_core.log.port import Batch
from lease_core.log.replay import replay
from lease_core.service.leader import SiteLeader
from tests.simulation import losses
from tests.simulation.checker import SiteOracle, Violation, folded
from tests.simulation.client import Client, Reply, read_reply
from tests.simulation.clocks import Clock
from tests.simulation.faults import LONG, Fault, Length, draw
from tests.simulation.loop import Process, SimLoop
from tests.simulation.quiet import drain, heal, quiet_phase
from tests.simulation.router import Router
from tests.simulation.seams import LEASE_S, POLICY, TIMING, simulated
from tests.simulation.server import Link, Server, SimLog, settled
from tests.simulation.strikes import replay_for, strike

SITES = ("ams", "ber", "cdg")
ALLOCATORS = ("core1", "core2")
CLIENTS = 40
POOL_SIZE = 10
MAX_POOLS = 3
CHECK_S = 2.0
MAX_STEPS = 400_000
TOLD = 60
"""Last words of a failing schedule."""


def genesis_of(site: str) -> str:
    return hashlib.blake2b(site.encode(), digest_size=16).hexdigest()


def pool_of(site: str, number: int) -> PrefixPlanned:
    base = ip_from_text(f"100.{64 + SITES.index(site)}.{number}.0")
    return PrefixPlanned(
        site=site,
        pool=f"pool{number}",
        network=f"{ip_text(base)}/24",
        first=Ipv4(base + 2),
        last=Ipv4(base + 1 + POOL_SIZE),
        gateway=Ipv4(base + 1),
        dns="",
        lease_time_s=LEASE_S,
        cause="plan",
    )


class AllocatorHost:
    """One allocator machine: a process with a leader for each site, reborn under another token."""

    def __init__(self, world: "World", name: str, clock: Clock) -> None:
        self.world, self.name, self.clock = world, name, clock
        self.link = Link()
        self.lives = 0
        self.process: Process | None = None
        self.leaders: dict[str, SiteLeader] = {}

    def start(self) -> None:
        world = self.world
        if self.process:
            return
        if not losses.may_forget(world):
            world.loop.later(1.0, self.start)
            return
        self.lives += 1
        owner = f"{self.name}#{self.lives}"
        self.process = process = Process(world.loop, owner, self.clock)
        for site in SITES:
            log = SimLog(site, world.server, self.link, process)
            leader = SiteLeader(
                log,
                world.genesis[site],
                TIMING,
                owner,
                self.clock.elapsed_ns,
                policy=POLICY,
                replaces=world.replaced[site],
            )
            leader.planned.extend(world.planned[site])
            self.leaders[site] = leader
            process.spawn(leader.run())
        for task in process.tasks:
            task.add_done_callback(_task_ended, context=process.context)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process = None
            self.leaders.clear()


def _task_ended(task: Any) -> None:
    error = None if task.cancelled() else task.exception()
    if error:
        raise error


class World:
    def __init__(self, seed: int, kinds: tuple[str, ...] = (), length: Length = LONG) -> None:
        """`kinds` are the only faults to draw, and many of them; none = a swarm."""
        self.seed, self.length = seed, length
        self.rng = rng = random.Random(seed)
        self.loop = SimLoop()
        self.trace = hashlib.blake2b(digest_size=8)
        self.told: deque[str] = deque(maxlen=TOLD)
        self.tally: Counter[str] = Counter()
        self.planned = {site: [pool_of(site, 1)] for site in SITES}
        self.genesis = {site: genesis_of(site) for site in SITES}
        self.replaced = dict.fromkeys(SITES, "")
        self.oracles = {site: SiteOracle(site) for site in SITES}
        self.server = Server(self.loop, rng, self._clock(), SITES)
        self.server.on_append = self._appended
        self.server.on_unheld = lambda: self.tally.update(["append that too few replicas hold"])
        self.faults = draw(
            random.Random(rng.getrandbits(64)), list(SITES), list(ALLOCATORS), length, kinds
        )
        self.air = {site: {"drop": 0.0, "twice": 0.0, "late_s": 0.0} for site in SITES}
        self.routers = {site: self._router(site) for site in SITES}
        self.allocators = {name: AllocatorHost(self, name, self._clock()) for name in ALLOCATORS}
        self.clients = self._clients()
        self.replaying: set[str] = set()
        self.only_edge: dict[str, int] = {}
        """Sites whose edge alone may know that events behind a seq were lost."""
        self.gaps: Counter[str] = Counter()
        self.menders: list[Callable[[], None]] = []

    def _clock(self) -> Clock:
        return Clock(
            self.loop, self.rng.choice((0.976, 1.0, 1.024, self.rng.uniform(0.976, 1.024)))
        )

    def _router(self, site: str) -> Router:
        router = Router(self.loop, self.rng, self.server, site, self._clock())
        router.on_reply = self._replied
        router.on_following = lambda state: self.tally.update([f"edge {state}"])
        router.on_note = lambda what: self.tally.update([what])
        return router

    def _clients(self) -> list[Client]:
        """Each third at a site; every tenth MAC is on two lines."""
        places = [(site, line) for site in SITES for line in ("access0", "access1")]
        clients = []
        for number in range(CLIENTS):
            mac = Mac(0x0200_0000_0001 + (number if number % 10 else number + 1))
            place = places[number % len(places)]
            clients.append(Client(self.loop, self.rng, mac, place, places, self.uplink, self.bound))
        return clients

    def add_pool(self, site: str) -> None:
        """The plan grows; every allocator that lives hears of it."""
        if len(self.planned[site]) == MAX_POOLS:
            return
        prefix = pool_of(site, len(self.planned[site]) + 1)
        self.planned[site].append(prefix)
        for host in self.allocators.values():
            if site in host.leaders:
                host.leaders[site].planned.append(prefix)
                host.leaders[site].bell.ring()

    def recreate(self, site: str) -> None:
        """The operator has the plan follow the log that stands there, or a new one."""
        lost, stands = self.genesis[site], self.server.store.sites[site].head
        if stands and stands.genesis == lost:
            return
        if self.server.store.is_down:
            self.loop.later(1.0, self.recreate, site)
            return
        self.replaced[site] = f"{self.replaced[site]} {lost}"
        new = genesis_of(self.replaced[site])
        self.genesis[site] = settled(self.auditor(site).create(new))
        self.note(f"{site} log {'taken up' if stands else 'created anew'}")
        for host in self.allocators.values():
            if host.process:
                host.kill()
                host.start()

    def auditor(self, site: str) -> MemoryLog:
        """The log itself, without a network."""
        return MemoryLog(site, self.server.store)

    # --- wires ---

    def _delays(self, site: str) -> list[float]:
        """When a frame arrives: not at all, once, or twice."""
        rng, air = self.rng, self.air[site]
        if air["drop"] and rng.random() < air["drop"]:
            return []
        count = 2 if air["twice"] and rng.random() < air["twice"] else 1
        return [rng.uniform(0.0002, 0.004) + air["late_s"] * rng.random() for _ in range(count)]

    def uplink(self, client: Client, octets: bytes) -> None:
        site, line = client.place
        for delay_s in self._delays(site):
            self.loop.later(delay_s, self.routers[site].receive, line, octets)

    def _replied(self, router: Router, ifindex: int, frame: bytes, who: str) -> None:
        reply, now_s = read_reply(frame), self.loop.now_s
        oracle = self.oracles[router.site]
        oracle.check_held(router, self.server.replicas[router.site].held_seq)
        oracle.replied(router, ifindex, reply, who, now_s)
        self.note(
            f"{router.site} {who} {reply.kind} {ip_text(reply.ip)} {reply.mac:x} {reply.lease_s}"
        )
        line = next(name for name, number in router.interfaces.items() if number == ifindex)
        for delay_s in self._delays(router.site):
            self.loop.later(delay_s, self._downlink, (router.site, line), reply)

    def _downlink(self, place: tuple[str, str], reply: Reply) -> None:
        for client in self.clients:
            if client.place == place and client.mac == reply.mac:
                client.receive(reply)

    def bound(self, client: Client) -> None:
        """I1, as the clients themselves see it."""
        now_s = self.loop.now_s
        for other in self.clients:
            if other.ip == client.ip and other.key != client.key and other.holds(now_s):
                raise Violation(
                    f"I1: {ip_text(client.ip)} is used by {client.key} and by {other.key} at "
                    f"{now_s:.2f} s"
                )

    def _appended(self, site: str, batch: Batch, is_deposed: bool) -> None:
        oracle, router, now_s = self.oracles[site], self.routers[site], self.loop.now_s
        if is_deposed:
            self.tally["appended by a deposed master"] += 1
            losses.in_vain(self, site, batch)
            return
        is_told = any(isinstance(record.event, RecoveryStarted) for record in batch.records)
        if is_told:
            losses.told(self, site)
        if self.server.is_replaced(site) and site not in self.only_edge:
            raise Violation(f"I5: {site}: an append to a log that lost what was promised")
        for record in batch.records:
            self.note(f"{site} log {record.entry_id} ep={record.epoch} {record.by} {record.event}")
            self.tally[type(record.event).__name__] += 1
            if site in self.replaying and isinstance(record.event, Ending):
                self.loop.later(0.0, replay_for, self, site, record.event.ip)
        oracle.appended(batch, router, now_s, is_known=site not in self.only_edge)
        if batch.records:
            self._check_states(site, batch)

    def _check_states(self, site: str, batch: Batch) -> None:
        """I3, I10: whoever appended holds the state that the log tells, at every append."""
        oracle, writer = self.oracles[site], self.allocators[batch.by].process
        oracle.check_states()
        if writer and site in writer.leads:
            ledger = writer.leads[site].ledger
            oracle.check_equal(ledger)
            self.tally["decided more while an append was under way"] += ledger.seq > batch.after.seq

    def expanded(self) -> str:
        """What this seed is made of, for people."""
        rates = {r.site: r.clock.rate for r in self.routers.values()}
        rates |= {host.name: host.clock.rate for host in self.allocators.values()}
        shown = " ".join(f"{name}={rate:.3f}" for name, rate in rates.items())
        faults = "\n".join(map(str, self.faults)) or "  none"
        acks = sum(oracle.acks for oracle in self.oracles.values())
        setup = next(iter(self.server.replicas.values()))
        return (
            f"seed {self.seed}, {self.length.name}: clock rates {shown}\n"
            f"replicas {len(setup.each)}, {setup.needed} must hold\nfaults:\n{faults}\n"
            f"{self.loop.now_s:.0f} s, {self.loop.steps} steps, {acks} ACKs, "
            f"{sum(o.ledger.seq for o in self.oracles.values())} events, "
            f"trace {self.trace.hexdigest()}"
        )

    def note(self, words: str) -> None:
        line = f"{self.loop.now_s:9.3f} {words}"
        self.trace.update(line.encode())
        self.told.append(line)

    # --- the run ---

    def run(self, bug: AbstractContextManager[None] | None = None) -> None:
        """One schedule: a phase with faults, then a quiet one. Raises Violation."""
        with simulated(self.rng), self.loop.running(), bug or nullcontext():
            try:
                self._begin()
                self.run_to(self.length.fault_s)
                heal(self)
                quiet_phase(self)
                if self.length.has_drain:
                    drain(self)
                self._check_replay()
            finally:
                self._end()

    def _end(self) -> None:
        """Let every coroutine come to its end."""
        for host in self.allocators.values():
            host.kill()
        for router in self.routers.values():
            router.is_up = False
            router.kill_agent()
        self.loop.run_until(self.loop.now_s + 0.1, MAX_STEPS * 2)

    def _begin(self) -> None:
        loop = self.loop
        for site in SITES:
            settled(self.auditor(site).create(genesis_of(site)))
        for number, host in enumerate(self.allocators.values()):
            loop.later(0.1 + number * 0.5, host.start)
        for router in self.routers.values():
            loop.later(self.rng.uniform(0.1, 2.0), router.start_agent)
        for client in self.clients:
            loop.later(self.rng.uniform(1.0, self.length.fault_s / 12), client.power_on)
            self._plan_life(client)
        for fault in self.faults:
            loop.later(fault.at_s, self._strike, fault)

    def _strike(self, fault: Fault) -> None:
        self.note(f"fault {fault}")
        self.tally[f"fault {fault.kind}"] += 1
        strike(self, fault)

    def _plan_life(self, client: Client) -> None:
        """A person does something to a client now and then."""
        at_s = self.rng.uniform(10.0, 60.0)
        while at_s < self.length.fault_s:
            deed = self.rng.choices(("release", "power_off", "move"), (3, 4, 1))[0]
            self.loop.later(at_s, getattr(client, deed))
            back_s = at_s + self.rng.choice((1.0, 5.0, 40.0)) * self.rng.uniform(0.5, 1.5)
            self.loop.later(back_s, client.power_on)
            at_s = back_s + self.rng.expovariate(1 / 60)

    def run_to(self, end_s: float) -> None:
        while self.loop.now_s < end_s:
            self.loop.run_until(min(end_s, self.loop.now_s + CHECK_S), MAX_STEPS)
            if self.loop.steps >= MAX_STEPS:
                raise Violation(f"I12: {MAX_STEPS} steps: something spins")
            self.check()

    def check(self) -> None:
        """What is looked at between steps, every `CHECK_S`."""
        now_s = self.loop.now_s
        for site, oracle in self.oracles.items():
            router = self.routers[site]
            if site in self.only_edge:
                losses.notice_agreement(self, site)
            if router.is_up:
                oracle.check_held(router, self.server.replicas[site].held_seq)
                oracle.check_tables(router)
                oracle.check_bounds(router)
                oracle.check_nesting(router, now_s)
            for host in self.allocators.values():
                self._check_leader(host, site, oracle, now_s)

    def _check_leader(
        self, host: AllocatorHost, site: str, oracle: SiteOracle, now_s: float
    ) -> None:
        stands = self.server.store.sites[site]
        head = stands.head
        is_writer = head and host.process and head.owner == host.process.name
        decider = host.process.leads.get(site) if host.process and is_writer else None
        is_lost = self.server.is_replaced(site) and not self.server.is_split(site)
        if is_lost or decider is None or decider.epoch != head.epoch or not stands.is_led_here:
            return
        if self.routers[site].is_up:
            oracle.check_desk(self.routers[site], decider.desk, host.clock, now_s)
        ledger = decider.ledger
        if ledger.seq == oracle.ledger.seq and ledger.digest() != oracle.ledger.digest():
            raise Violation(f"I3: {site}: {host.name} holds another state than the log tells")

    def _check_replay(self) -> None:
        """I3: whoever reads the whole log holds the state that was followed step by step."""
        for site, oracle in self.oracles.items():
            ledger, _ = settled(replay(self.auditor(site), self.genesis[site]))
            if ledger.digest() != folded(oracle.records[: ledger.seq]).digest():
                raise Violation(f"I3: {site}: replay gives another state")
