"""A whole site in one process under a clock of the test: real edge, real allocator, one log.

Nothing runs by itself: `settle` carries commands, events and answers round until all is quiet.
"""

import secrets
import struct
from dataclasses import dataclass, replace

from edge_agent.agent.edge import Edge, Identity
from edge_agent.agent.slow_path import Now
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp import codes
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.tables import Port
from edge_agent.sync.follower import Following
from edge_agent.sync.lines import Lines
from lease_core.domain.commands import Command
from lease_core.domain.desk import Timing
from lease_core.domain.events import Event, PoolAdded, Record
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac, ip_from_text
from lease_core.log.memory_log import MemoryLog
from lease_core.log.memory_store import MemoryServer
from lease_core.log.port import Answered, Batch, Head
from lease_core.log.reader import Position, advance
from lease_core.log.writer import build
from lease_core.service.site_allocator import Draft, SiteAllocator
from tests.unit.dhcp.clients import BROADCAST, EVERYONE, Sent, requested, server

SECOND = 10**9
GENESIS = "0a" * 16
PORT_MACS = {7: Mac(0x02_AA_00_00_00_01), 8: Mac(0x02_AA_00_00_00_02)}
LINES = {"access0": 7, "access1": 8}
SERVER = ip_from_text("100.64.0.1")
FIRST = ip_from_text("100.64.0.2")
ELSEWHERE = ip_from_text("192.168.9.9")
START_MS = 1_700_000_000_000


def mac_of(number: int) -> Mac:
    return Mac(0x02_00_00_00_00_00 + number)


@dataclass(frozen=True)
class Reply:
    """What a client sees."""

    kind: MessageType
    yiaddr: Ipv4
    lease_s: int
    ifindex: int
    dst_ip: Ipv4
    server_id: Ipv4
    xid: int


def read_reply(ifindex: int, frame: bytes) -> Reply:
    if frame[12:14] == b"\x81\x00":
        frame = frame[:12] + frame[16:]
    dst_ip = int.from_bytes(frame[30:34], "big")
    bootp, at, found = frame[42:], 240, {}
    while bootp[at] != codes.END:
        code, length = bootp[at], bootp[at + 1]
        found[code] = bootp[at + 2 : at + 2 + length]
        at += 2 + length
    (yiaddr,) = struct.unpack_from("!I", bootp, 16)
    return Reply(
        MessageType(found[codes.MESSAGE_TYPE][0]),
        Ipv4(yiaddr),
        int.from_bytes(found.get(codes.LEASE_TIME, b""), "big"),
        ifindex,
        Ipv4(dst_ip),
        Ipv4(int.from_bytes(found[codes.SERVER_ID], "big")),
        int.from_bytes(bootp[4:8], "big"),
    )


def frame_of(number: int, kind: MessageType, **fields: object) -> Sent:
    """A client's frame."""
    mac = mac_of(number)
    chaddr = mac.to_bytes(6, "big") + bytes(10)
    return Sent(kind=kind, src_mac=mac, chaddr=chaddr, **fields)  # type: ignore[arg-type]


def discover(number: int, wanted: Ipv4 | None = None, area: bytes = b"") -> Sent:
    wish = b"" if wanted is None else requested(wanted)
    return frame_of(number, MessageType.DISCOVER, area=wish + area)


def selecting(number: int, ip: Ipv4, server_id: Ipv4 = SERVER, area: bytes = b"") -> Sent:
    wish = requested(ip) + server(server_id)
    return frame_of(number, MessageType.REQUEST, area=wish + area)


def init_reboot(number: int, ip: Ipv4) -> Sent:
    return frame_of(number, MessageType.REQUEST, area=requested(ip))


def renewing(number: int, ip: Ipv4) -> Sent:
    return frame_of(
        number, MessageType.REQUEST, ciaddr=ip, src_ip=ip, dst_ip=SERVER, dst_mac=PORT_MACS[7]
    )


