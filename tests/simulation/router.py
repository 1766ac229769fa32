"""An access router: the modelled kernel with its tables, and the agent's own parts around them.

The kernel is `fastpath.judge` over tables that survive the agent, as pinned maps do, and not the
router. `Maps.fuse` kills the agent between two writes of its own.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from edge_agent.agent.config import EdgeConfig
from edge_agent.agent.edge import Edge, Identity
from edge_agent.agent.runtime import Runtime
from edge_agent.agent.status import Status, report_of
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.dhcp import fastpath
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import Assignment, PoolOptions, Port, SiteState, SubscriberKey
from edge_agent.sync.follower import Following
from edge_agent.sync.lines import Lines
from edge_agent.sync.upstream import Upstream
from lease_core.domain.commands import Command, Heartbeat
from lease_core.domain.events import HorizonGranted
from lease_core.domain.values import Ipv4, Mac
from tests.asks import ask_in
from tests.simulation.clocks import Clock
from tests.simulation.loop import Killed, Process, SimLoop
from tests.simulation.seams import HEARTBEAT_S
from tests.simulation.server import Link, Server, SimLog

MAX_SUBSCRIBERS = 64
RING_HOLDS = 8
"""Asks that the agent has not taken."""
PORT_MAC = Mac(0x0200_0000_FF00)

OnReply = Callable[["Router", int, bytes, str], None]
"""A frame leaves through an interface; the last word says who answered."""


class Maps(MemoryDatapath):
    """The tables; every write of the agent may be its last."""

    def __init__(self, note: Callable[[str], None]) -> None:
        """`note` hears of what strangers are offered and take."""
        super().__init__(MAX_SUBSCRIBERS)
        self.fuse = 0
        self._note = note
        self._asks: deque[Ask] = deque()

    def _burn(self) -> None:
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                raise Killed("between two writes")

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        self._burn()
        super().put(key, assignment)

    def remove(self, key: SubscriberKey) -> None:
        self._burn()
        super().remove(key)

    def offer(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> tuple[Ipv4, int] | None:
        found = super().offer(key, link, now_boot_ns)
        if found:
            self._note("stranger offered an address of the stock")
        return found

    def hand_over(self, ask: Ask) -> bool:
        """Put it into the ring, which has room or not."""
        has_room = len(self._asks) < RING_HOLDS
        if has_room:
            self._asks.append(ask)
            self._note("stranger handed over to the agent")
        return has_room

    def take_asks(self, limit: int) -> list[Ask]:
        return [self._asks.popleft() for _ in range(min(limit, len(self._asks)))]

    def put_pool(self, number: int, pool: PoolOptions) -> None:
        self._burn()
        super().put_pool(number, pool)

    def set_state(self, state: SiteState) -> None:
        self._burn()
        super().set_state(state)


class Agent(Runtime):
    """The runtime without sockets: the world carries its frames."""

    def __init__(self, router: "Router", log: SimLog, process: Process) -> None:
        config = router.config
        self.process = process
        self._router = router
        self._config, self._log, self._datapath = config, log, router.maps
        self._sockets: Any = dict.fromkeys(router.interfaces.values())
        self._lost = {}
        self._upstream = Upstream(log, config.edge)
        self._is_asked = False
        self.edge = Edge(
            Identity(config.site, config.edge, config.max_subscribers),
            router.maps,
            Lines(router.interfaces),
            send_frame=lambda ifindex, frame: router.send(ifindex, frame, "agent"),
            send_command=self._send_command,
            now=router.clock.now(),
        )
        self._status = Status(
            log, config.edge, None, lambda: report_of(self.edge, process.clock.now()), HEARTBEAT_S
        )
        self._tell = self.edge.set_following
        self.edge.set_following = self._note_following  # type: ignore[method-assign]
        self._apply_events = self.edge.apply
        self.edge.apply = self._apply_noted  # type: ignore[method-assign]
        for ifindex in router.interfaces.values():
            router.maps.put_port(ifindex, Port(Mac(PORT_MAC + ifindex), offers_stock=True))

    def _send_command(self, command: Command) -> bool:
        return self._upstream.send(command)

    def _note_following(self, state: Following) -> None:
        self._router.on_following(state)
        self._tell(state)

    def _apply_noted(self, records: Any, end: Any, now: Any) -> None:
        self._apply_events(records, end, now)
        router = self._router
        nonces = (r.event.nonce for r in records if isinstance(r.event, HorizonGranted))
        if any(router.beats.get(nonce, 0.0) > router.resumed_at_s for nonce in nonces):
            router.answered()

    def work(self) -> list[Any]:
        return [
            *(self._upstream.run(), self._follow(), self._beat_noted(), self._keep_time()),
            self._status.run(),
        ]

    async def _beat_noted(self) -> None:
        send = self._upstream.send

        def noted(command: Command) -> bool:
            if isinstance(command, Heartbeat):
                self._router.beats[command.nonce] = self._router.loop.now_s
            return send(command)

        self._upstream.send = noted  # type: ignore[method-assign]
        await self._beat()


class Router:
    """One site's router; `numbers` maps interfaces to the numbers that this boot gave them."""

    def __init__(
        self, loop: SimLoop, rng: random.Random, server: Server, site: str, clock: Clock
    ) -> None:
        self.loop, self.rng, self.server, self.site, self.clock = loop, rng, server, site, clock
        self.link = Link()
        self.maps = Maps(self._note)
        self.numbers = {"access0": 1, "access1": 2}
        self.dropped: set[str] = set()
        self.config = EdgeConfig(
            site=site,
            edge=f"{site}-bng1",
            interfaces=tuple(self.numbers),
            max_subscribers=MAX_SUBSCRIBERS,
            heartbeat_s=HEARTBEAT_S,
        )
        self.agent: Agent | None = None
        self.is_up = True
        self.is_asleep = self.is_paused = False
        self.lives = 0
        self.paused_at_s = self.resumed_at_s = 0.0
        self._unseen_s = 0.0
        self.beats: dict[str, float] = {}
        self.on_reply: OnReply = lambda *_: None
        self.on_following: Callable[[str], None] = lambda _state: None
        self.on_note: Callable[[str], None] = lambda _what: None

    def _note(self, what: str) -> None:
        self.on_note(what)

    @property
    def interfaces(self) -> dict[str, int]:
        """Those that the configuration names."""
        return {name: at for name, at in self.numbers.items() if name not in self.dropped}

    # --- the agent's process ---

    def start_agent(self) -> None:
        if self.agent or not self.is_up:
            return
        if self.is_asleep or self.is_paused:
            self._restart_later()
            return
        self.lives += 1
        process = Process(self.loop, f"{self.site}.agent#{self.lives}", self.clock)
        log = SimLog(self.site, self.server, self.link, process)
        try:
            agent = process.context.run(Agent, self, log, process)
        except Killed:
            self._restart_later()
            return
        self.agent = agent
        for work in agent.work():
            process.spawn(work)
        for task in process.tasks:
            task.add_done_callback(self._task_ended, context=process.context)
        self._wake_for_asks()  # of those that another process left

    def _task_ended(self, task: Any) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, Killed):
            self.kill_agent()
            self._restart_later()
        elif error:
            raise error

    def _restart_later(self) -> None:
        self.loop.later(self.rng.uniform(0.5, 6.0), self.start_agent)

    def kill_agent(self) -> None:
        if self.agent:
            self.agent.process.kill()
            self.agent = None
        self.maps.fuse = 0

    def reboot(self, dark_s: float, *, renumber: bool) -> None:
        """The tables are lost with the machine; interfaces may come up under other numbers."""
        self.kill_agent()
        self.is_up = False
        if renumber:
            first, second = self.numbers.values()
            self.numbers = {"access0": second, "access1": first}
        self.loop.later(dark_s, self.boot)

    def configure(self, dropped: set[str]) -> None:
        """The operator takes interfaces out of the configuration, or back into it."""
        if dropped != self.dropped:
            self.kill_agent()
            self.dropped = dropped
            self._restart_later()

    def replace(self, dark_s: float) -> None:
        """Other hardware takes its place, under another name."""
        self.config = self.config.model_copy(update={"edge": f"{self.site}-bng{self.lives + 2}"})
        self.reboot(dark_s, renumber=False)

    def suspend(self) -> None:
        """Neither kernel nor agent runs; the clocks that count sleep go on."""
        self.is_asleep = True
        if self.agent:
            self.agent.process.stop()

    def wake(self) -> None:
        self.is_asleep = False
        self._go_on()

    def _go_on(self) -> None:
        if self.agent and not (self.is_asleep or self.is_paused):
            self.agent.process.resume()

    @property
    def unseen_s(self) -> float:
        """For how long it was paused since it last sent a heartbeat that was answered."""
        return self._unseen_s + (self.loop.now_s - self.paused_at_s if self.is_paused else 0.0)

    def answered(self) -> None:
        self._unseen_s = 0.0

    def pause(self) -> None:
        """A virtual machine is stopped with its clocks, which say nothing of it afterwards."""
        if not self.is_paused:
            self.is_paused, self.paused_at_s = True, self.loop.now_s
            self.clock.stop()
            if self.agent:
                self.agent.process.stop()

    def unpause(self) -> None:
        if self.is_paused:
            self.is_paused, self.resumed_at_s = False, self.loop.now_s
            self._unseen_s += self.loop.now_s - self.paused_at_s
            self.clock.go_on()
            self._go_on()

    def boot(self) -> None:
        if self.is_up:
            return
        self.maps = Maps(self._note)
        self.clock.reboot()
        self.is_up = True
        self.loop.later(self.rng.uniform(0.5, 3.0), self.start_agent)

    # --- frames ---

    def receive(self, interface: str, octets: bytes) -> None:
        """A client's frame: the kernel first, then the agent if it lives."""
        if not self.is_up or self.is_asleep or self.is_paused or interface in self.dropped:
            return
        ifindex = self.interfaces[interface]
        verdict = fastpath.judge(octets, ifindex, self.maps, self.clock.boot_ns())
        if verdict.frame:
            self.send(ifindex, verdict.frame, "kernel")
        elif verdict.counter is Counter.ASKED and self._hand_over(octets, ifindex):
            self._wake_for_asks()
        else:
            self._wake(lambda agent: agent.edge.receive(octets, ifindex, self.clock.now()))

    def _hand_over(self, octets: bytes, ifindex: int) -> bool:
        return self.maps.hand_over(ask_in(octets, ifindex, self.maps, self.clock.boot_ns()))

    def _wake_for_asks(self) -> None:
        self._wake(lambda agent: agent.edge.hear_asks(RING_HOLDS, self.clock.now()))

    def _wake(self, work: Callable[[Agent], None]) -> None:
        """Let the agent, if it lives and goes on living, do something soon."""
        agent = self.agent
        if agent:
            delay_s, context = self.rng.uniform(0.0005, 0.01), agent.process.context
            self.loop.call_later(delay_s, self._do, agent, work, context=context)

    def _do(self, agent: Agent, work: Callable[[Agent], None]) -> None:
        if agent is not self.agent:
            return
        try:
            work(agent)
        except Killed:
            self.kill_agent()
            self._restart_later()

    def send(self, ifindex: int, frame: bytes, who: str) -> None:
        self.on_reply(self, ifindex, frame, who)
