"""The datapath in the agent's own memory: where BPF is not available, and in tests."""

from array import array
from collections.abc import Iterator
from mmap import MAP_PRIVATE, mmap

import numpy as np

from edge_agent.datapath import abi, known, stock
from edge_agent.datapath.columns import ROW, Rows, Slots, packed
from edge_agent.datapath.known import KnownMacs
from edge_agent.datapath.notices import Notice
from edge_agent.datapath.port import TableFullError
from edge_agent.datapath.stock import StockTable
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import (
    Assignment,
    PoolOptions,
    Port,
    SiteState,
    SubscriberKey,
)
from lease_core.domain.mixing import Words
from lease_core.domain.values import Ipv4, Mac

MAX_SUBSCRIBERS = 1_000_000
_CHUNK = 4096


class MemoryDatapath:
    """Tables with the limits of the kernel's maps; gone with the process that holds them."""

    kind = "user space"
    asks_fd: int | None = None

    def __init__(self, max_entries: int = MAX_SUBSCRIBERS) -> None:
        """`max_entries` bounds both the bindings and the slots of promises."""
        self._max_entries = max_entries
        self._subscribers: dict[SubscriberKey, Assignment] = {}
        self._pools: dict[int, PoolOptions] = {}
        self._ports: dict[int, Port] = {}
        self._promises: dict[int, int] = {}
        self._counters = dict.fromkeys(Counter, 0)
        self._state = SiteState()
        # takes no memory before it is written
        self.known = KnownMacs(memoryview(mmap(-1, known.OCTETS, MAP_PRIVATE)))
        self.stock = StockTable(memoryview(array("Q", bytes(stock.SIZE * abi.STOCKED.size))))
        self._stock_groups = 0

    def lookup(self, key: SubscriberKey) -> Assignment | None:
        return self._subscribers.get(key)

    def pool(self, number: int) -> PoolOptions | None:
        return self._pools.get(number)

    def port(self, ifindex: int) -> Port | None:
        return self._ports.get(ifindex)

    def port_mac(self, ifindex: int) -> Mac | None:
        port = self._ports.get(ifindex)
        return None if port is None else port.mac

    def state(self) -> SiteState:
        """The record itself, not a copy: it is read for every packet."""
        return self._state

    def is_known(self, mac: Mac) -> bool:
        return mac in self.known

    def offer(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> tuple[Ipv4, int] | None:
        return self.stock.claim(key, link, self._stock_groups, now_boot_ns)

    def offered(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> tuple[Ipv4, int] | None:
        return self.stock.offered(key, link, self._stock_groups, now_boot_ns)

    def judge_again(self, frame: bytes, ifindex: int) -> None:
        """Nothing: who judges here is the agent itself."""

    def set_stock_groups(self, groups: int) -> None:
        self._stock_groups = groups

    def raise_promise(self, slot: int, end_boot_ns: int) -> bool:
        if not 0 <= slot < self._max_entries:
            return False
        self._promises[slot] = max(self._promises.get(slot, 0), end_boot_ns)
        return True

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        if key not in self._subscribers and len(self._subscribers) >= self._max_entries:
            raise TableFullError(
                f"all {self._max_entries} entries of the subscriber table are taken; "
                "raise max_entries"
            )
        self._subscribers[key] = assignment

    def put_rows(self, keys: Words, rows: Rows) -> int:
        size, octets = ROW.itemsize, rows.tobytes()
        for number, key in enumerate(keys.tolist()):
            row = octets[number * size : (number + 1) * size]
            try:
                self.put(key, abi.unpack_assignment(key, row))
            except TableFullError:
                return number
        return len(keys)

    def remove(self, key: SubscriberKey) -> None:
        self._subscribers.pop(key, None)

    def entries(self) -> Iterator[tuple[SubscriberKey, Assignment]]:
        return iter(list(self._subscribers.items()))

    def rows(self) -> Iterator[tuple[Words, Rows]]:
        keys = list(self._subscribers)
        for at in range(0, len(keys), _CHUNK):
            chunk = keys[at : at + _CHUNK]
            yield packed((key, self._subscribers[key]) for key in chunk if key in self._subscribers)

    def pools(self) -> Iterator[tuple[int, PoolOptions]]:
        return iter(list(self._pools.items()))

    def put_pool(self, number: int, pool: PoolOptions) -> None:
        self._pools[number] = pool

    def put_port(self, ifindex: int, port: Port) -> None:
        self._ports[ifindex] = port

    def set_state(self, state: SiteState) -> None:
        self._state = state

    def promise(self, slot: int) -> int:
        return self._promises.get(slot, 0)

    def promises(self, slots: Slots) -> Words:
        return np.array([self.promise(slot) for slot in slots.tolist()], np.uint64)

    def raise_promises(self, slots: Slots, ends_boot_ns: Words) -> None:
        for slot, end_boot_ns in zip(slots.tolist(), ends_boot_ns.tolist(), strict=True):
            self.raise_promise(slot, end_boot_ns)

    def grace(self) -> None:
        """Nothing to wait for: judging and removing happen in one thread."""

    def count(self, counter: Counter) -> None:
        """Count a verdict; whoever judged calls this, as the kernel program counts its own."""
        self._counters[counter] += 1

    def counters(self) -> dict[str, int]:
        return {counter.value: number for counter, number in self._counters.items()}

    def take_asks(self, limit: int) -> list[Ask]:  # noqa: ARG002 - the port's signature
        """None: what was judged here is in hand."""
        return []

    def take_notices(self, limit: int) -> list[Notice]:  # noqa: ARG002 - the port's signature
        """None: who judges here is the agent itself."""
        return []

    def close(self) -> None:
        """Nothing is held outside this process."""
