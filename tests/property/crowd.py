"""A site and the crowd of its clients: the real allocator and log, on a clock of the test.

What is bound, what rests and what was promised is learnt from the log alone, as an edge does, and
kept apart from the ledger, so that the two can be held against each other.
"""

import random
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lease_core.domain.commands import (
    AckRemoval,
    Command,
    Heartbeat,
    Offered,
    ReportExpiry,
    RequestLease,
    RequestOffer,
    RevokeLease,
)
from lease_core.domain.desk import SECOND, Timing
from lease_core.domain.events import (
    AddressDeclined,
    AddressFreed,
    Event,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    PrefixPlanned,
)
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import Claimed, Unreadable
from lease_core.log.reader import Position, advance_all
from lease_core.log.writer import build
from lease_core.service.site_allocator import Draft, SiteAllocator

GENESIS = "0e" * 16
LIFE, EDGE, OPERATOR = "a", "bng1", "operator:test"
LEASE_S = 300
TIMING = Timing(horizon_s=7200, reuse_guard_s=20, decline_first_s=400, decline_max_s=1000)
READ_AT_ONCE, MAX_READ = 1000, 512
TWICE, LOST, DEATHS = 0.1, 0.1, 0.02
"""How often a command comes twice, a request gets lost, an allocator dies with its decisions."""
MAX_OLD = 1000
MAX_TRIES = 40
Key = tuple[Mac, str]


@dataclass(slots=True)
class Clock:
    now_ns: int = 1_000_000 * SECOND

    def now_ms(self) -> int:
        return self.now_ns // 1_000_000


