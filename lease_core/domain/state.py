"""What a ledger is made of: frozen values, so that a copy of its tables is a copy of its state."""

from dataclasses import dataclass

from lease_core.domain.values import Ipv4, Mac


class LedgerError(Exception):
    """An event contradicts what the log said before; the fault of whoever wrote it. Halt."""


@dataclass(frozen=True, slots=True)
class Binding:
    """An address tied to a subscriber by the event `seq`."""

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
class SnapshotMark:
    """A snapshot of the state after event `covers`, as the log tells of it.

    `taker` and `verifier` name one life of one process each; `verifier` is "" until another
    process came to the same digest from the log.
    """

    covers: int
    digest: str
    taker: str
    verifier: str = ""
