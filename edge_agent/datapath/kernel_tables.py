"""The site's records in the kernel's maps: typed reading and writing, by the port's words."""

import errno
import secrets
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from edge_agent.datapath import abi, asks, columns, known, libbpf, pins, stock
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.known import KnownMacs
from edge_agent.datapath.mapped import Words, wait_for_programs
from edge_agent.datapath.maps import Counters, Table
from edge_agent.datapath.notices import Notice, Notices
from edge_agent.datapath.port import TableFullError
from edge_agent.datapath.ring import Ring
from edge_agent.datapath.stock import StockTable
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.tables import (
    Assignment,
    KeyMode,
    PoolOptions,
    Port,
    SiteState,
    SubscriberKey,
    key_mode,
)
from lease_core.domain.mixing import Words as Column
from lease_core.domain.values import Ipv4, Mac

_BATCH: Final = 8192
_STATE_WORDS: Final = abi.SITE_STATE.size // 8
_AS_WORDS: Final = struct.Struct(f"<{_STATE_WORDS}Q")
_GATE: Final = abi.SITE_STATE.offsets["gate"] // 8
_CURSOR_LO: Final = abi.SITE_STATE.offsets["cursor_lo"] // 8
_CURSOR_HI: Final = abi.SITE_STATE.offsets["cursor_hi"] // 8
_POOLS_VERSION: Final = abi.SITE_STATE.offsets["pools_version"] // 8
_SLOT_GROUPS: Final = abi.SITE_STATE.offsets["slot_groups"] // 8
_STOCK_GROUPS: Final = abi.SITE_STATE.offsets["stock_groups"] // 8
_OWN: Final = {_POOLS_VERSION, _SLOT_GROUPS, _STOCK_GROUPS}
"""Of the tables themselves, which nobody else writes."""
_MIDDLE: Final = sorted({*range(_STATE_WORDS)} - {_GATE, _CURSOR_LO, _CURSOR_HI} - _OWN)
_OPENING: Final = (_CURSOR_HI, *_MIDDLE, _CURSOR_LO, _GATE)
_CLOSING: Final = (_GATE, _CURSOR_HI, *_MIDDLE, _CURSOR_LO)


