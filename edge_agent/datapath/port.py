"""The port between the agent and whatever answers: the kernel's maps or their in-memory twin."""

from collections.abc import Iterator
from typing import Protocol

from edge_agent.datapath.columns import Rows, Slots
from edge_agent.datapath.known import KnownMacs
from edge_agent.datapath.notices import Notice
from edge_agent.datapath.stock import StockTable
from edge_agent.dhcp.ask import Ask
from edge_agent.dhcp.tables import (
    Assignment,
    PoolOptions,
    Port,
    SiteState,
    SubscriberKey,
    Tables,
)
from lease_core.domain.mixing import Words


class TableFullError(Exception):
    """The table has no room for another subscriber; the operator's fault, raise `max_entries`."""


class Datapath(Tables, Protocol):
    """Tables that the agent keeps as a projection of the log; only the agent's one task writes."""

    kind: str
    """What answers, for people: `XDP native`, `XDP generic` or `user space`."""
    known: KnownMacs
    """Of whom anything was ever written here; whoever writes a binding adds its MAC before."""
    stock: StockTable
    """Addresses for strangers; how many groups of them are in use says `set_stock_groups`."""

    def put(self, key: SubscriberKey, assignment: Assignment) -> None:
        """Write a binding (the check word is computed here).

        Raises:
            TableFullError: no room; nothing was written.
        """
        ...

    def put_rows(self, keys: Words, rows: Rows) -> int:
        """Write entries in order until there is no room; return how many were written."""
        ...

    def remove(self, key: SubscriberKey) -> None:
        """Delete a binding; an absent one is no error."""
        ...

    def entries(self) -> Iterator[tuple[SubscriberKey, Assignment]]:
        """Every binding once, in no order; one written meanwhile may be missing."""
        ...

    def rows(self) -> Iterator[tuple[Words, Rows]]:
        """The same as keys and rows, some thousands at a time, each chunk read when asked for.

        What relays say of a line (keys of mode `CIRCUIT`) is not in them; `lookup` tells it.
        """
        ...

    def pools(self) -> Iterator[tuple[int, PoolOptions]]:
        """Every pool with its number."""
        ...

    def put_pool(self, number: int, pool: PoolOptions) -> None: ...

    def put_port(self, ifindex: int, port: Port) -> None:
        """Answer on an interface."""
        ...

    def judge_again(self, frame: bytes, ifindex: int) -> bytes | None:
        """What the program replies to a frame that it passed up, by what the tables say now.

        It counts and promises as for one from the wire. None = nothing, or there is no program.
        """
        ...

    def set_stock_groups(self, groups: int) -> None:
        """Offer from so many groups of the stock, the first ones; 0 = from none."""
        ...

    def set_state(self, state: SiteState) -> None:
        """Replace the whole record; readers see each 8-octet field whole."""
        ...

    def promise(self, slot: int) -> int:
        """P of a slot, CLOCK_BOOTTIME ns, 0 = never promised."""
        ...

    def promises(self, slots: Slots) -> Words:
        """P of each slot."""
        ...

    def raise_promises(self, slots: Slots, ends_boot_ns: Words) -> None:
        """Make P of each slot, all of which are there, at least its end."""
        ...

    def grace(self) -> None:
        """Return when no packet is judged by an entry that was removed before this call."""
        ...

    def counters(self) -> dict[str, int]:
        """The counters of `bpf/maps.h` by name, summed over processors."""
        ...

    @property
    def asks_fd(self) -> int | None:
        """Can be read when there are asks; None = there never are."""
        ...

    def take_asks(self, limit: int) -> list[Ask]:
        """The next asks of the kernel program, oldest first; they are gone then."""
        ...

    def take_notices(self, limit: int) -> list[Notice]:
        """The next notices of the kernel program, oldest first; they are gone then."""
        ...

    def close(self) -> None:
        """Let go of file descriptors; what is pinned goes on answering."""
        ...
