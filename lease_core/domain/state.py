"""What a ledger is made of: frozen values, so that a copy of its tables is a copy of its state."""

from dataclasses import dataclass, field
from typing import NamedTuple

from lease_core.domain.events import PoolAdded
from lease_core.domain.values import Ipv4, Mac


class LedgerError(Exception):
    """An event contradicts what the log said before; the fault of whoever wrote it. Halt."""


class Binding(NamedTuple):
    """An address tied to a subscriber by the event `seq`.

    A tuple, because there are a million of them: it is made in a third of the time.
    """

    mac: Mac
    line: str
    ip: Ipv4
    pool: str
    seq: int


@dataclass(frozen=True, slots=True)
class Removal:
    """A binding that event `seq` ended, whose address nobody else may have yet.

    `declined_s` is how long the address rests because its holder declined it, None if it did not;
    `quarantine_s` is None until the edge acknowledged the removal.
    """

    binding: Binding
    seq: int
    declined_s: int | None = None
    quarantine_s: int | None = None


@dataclass(frozen=True, slots=True)
class EdgeLife:
    """The edge that serves the site; its promise table began with the event `since_seq`."""

    edge: str
    incarnation: str
    since_seq: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """The log lost events; event `seq` says so. `incarnation` is the life that has to agree."""

    seq: int
    edge: str = ""
    incarnation: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """A snapshot of the state after event `covers`, as the log tells of it.

    `taker` and `verifier` name one life of one process each; `verifier` is "" until another
    process came to the same digest from the log.
    """

    covers: int
    digest: str
    taker: str
    verifier: str = ""


@dataclass(slots=True)
class State:
    """What the log tells of a site.

    Tables by address stand in the order of the events that made their entries. `taken` is the
    newest snapshot that the log tells of, `verified` the newest one that another process found
    right. `held_since` has the seq of the first binding of a holder who came back out of a removal.
    `replaces` names the logs that this one stands in for, by their genesis.
    """

    seq: int = 0
    epoch: int = 0
    pools: dict[str, PoolAdded] = field(default_factory=dict)
    bound: dict[Ipv4, Binding] = field(default_factory=dict)
    removed: dict[Ipv4, Removal] = field(default_factory=dict)
    freed: dict[Ipv4, Binding] = field(default_factory=dict)
    declines: dict[Ipv4, int] = field(default_factory=dict)
    resting: dict[str, int] = field(default_factory=dict)
    edge: EdgeLife | None = None
    retired: tuple[str, ...] = ()
    taken: SnapshotMark | None = None
    verified: SnapshotMark | None = None
    former: dict[tuple[Mac, str], Ipv4] = field(default_factory=dict)
    held_since: dict[Ipv4, int] = field(default_factory=dict)
    recovery: Recovery | None = None
    replaces: tuple[str, ...] = ()
