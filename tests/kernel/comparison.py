"""The program and its Python twin asked the same: one frame after another, under changing tables.

A round is a fixed number of packets with tables, frames and moments that follow from its name, so
that any round can be repeated alone. What is answered is also put before the oracle, and a part of
it before scapy, which know nothing of either.
"""

import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import replace

from edge_agent.datapath import abi, pins
from edge_agent.datapath.dry_run import XDP_DROP, XDP_PASS, XDP_TX
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.codes import HOST_NAME
from edge_agent.dhcp.counters import Counter as Verdicts
from edge_agent.dhcp.fastpath import Verdict, judge
from edge_agent.dhcp.message import HEADER_LEN
from edge_agent.dhcp.request import Request, parse_request
from edge_agent.dhcp.tables import KeyMode, holder, key_of
from lease_core.domain.values import NO_IP, Mac
from tests.asks import ask_in
from tests.kernel import corpus, obliged, oracle
from tests.kernel.grammar import some_frame
from tests.kernel.lab import IFINDEX, SECOND, now_boot_ns
from tests.kernel.mutators import mutant, options_of, taking
from tests.kernel.reading import read_by_scapy, shape_of
from tests.kernel.runner import Runner
from tests.kernel.stock_watch import StockWatch, bound_of, where_of, wire
from tests.kernel.world import (
    RELAYS,
    SLOTS,
    STRANGERS,
    deal,
    fill,
    redeal,
    set_port,
    some_known,
    some_pool,
    some_state,
    some_stock,
)
from tests.packets import CLIENT_MAC, PORT_MAC

ROUND = 20_000
ALIVE_NS = 890 * SECOND
BATCH = 50
"""Packets under the same port and site state."""
FRESH = 10
"""Of a batch: made by the grammar; the others are their neighbours, and the corpus's."""
KEPT_FRAMES = 400
SCAPY_EVERY = 50
ETHERNET_LEN = 14


class Disagreement(AssertionError):
    """The sides differ, or a reply is not sound; the text repeats it."""