class Place:
    """One site: `bound`, `resting` and `promised` are by address, the model's view of them."""

    def __init__(
        self, number: int, size: int, server: MemoryServer, clock: Clock, chance: random.Random
    ) -> None:
        self.size = size
        self.clock = clock
        self.chance = chance
        self.bound: dict[Ipv4, Key] = {}
        self.address: dict[Key, Ipv4] = {}
        self.resting: set[Ipv4] = set()
        self.own: dict[Key, Ipv4] = {}
        """Whose address rests and may go back to its last holder at once."""
        self.promised: dict[Ipv4, tuple[Key, int]] = {}
        self.offers: dict[str, Ipv4] = {}
        self.ledger = Ledger()
        self.log = MemoryLog(f"site{number}", server)
        self.epochs = self.told = 0
        self._number = number
        self._first = Ipv4((10 << 24) + (number * 4 << 16) + 2)
        self._position = Position(GENESIS)
        self._answers_after = "0-0"
        self._old: list[Command] = []

    @property
    def free(self) -> int:
        return self.size - len(self.bound) - len(self.resting)

    # --- the allocator ---

    async def open(self) -> None:
        await self.log.create(GENESIS)
        await self.take_over()
        prefix = PrefixPlanned(
            site=self.log.site,
            pool="res",
            network=f"10.{self._number * 4}.0.0/14",
            first=self._first,
            last=Ipv4(self._first + self.size - 1),
            gateway=Ipv4(self._first - 1),
            dns="",
            lease_time_s=LEASE_S,
            cause="test",
        )
        await self._commit(self.site.plan([prefix], self.clock.now_ns))
        await self.wait(1)

    async def take_over(self) -> None:
        """An allocator that knows nothing but the log takes the place of the one before."""
        self.clock.now_ns += SECOND // 100
        self.epochs += 1
        claimed = await self.log.claim(f"allocator#{self.epochs}", 1, GENESIS)
        assert isinstance(claimed, Claimed)
        now_ns = self.clock.now_ns
        self.site = SiteAllocator(self.log.site, self.ledger.copy(), TIMING, claimed.epoch, now_ns)
        await self._commit(self.site.begin("takeover", now_ns))

    async def tell(self, commands: Iterable[Command]) -> None:
        """Commands arrive in any order and some of them twice; all are decided."""
        said = list(commands)
        said += [command for command in said if self.chance.random() < TWICE]
        self.chance.shuffle(said)
        self.told += len(said)
        for at in range(0, len(said), READ_AT_ONCE):
            some = said[at : at + READ_AT_ONCE]
            by_operator = [command for command in some if isinstance(command, RevokeLease)]
            by_edge = [command for command in some if not isinstance(command, RevokeLease)]
            await self.log.send_many(by_operator, OPERATOR)
            await self.log.send_many(by_edge, EDGE)
            self._old += self.chance.sample(some, min(10, len(some)))
            await self._decide()

    def late(self) -> list[Command]:
        """Copies of some commands of any time before."""
        self._old = self.chance.sample(self._old, min(MAX_OLD, len(self._old)))
        return self._old[: MAX_OLD // 4]

    async def _decide(self) -> None:
        """Go on where the log says; an allocator that dies takes what it decided with it."""
        while True:
            head = await self.log.head()
            assert head
            came = await self.log.commands(head.cursor, self.chance.randint(1, MAX_READ))
            if not came:
                return
            draft = self.site.handle(came, self.clock.now_ns)
            if self.chance.random() < DEATHS:
                await self.take_over()
            else:
                await self._commit(draft)

    async def _commit(self, draft: Draft) -> None:
        if not draft:
            return
        head = await self.log.head()
        assert head
        batch = build(
            head,
            draft.events,
            by="allocator",
            epoch=self.site.epoch,
            commit_ms=self.clock.now_ms(),
            batch_id=secrets.token_hex(8),
            answers=draft.answers,
            cursor=draft.cursor,
        )
        await self.log.append(batch)
        await self._follow()

    # --- the edge ---

    async def _follow(self) -> None:
        while True:
            came = await self.log.follow(
                self._position.entry_id, self._answers_after, 0, READ_AT_ONCE
            )
            if not came.records and not came.answers:
                return
            self._position = advance_all(self._position, came.records)
            for record in came.records:
                self.ledger.evolve(record.seq, record.epoch, record.event)
                self._learn(record.event)
            for answered in came.answers:
                self._answers_after = answered.entry_id
                assert not isinstance(answered, Unreadable)
                if isinstance(answered.answer, Offered):
                    self.offers[answered.answer.req] = answered.answer.ip

    def _learn(self, event: Event) -> None:
        now_ns = self.clock.now_ns
        match event:
            case LeaseAssigned(mac=mac, line=line, ip=ip):
                key = (mac, line)
                holder, end_ns = self.promised.get(ip, (key, 0))
                assert holder == key or end_ns <= now_ns, f"I1: {ip:x} is promised to two"
                assert ip not in self.bound, f"I11: {ip:x} has two holders"
                assert key not in self.address, f"I11: {key} has two addresses"
                self.bound[ip], self.address[key] = key, ip
                self.promised[ip] = (key, max(end_ns, now_ns + LEASE_S * SECOND))
                self.resting.discard(ip)
                self.own.pop(key, None)
            case LeaseReleased() | LeaseExpired() | LeaseRevoked() | AddressDeclined():
                key = self.bound.pop(event.ip)
                assert key == (event.mac, event.line)
                del self.address[key]
                self.resting.add(event.ip)
                if not isinstance(event, AddressDeclined):
                    self.own[key] = event.ip
            case AddressFreed(ip=ip):
                assert self.promised[ip][1] <= now_ns, f"I7: {ip:x} is free while it is promised"
                self.resting.remove(ip)
                self.own.pop(self.promised[ip][0], None)
            case _:
                pass

    async def wait(self, seconds: int, staying: Iterable[Key] = ()) -> None:
        """Let time pass; clients that stay renew in the kernel meanwhile, without any event."""
        self.clock.now_ns += seconds * SECOND
        end_ns = self.clock.now_ns + LEASE_S * SECOND
        for key in staying:
            if ip := self.address.get(key):
                self.promised[ip] = (key, end_ns)
        beat = Heartbeat(edge=EDGE, incarnation=LIFE, nonce="n", applied=self.ledger.seq)
        await self.log.send(beat, EDGE)
        await self._decide()
        await self._commit(self.site.pass_time(self.clock.now_ns))

    def over(self) -> Iterator[ReportExpiry]:
        """Reports of all bindings whose promise has passed."""
        for ip, (mac, line) in self.bound.items():
            if self.promised[ip][1] <= self.clock.now_ns:
                yield ReportExpiry(
                    req=f"e{ip:x}",
                    mac=mac,
                    line=line,
                    ip=ip,
                    ref=self.ledger.bound[ip].seq,
                    incarnation=LIFE,
                )

    def acks(self) -> Iterator[AckRemoval]:
        """Acknowledgements of all removals that wait for one, with what is still promised."""
        for ip, removal in self.ledger.removed.items():
            if removal.quarantine_s is None:
                left_ns = max(0, self.promised[ip][1] - self.clock.now_ns)
                yield AckRemoval(
                    req=f"a{ip:x}",
                    ip=ip,
                    ref=removal.seq,
                    remaining_s=-(-left_ns // SECOND),
                    incarnation=LIFE,
                )

    # --- clients ---

    def discover(self, key: Key) -> RequestOffer:
        """Everybody names an address that he would like, be it free or not."""
        wanted = Ipv4(self._first + self.chance.randrange(self.size))
        return RequestOffer(req=_req(key), mac=key[0], line=key[1], wanted=wanted)

    async def ask(self, keys: Iterable[Key]) -> None:
        """Clients ask until each has an address or there is none; one request in ten gets lost."""
        wanting = list(keys)
        for _ in range(MAX_TRIES):
            wanting = [key for key in wanting if key not in self.address]
            self.offers.clear()
            await self.tell(self.discover(key) for key in wanting)
            if not self.offers:
                return
            await self.tell(self._requests(wanting))
        raise AssertionError(f"{len(wanting)} clients go on asking and get offers (I13)")

    def _requests(self, keys: Sequence[Key]) -> Iterator[RequestLease]:
        for key in keys:
            ip = self.offers.get(_req(key))
            if ip and self.chance.random() >= LOST:
                yield RequestLease(req=_req(key), mac=key[0], line=key[1], ip=ip, kind="selecting")


def _req(key: Key) -> str:
    return f"{key[0]:x}"