class KernelTables:
    """The maps of one site; one process writes, any number may read."""

    def __init__(self, maps: Mapping[str, int], *, read_only: bool) -> None:
        """Read and write the maps behind these file descriptors, which stay the caller's."""
        self.max_subscribers = libbpf.map_info(maps["subscriber_pools"]).max_entries
        self.max_circuits = libbpf.map_info(maps["circuits"]).max_entries
        shapes = pins.shapes(self.max_subscribers, self.max_circuits)
        self._subscribers = _table(maps, shapes, "subscriber_pools")
        self._pools = _table(maps, shapes, "ip_pools")
        self._ports = _table(maps, shapes, "access_ports")
        self._circuits = _table(maps, shapes, "circuits")
        self._written_ports: dict[int, Port] = {}
        self._written_state: SiteState | None = None
        self._written_pools: dict[int, PoolOptions] = {}
        self._counters = Counters(maps["stats_map"], pins.counter_names())
        notices = Ring(
            maps["notices"],
            octets=abi.NOTICES_SIZE,
            record_octets=abi.NOTICE.size,
            read_only=read_only,
        )
        self.notices = Notices(notices, pins.counter_names())
        self._asks = Ring(
            maps["asks"], octets=abi.ASKS_SIZE, record_octets=abi.ASK.size, read_only=read_only
        )
        self.asks_fd: int | None = maps["asks"]
        octets = self.max_subscribers * abi.PROMISE.size
        self._promises = Words(maps["promises"], octets, read_only=read_only)
        self._state = Words(maps["site_state"], abi.SITE_STATE.size, read_only=read_only)
        self._known = Words(maps["known_macs"], known.OCTETS, read_only=read_only)
        self._stock = Words(maps["stock"], stock.SIZE * abi.STOCKED.size, read_only=read_only)
        self.known = KnownMacs(self._known.octets)
        self.stock = StockTable(self._stock.words)

    def initialise(self) -> None:
        """Give new tables their ABI and incarnation; the gate stays closed, the cursor is 0."""
        if not self.state().abi_ok:
            self.set_state(SiteState(incarnation=secrets.randbits(64)))
        self._state[_SLOT_GROUPS] = self.max_subscribers // abi.SLOTS_PER_GROUP
        self._state[_POOLS_VERSION] += 1  # whoever wrote a pool last may have died before

    def lookup(self, key: SubscriberKey) -> Assignment | None:
        octets = self._subscribers.get(key)
        return None if octets is None else self._whole(key, octets)

    def _whole(self, key: SubscriberKey, octets: bytes) -> Assignment:
        """A binding with its whole line, part of which may stand under its slot."""
        found = abi.unpack_assignment(key, octets)
        if key_mode(key) is not KeyMode.CIRCUIT:
            return found
        circuit = self._circuits.get(found.slot)
        if circuit is None:
            return replace(found, check_ok=False)
        return replace(found, line=abi.unpack_circuit(circuit, found.line))

    def _put_circuit(self, key: SubscriberKey, assignment: Assignment) -> None:
        """What relays say of the line goes first: the kernel finds it by the binding."""
        if key_mode(key) is not KeyMode.CIRCUIT:
            return
        if not 0 <= assignment.slot < self.max_circuits:
            raise FastPathError(
                f"slot {assignment.slot} has no place in circuits ({self.max_circuits} entries); "
                "open the tables with room for circuits"
            )
        self._circuits.set(assignment.slot, abi.pack_circuit(assignment.line))

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        self._put_circuit(key, assignment)
        try:
            self._subscribers.set(key, abi.pack_assignment(key, assignment))
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise FastPathError(f"subscriber_pools: {error.strerror}") from error
            raise self._full() from error

    def put_rows(self, keys: Column, rows: columns.Rows) -> int:
        for at in range(0, len(keys), _BATCH):
            chunk = keys[at : at + _BATCH]
            written = self._subscribers.set_many(chunk, rows[at : at + _BATCH].tobytes())
            if written < len(chunk):
                return at + written
        return len(keys)

    def remove(self, key: SubscriberKey) -> None:
        self._subscribers.delete(key)

    def entries(self) -> Iterator[tuple[SubscriberKey, Assignment]]:
        for key, octets in self._subscribers.items():
            yield key, self._whole(key, octets)

    def rows(self) -> Iterator[tuple[Column, columns.Rows]]:
        for keys, octets in self._subscribers.chunks():
            yield np.frombuffer(keys, np.uint64), np.frombuffer(octets, columns.ROW)

    def pool(self, number: int) -> PoolOptions | None:
        """What the map says; what was written here is remembered, since nobody else writes."""
        if number in self._written_pools:
            return self._written_pools[number]
        octets = self._pools.get(number)
        return None if octets is None else abi.unpack_pool(octets)

    def pools(self) -> Iterator[tuple[int, PoolOptions]]:
        """Every pool with its number."""
        for number, octets in self._pools.items():
            yield number, abi.unpack_pool(octets)

    def put_pool(self, number: int, pool: PoolOptions) -> None:
        """Write a pool, let programs look for it, then wait until nobody reads the one before.

        A pool has no check word; without the wait the next pool written could take the place of
        this one's former value while a packet is still answered from it.
        """
        self._pools.set(number, abi.pack_pool(pool))
        self._state[_POOLS_VERSION] += 1
        self._written_pools[number] = pool
        self.grace()

    def port(self, ifindex: int) -> Port | None:
        """What the map says; what was written here is remembered, since nobody else writes."""
        if ifindex in self._written_ports:
            return self._written_ports[ifindex]
        octets = self._ports.get(ifindex)
        return None if octets is None else abi.unpack_port(octets)

    def ports(self) -> Iterator[tuple[int, Port]]:
        """Every interface that is ours with its number; looks at the whole map."""
        for ifindex, octets in self._ports.items():
            if port := abi.unpack_port(octets):
                yield ifindex, port

    def port_mac(self, ifindex: int) -> Mac | None:
        port = self.port(ifindex)
        return None if port is None else port.mac

    def put_port(self, ifindex: int, port: Port) -> None:
        self._ports.set(ifindex, abi.pack_port(port))
        self._written_ports[ifindex] = port

    def state(self) -> SiteState:
        """What the map says; what was written here is remembered, since nobody else writes."""
        return self._written_state or abi.unpack_state(self._state.copy(_STATE_WORDS))

    def set_state(self, state: SiteState) -> None:
        """Replace the record word by word, so that a crash in between is on the safe side.

        The gate is closed before anything else changes and opened after; `cursor_hi` goes first
        and `cursor_lo` last, so that a half-written cursor looks torn.
        """
        self._written_state = state
        words = _AS_WORDS.unpack(abi.pack_state(state))
        for index in _OPENING if state.gate else _CLOSING:
            self._state[index] = words[index]

    def is_known(self, mac: Mac) -> bool:
        return mac in self.known

    def offer(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> None:
        """Nothing: the stock is the kernel's to give, and to claim here would race with it.

        What it passed up goes to the allocator.
        """

    def offered(self, key: SubscriberKey, link: Ipv4, now_boot_ns: int) -> None:
        """Nothing: the program knows, and hands over who takes it."""

    def set_stock_groups(self, groups: int) -> None:
        self._state[_STOCK_GROUPS] = groups

    def promise(self, slot: int) -> int:
        if not 0 <= slot < self.max_subscribers:
            return 0
        return max(self._promises[2 * slot], self._promises[2 * slot + 1])

    def promises(self, slots: columns.Slots) -> Column:
        known = np.where(slots < self.max_subscribers, slots, 0).astype(np.int64) * 2
        ends = np.maximum(self._promises.take(known), self._promises.take(known + 1))
        return np.where(slots < self.max_subscribers, ends, 0)

    def raise_promises(self, slots: columns.Slots, ends_boot_ns: Column) -> None:
        indices = slots.astype(np.int64) * 2 + 1
        self._promises.put(indices, np.maximum(self._promises.take(indices), ends_boot_ns))

    def raise_promise(self, slot: int, end_boot_ns: int) -> bool:
        """Raise the agent's half of P; the kernel's is the kernel's."""
        if not 0 <= slot < self.max_subscribers:
            return False
        index = 2 * slot + 1
        self._promises[index] = max(self._promises[index], end_boot_ns)
        return True

    def grace(self) -> None:
        wait_for_programs()

    def counters(self) -> dict[str, int]:
        return self._counters.read()

    def take_notices(self, limit: int) -> list[Notice]:
        return self.notices.take(limit)

    def take_asks(self, limit: int) -> list[Ask]:
        return [asks.unpack(record) for record in self._asks.take(limit)]

    def disable_port(self, ifindex: int) -> None:
        """Answer no more on an interface; one that is not ours is no error."""
        if port := self.port(ifindex):
            self._written_ports.pop(ifindex, None)
            self._ports.set(ifindex, abi.pack_port(port, enabled=False))

    def unmap(self) -> None:
        """Give the memory-mapped maps back; the file descriptors stay the caller's."""
        self._promises.close()
        self._state.close()
        self._known.close()
        self._stock.close()
        self.notices.close()
        self._asks.close()

    def _full(self) -> TableFullError:
        return TableFullError(
            f"all {self.max_subscribers} entries of the subscriber table are taken; "
            "raise max_entries"
        )


def _table(maps: Mapping[str, int], shapes: Mapping[str, pins.Shape], name: str) -> Table:
    shape = shapes[name]
    return Table(
        maps[name],
        key_octets=shape.key_size,
        value_octets=shape.value_size,
        max_entries=shape.max_entries,
        is_array=name in ("access_ports", "circuits"),
    )