class Round:
    """One round on tables that nobody else touches meanwhile."""

    def __init__(self, datapath: XdpDatapath, seed: int, number: int) -> None:
        self.seen: Counter[str] = Counter()
        self.shapes: set[tuple[object, ...]] = set()
        self._name = f"round {number} of LEASE_SEED={seed}"
        self._pick = random.Random(f"{seed}-{number}")
        self._kernel, self._runner = datapath, Runner(datapath)
        self._twin = MemoryDatapath(datapath.max_subscribers)
        fill(datapath)
        fill(self._twin)
        for slot in range(SLOTS):
            self._twin.raise_promise(slot, datapath.promise(slot))
        self._dealt = deal()
        self._counts = self._runner.counters()
        self._promises = self._runner.promises(SLOTS)
        self._stock = StockWatch(datapath, self._twin)
        self._due: list[bytes] = []

    def run(self, packets: int = ROUND) -> None:
        """Raises:
        Disagreement: with the first packet that shows one.
        """
        for packet, frame in enumerate(self._frames(packets)):
            try:
                is_answered = self._compare(frame)
            except (AssertionError, LookupError) as error:
                place = f"packet {packet} of {self._name}"
                raise Disagreement(f"{place}: {error}\n{frame.hex()}") from error
            if is_answered:
                self._kept.append(frame)

    def _frames(self, packets: int) -> Iterator[bytes]:
        """The batches' frames; the tables change between two of them.

        What was answered is kept, so that its neighbours come, and theirs.
        """
        pick = self._pick
        kept = {side: deque[bytes](maxlen=KEPT_FRAMES) for side in (False, True)}
        for _ in range(packets // BATCH):
            at_relay_port = self._change_tables()
            frames = self._kept = kept[at_relay_port]
            for _ in range(FRESH):
                frames.append(some_frame(pick, at_relay_port=at_relay_port))
                yield frames[-1]
                while self._due:
                    yield self._due.pop()
            frames.append(corpus.some_frame(pick, at_relay_port=at_relay_port))
            yield frames[-1]
            for _ in range(BATCH - FRESH - 1):
                yield mutant(pick, frames)

    def _change_tables(self) -> bool:
        sides = self._kernel, self._twin
        for _ in range(2):
            redeal(self._pick, self._dealt, *sides)
        if self._pick.random() < 0.1:
            some_pool(self._pick, *sides)
        state = some_state(self._pick, now_boot_ns())
        at_relay_port = set_port(self._pick, *sides)
        for side in sides:
            side.set_state(state)
        known = some_known(self._pick, *sides)
        links = RELAYS if at_relay_port else (NO_IP,)
        groups, owners = some_stock(self._pick, now_boot_ns(), links, *sides)
        self._stock.begin(groups, owners)
        self._facts = replace(
            self._known_facts(), known=frozenset(map(wire, known)), stock_groups=groups
        )
        if self._pick.random() < 0.02:  # until the next change
            self._kernel.disable_port(IFINDEX)
            self._twin._ports.clear()
            self._facts = replace(self._facts, is_open=False)
        return at_relay_port

    def _known_facts(self) -> oracle.Facts:
        """The tables in the oracle's words."""
        port, state = self._twin.port(IFINDEX), self._twin.state()
        assert port
        bound: dict[tuple[bytes, oracle.Where], set[oracle.Bound]] = {}
        for key, found in self._twin.entries():
            pool = self._twin.pool(found.pool_id)
            mac, line = holder(key, found), found.line
            if found.check_ok and pool and key == key_of(mac, line, port.key):
                has_slot = found.slot < self._kernel.max_subscribers
                told = bound_of(found.ip, pool, is_servable=has_slot)
                bound.setdefault((wire(mac), where_of(line)), set()).add(told)
        return oracle.Facts(
            port_mac=Mac(PORT_MAC).to_bytes(6, "big"),
            relays=frozenset(port.relays),
            is_by_circuit=port.key is KeyMode.CIRCUIT,
            is_marked=port.trusted,
            horizon_ns=state.horizon_boot_ns,
            current_until_ns=state.current_until_boot_ns,
            ifindex=IFINDEX,
            is_open=state.gate
            and state.abi_ok
            and state.touched_boot_ns + ALIVE_NS > now_boot_ns(),
            bound=bound,
            is_by_mac=port.key is KeyMode.MAC,
            offers_stock=port.offers_stock,
            strangers=frozenset(wire(Mac(CLIENT_MAC + number)) for number in STRANGERS),
            stock=self._stock.told(),
        )

    def _compare(self, frame: bytes) -> bool:
        """Whether a frame is answered, if all agree."""
        if len(frame) < ETHERNET_LEN:  # the kernel is never handed such a frame
            assert judge(frame, IFINDEX, self._twin, now_boot_ns()) == Verdict(None)
            self.seen["runt"] += 1
            return False
        before = now_boot_ns()
        action, left = self._runner.ask(frame)
        after = now_boot_ns()
        raised = self._raised()
        now = raised[1] - _grant_in(left) * SECOND if raised else before
        assert before <= now <= after, f"promised at {now}, not in {before}..{after}"
        verdict = judge(frame, IFINDEX, self._twin, now)
        if not raised and (verdict.frame or frame) != left:  # a second may have ended meanwhile
            verdict = judge(frame, IFINDEX, self._twin, after)
        if verdict.counter is Verdicts.ASKED and not _may_be_handed_over(frame):
            verdict = Verdict(Verdicts.PASS_UNKNOWN_CLIENT)
        self._check_counters(verdict)
        assert action == _action_of(verdict), f"action {action}: {verdict}"
        if verdict.counter is Verdicts.ASKED:
            self._check_ask(frame, before, after)
        assert left == (verdict.frame or frame), f"kernel {left.hex()}, twin {verdict}"
        if raised:
            assert (verdict.counter, self._twin.promise(raised[0])) == ("ack", raised[1])
        is_due = obliged.must_answer(frame, self._facts, after)
        self.seen["due"] += is_due
        if verdict.frame:
            self._check_reply(frame, left, str(verdict.counter), before)
        else:
            assert not is_due, f"{verdict.counter}, but an answer is due"
        self.seen["taken from the stock"] += self._stock.note(frame, self._facts)
        return verdict.frame is not None

    def _raised(self) -> tuple[int, int] | None:
        """The slot whose promise was raised, and to what; at most one may be."""
        promises = self._runner.promises(SLOTS)
        if promises == self._promises:
            return None
        was, words = memoryview(self._promises).cast("Q"), memoryview(promises).cast("Q")
        changed = [i for i in range(2 * SLOTS) if was[i] != words[i]]
        self._promises = promises
        assert [at % 2 for at in changed] == [0], f"words {changed} of promises changed"
        return changed[0] // 2, words[changed[0]]

    def _check_counters(self, verdict: Verdict) -> None:
        """One counter moved by one, the twin's, or none."""
        counts = self._runner.counters()
        name = verdict.counter
        if name:
            self._counts[pins.counter_names().index(name)] += 1
        if counts != self._counts:
            moved = [pins.counter_names()[i] for i, n in enumerate(counts) if n != self._counts[i]]
            raise AssertionError(f"twin {verdict.counter}, counters that differ: {moved}")
        self.seen[name or "not DHCP"] += 1

    def _check_ask(self, frame: bytes, since_ns: int, until_ns: int) -> None:
        """The agent is told once, of what its own reading of the frame says, and may be."""
        (ask,) = self._kernel.take_asks(2)
        assert since_ns <= ask.at_boot_ns <= until_ns
        assert ask == ask_in(frame, IFINDEX, self._twin, ask.at_boot_ns)
        wrong = oracle.wrongly_asked(frame, self._facts, since_ns)
        assert not wrong, f"{wrong}: {ask}"

    def _check_reply(self, frame: bytes, reply: bytes, counter: str, now_ns: int) -> None:
        wrong = oracle.complaints(frame, reply, self._facts, now_ns)
        assert not wrong, f"{wrong}: {reply.hex()}"
        asked, said = oracle.Packet(frame), oracle.Packet(reply)
        if oracle.is_to_stranger(asked, said, self._facts):
            self.seen["offers to strangers"] += 1
            taken = taking(frame, said.yiaddr.to_bytes(4), said.source.to_bytes(4))
            self._due += [taken, mutant(self._pick, [taken])]
            self.seen["offers again"] += self._facts.stock[said.yiaddr].owner is not None
        shape = shape_of(reply)
        if shape not in self.shapes or not self.seen[counter] % SCAPY_EVERY:
            self.shapes.add(shape)
            read_by_scapy(reply)
            self.seen["read by scapy"] += 1


def _grant_in(reply: bytes) -> int:
    """Option 51, which stands at the same place of every reply behind its tags."""
    at = reply.index(b"\x63\x82\x53\x63", 200) + 4 + 11
    return int.from_bytes(reply[at : at + 4], "big")


def _action_of(verdict: Verdict) -> int:
    if verdict.counter is Verdicts.ASKED:
        return XDP_DROP
    return XDP_TX if verdict.frame else XDP_PASS


def _may_be_handed_over(frame: bytes) -> bool:
    """Not too long, and with no host name in parts."""
    request = parse_request(frame)
    assert isinstance(request, Request)
    codes = [code for code, _ in options_of(request.message.raw[HEADER_LEN:])]
    return len(frame) <= abi.ASK_FRAME_MAX and codes.count(HOST_NAME) <= 1