def rebinding(number: int, ip: Ipv4) -> Sent:
    return frame_of(
        number, MessageType.REQUEST, ciaddr=ip, src_ip=ip, dst_ip=BROADCAST, dst_mac=EVERYONE
    )


def release(number: int, ip: Ipv4) -> Sent:
    return frame_of(number, MessageType.RELEASE, ciaddr=ip, src_ip=ip, dst_ip=SERVER)


def decline(number: int, ip: Ipv4) -> Sent:
    return frame_of(number, MessageType.DECLINE, area=requested(ip) + server(SERVER))


def inform(number: int, ip: Ipv4) -> Sent:
    return frame_of(number, MessageType.INFORM, ciaddr=ip, src_ip=ip)


def pool(size: int) -> PoolAdded:
    return PoolAdded(
        pool="res-1",
        number=1,
        network="100.64.0.0/24",
        first=FIRST,
        last=Ipv4(FIRST + size - 1),
        gateway=SERVER,
        dns="9.9.9.9,1.1.1.1",
        lease_time_s=3600,
        cause="test",
    )


class Town:
    """`is_cut` = the edge does not reach the log; `step_ns` puts its CLOCK_BOOTTIME
    ahead, for `stood_ns` its machine was paused with all clocks.
    """

    def __init__(
        self,
        size: int = 4,
        timing: Timing | None = None,
        subscribers: int = 64,
        *,
        offers_stock: bool = False,
    ) -> None:
        self.ns = 1000 * SECOND
        self.step_ns = self.stood_ns = 0
        self.is_cut = False
        self.server = MemoryServer(now_ms=lambda: START_MS + self.ns // 1_000_000)
        self.log = MemoryLog("ams01", self.server)
        self.timing = timing or Timing()
        self.subscribers = subscribers
        self.datapath = MemoryDatapath(subscribers)
        for ifindex, mac in PORT_MACS.items():
            self.datapath.put_port(ifindex, Port(mac, offers_stock=offers_stock))
        self.frames: list[tuple[int, bytes]] = []
        self.commands: list[Command] = []
        self.per_line: dict[int, int] = {}
        self.restart_edge()
        self._size = size

    @property
    def now(self) -> Now:
        ran_ns = self.ns - self.stood_ns
        return Now(ran_ns + self.step_ns, ran_ns)

    def restart_edge(self, lines: dict[str, int] | None = None) -> None:
        """A new process over the same tables."""
        self.edge = Edge(
            Identity("ams01", "bng1", self.subscribers),
            self.datapath,
            Lines(lines or LINES),
            send_frame=lambda ifindex, frame: self.frames.append((ifindex, frame)),
            send_command=lambda command: self.commands.append(command) or True,  # type: ignore[func-returns-value]
            now=self.now,
            per_line=self.per_line,
        )

    async def begin(self) -> "Town":
        """The log, its first epoch, the pool, a first horizon; the edge is live."""
        await self.log.create(GENESIS)
        await self.log.claim("allocator", 10**9, GENESIS)
        head = await self.log.head()
        assert head
        self.head: Head = head
        self.allocator = SiteAllocator("ams01", Ledger(), self.timing, head.epoch, self.ns)
        await self.commit(self.allocator.begin("first-start", self.ns))
        await self._add(pool(self._size))
        self.edge.record.adopt(Position(GENESIS))
        self.answers_after = "0-0"
        await self.beat()
        self.edge.set_following(Following.LIVE)
        self.frames.clear()
        return self

    # --- the allocator's side ---

    async def _add(self, added: PoolAdded) -> None:
        draft = Draft()
        self.allocator._record(draft, added, self.ns)
        await self.commit(draft)

    async def add(self, added: PoolAdded) -> None:
        """Another pool of the site, which the edge has heard of."""
        await self._add(added)
        await self.settle()

    async def commit(self, draft: Draft) -> None:
        if not draft:
            return
        batch: Batch = build(
            self.head,
            draft.events,
            by="allocator",
            epoch=self.allocator.epoch,
            commit_ms=await self.log.now_ms(),
            answers=draft.answers,
            cursor=draft.cursor,
            batch_id=secrets.token_hex(8),
        )
        await self.log.append(batch)
        self.head = batch.after

    async def allocate(self) -> None:
        await self.commit(self.allocator.pass_time(self.ns))
        commands = await self.log.commands(self.head.cursor)
        await self.commit(self.allocator.handle(commands, self.ns))

    # --- the edge's side ---

    async def follow(self) -> bool:
        """Apply what the log has; False = nothing came."""
        position = self.edge.record.position()
        assert position
        came = await self.log.follow(position.entry_id, self.answers_after)
        for record in came.records:
            position = advance(position, record)
        if came.records:
            self.edge.apply(came.records, position, self.now)
        answers = [answer for answer in came.answers if isinstance(answer, Answered)]
        if came.answers:
            self.answers_after = came.answers[-1].entry_id
        self.edge.answer(answers, self.now)
        return bool(came.records or came.answers)

    async def settle(self) -> None:
        """Carry everything round until nothing moves."""
        for _ in range(50):
            if self.is_cut:
                return
            commands, self.commands = self.commands, []
            await self.log.send_many(commands, "bng1")
            await self.allocate()
            if not await self.follow() and not self.commands:
                return
        raise AssertionError("it never becomes quiet")

    async def beat(self) -> None:
        self.commands.append(self.edge.heartbeat(self.now))
        await self.settle()
        self.edge.touch(self.now)

    async def tick(self) -> None:
        """What the agent does every second, and what follows from it."""
        self.edge.touch(self.now)
        self.edge.slow_path.waiting.drop_stale(self.ns)
        self.edge.stock.drop_stale(self.now)
        self.edge.duties.acknowledge(self.edge.duties.due_removals(self.now), self.now)
        self.edge.duties.report_expiries(self.now)
        await self.settle()

    async def wait(self, seconds: int, *, beats: bool = True) -> None:
        """Let time pass; the agent goes on with its duties."""
        end = self.ns + seconds * SECOND
        while self.ns < end:
            self.ns = min(end, self.ns + 60 * SECOND)
            if beats:
                await self.beat()
            await self.tick()

    # --- clients ---

    async def send(self, sent: Sent, ifindex: int = 7) -> list[Reply]:
        """A frame comes in, by unicast for that port; what is answered until all is quiet."""
        self.frames.clear()
        if sent.dst_mac in PORT_MACS.values():
            sent = replace(sent, dst_mac=PORT_MACS.get(ifindex, sent.dst_mac))
        self.edge.receive(sent.octets, ifindex, self.now)
        await self.settle()
        return [read_reply(*each) for each in self.frames]

    async def lease(self, number: int, ifindex: int = 7) -> Ipv4:
        """The whole exchange of a new client."""
        [offer] = await self.send(discover(number), ifindex)
        assert offer.kind is MessageType.OFFER
        [ack] = await self.send(selecting(number, offer.yiaddr), ifindex)
        assert ack.kind is MessageType.ACK
        return ack.yiaddr

    async def crowd(self, numbers: range) -> None:
        """So many newcomers at once that the edge gets a stock for those who follow."""
        for number in numbers:
            await self.lease(number)

    async def join(self, number: int, vlan: int) -> None:
        """As much of the exchange of a new client behind a VLAN tag as is answered."""
        tags = struct.pack("!HH", 0x8100, vlan)
        for offer in await self.send(replace(discover(number), tags=tags)):
            await self.send(replace(selecting(number, offer.yiaddr), tags=tags))

    # --- what happened ---

    async def records(self) -> list[Record]:
        return await self.log.read("0-0", 1000)

    async def events(self, *kinds: type) -> list[Event]:
        return [r.event for r in await self.records() if not kinds or isinstance(r.event, kinds)]
