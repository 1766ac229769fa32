"""The demo without privileges: real allocator, real edge, fakeredis, and a wire in memory.

python -m scripts.memory_demo --why REASON
"""

import argparse
import asyncio
import io
import time
from collections.abc import Awaitable, Callable

from fakeredis import FakeAsyncRedis, FakeServer

from edge_agent.agent.edge import Edge, Identity
from edge_agent.agent.runtime import now
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp import probe
from edge_agent.dhcp.classify import RequestState
from edge_agent.dhcp.tables import Port
from edge_agent.sync.follower import Follower
from edge_agent.sync.lines import Lines
from edge_agent.sync.upstream import Upstream
from lease_core import audit
from lease_core.domain.events import Event
from lease_core.domain.plan import Plan, add_site, plan_prefix
from lease_core.domain.values import Mac, ip_from_text, ip_text, mac_text
from lease_core.log.keys import PLAN
from lease_core.log.reader import Position
from lease_core.log.redis_log import RedisLog
from lease_core.service.allocator import Allocator
from lease_core.service.planner import change_plan
from scripts.wiretap import describe

SITE, PREFIX = "ams01", "100.64.0.0/24"
IFINDEX, ROUTER_MAC = 1, Mac(0x0200_0000_FFFF)
GENESIS = "00" * 15 + "01"
ANSWER_S = 2.0

Send = Callable[[bytes], Awaitable[dict[str, object] | None]]


class Wire:
    """Carries frames between clients and the edge inside this process."""

    def __init__(self) -> None:
        self.edge: Edge | None = None
        self._replies: asyncio.Queue[bytes] = asyncio.Queue()

    def deliver(self, _ifindex: int, octets: bytes) -> None:
        self._replies.put_nowait(octets)

    async def exchange(self, octets: bytes) -> dict[str, object] | None:
        """Send a client's frame and wait for the answer; None = silence."""
        assert self.edge
        self.edge.receive(octets, IFINDEX, now())
        try:
            reply = await asyncio.wait_for(self._replies.get(), ANSWER_S)
        except TimeoutError:
            return None
        return describe(reply, 0)


async def obtain(send: Send, mac: Mac) -> str:
    """DISCOVER, REQUEST: what the client was told, and how long it took."""
    started = time.perf_counter()
    offer = await send(probe.discover(mac))
    if offer is None:
        return "silence: nobody can decide now, so nobody says NAK"
    ip, server = (ip_from_text(str(offer[name])) for name in ("yiaddr", "server"))
    selecting = probe.request(mac, RequestState.SELECTING, ip, server)
    ack = await send(selecting)
    took_ms = (time.perf_counter() - started) * 1000
    return f"OFFER, {ack['type'] if ack else 'silence'} {ip_text(ip)}, {took_ms:.2f} ms"


async def follow(log: RedisLog, wire: Wire, upstream: Upstream) -> None:
    """The agent's own parts, on a wire in memory."""
    edge = Edge(
        Identity(SITE, f"{SITE}-bng1", 1024),
        MemoryDatapath(1024),
        Lines({"access0": IFINDEX}),
        send_frame=wire.deliver,
        send_command=upstream.send,
        now=now(),
    )
    edge.datapath.put_port(IFINDEX, Port(ROUTER_MAC))
    edge.record.adopt(Position(GENESIS))
    wire.edge = edge

    def apply(records: list, end: Position, answers: list) -> None:  # type: ignore[type-arg]
        if records:
            edge.apply(records, end, now())
        edge.answer(answers, now())

    async def rebuild() -> Position:
        raise AssertionError("nothing is lost in memory")

    follower = Follower(log, Position(GENESIS), apply=apply, rebuild=rebuild,
                        tell=edge.set_following)  # fmt: skip
    upstream.send(edge.heartbeat(now()))
    await follower.run()


async def plan_site(log: RedisLog) -> None:
    """One site with one pool, as `leasectl site add` and `pool add` plan it."""

    def site(plan: Plan) -> Event:
        return add_site(
            plan, site=SITE, genesis=GENESIS, horizon_s=14_400, reuse_guard_s=120, cause="demo"
        )

    def pool(plan: Plan) -> Event:
        return plan_prefix(
            plan,
            site=SITE,
            pool="res-1",
            network=PREFIX,
            gateway=None,
            dns=(),
            lease_time_s=3600,
            cause="demo",
        )

    for change in (site, pool):
        await change_plan(log, "demo", change)


async def stop(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel until all have ended: a blocking read of fakeredis swallows a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.2)


async def story(server: FakeServer) -> None:
    async def open_log(site: str) -> RedisLog:
        return RedisLog(FakeAsyncRedis(server=server), FakeAsyncRedis(server=server), site)

    plan, log = await open_log(PLAN), await open_log(SITE)
    await log.create(GENESIS)
    await plan_site(plan)
    wire, upstream = Wire(), Upstream(await open_log(SITE), f"{SITE}-bng1")
    tasks = [
        asyncio.create_task(Allocator(open_log, "allocator", 0).run()),
        asyncio.create_task(upstream.run()),
        asyncio.create_task(follow(log, wire, upstream)),
    ]
    while not (wire.edge and wire.edge.is_ready):  # noqa: ASYNC110  (nobody tells the demo)
        await asyncio.sleep(0.05)
    homes = [Mac(0x0200_0000_0000 + n) for n in range(1, 4)]
    for title in ("new subscribers: through the log", "the same again: from the agent's tables"):
        print(f"\n== {title}")
        for mac in homes:
            print(f"{SITE}  {mac_text(mac)}  {await obtain(wire.exchange, mac)}")
    print("\n== Redis is gone: known subscribers go on, a new one must wait")
    server.connected = False
    for mac in (*homes, Mac(0x0200_0000_0099)):
        print(f"{SITE}  {mac_text(mac)}  {await obtain(wire.exchange, mac)}")
    server.connected = True
    print(f"\n== the log: XRANGE lease:{{{SITE}}}:events - +")
    for entry_id, fields in await FakeAsyncRedis(server=server).xrange(f"lease:{{{SITE}}}:events"):
        shown = " ".join(f"{name.decode()} {value.decode()}" for name, value in fields.items())
        print(f"  {entry_id.decode()} {shown}")
    await stop(tasks)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--why", required=True)
    print(f"running in one process on fakeredis and a wire in memory: {parser.parse_args().why}")
    audit.configure(io.StringIO())
    asyncio.run(story(FakeServer()))
    print("\nall stopped; nothing was written")


if __name__ == "__main__":
    main()
