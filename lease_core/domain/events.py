"""Events: what happened at one site, in the past tense.

The class and attribute names ARE the storage format (`lease_core/log/wire.py` writes them as
Redis stream fields): renaming one orphans history. A changed meaning gets a new `VERSION`.
"""

from dataclasses import field
from typing import ClassVar, Final

from lease_core.domain.values import Ipv4, Mac, value

LEASE_VERSION: Final = 2
"""Of the events about one lease. Their entries say less since it, see `lease_core/log/wire.py`."""


@value
class EpochStarted:
    """A new allocator began to write; nothing of an older epoch follows (I5)."""

    VERSION: ClassVar[int] = 1
    cause: str


@value
class PoolAdded:
    """The site may assign `first`..`last` of `network`, told for at most `lease_time_s` seconds.

    Clients are told `dns` and `options` too, see `dhcp_options`; `plan_seq` is the plan's event
    that changed these, 0 = the one that gave the prefix.
    """

    VERSION: ClassVar[int] = 1
    pool: str
    number: int
    network: str
    first: Ipv4
    last: Ipv4
    gateway: Ipv4
    dns: str
    lease_time_s: int
    cause: str
    options: str = ""
    plan_seq: int = 0


@value
class PoolOptionsSet:
    """From now on clients of the pool are told `dns` and `options`, as the plan said."""

    VERSION: ClassVar[int] = 1
    pool: str
    cause: str
    dns: str
    options: str
    plan_seq: int


@value
class HorizonGranted:
    """The edge may answer until `horizon_s` after it sent the heartbeat `nonce`.

    `elapsed_ms` is the allocator's own clock, which an edge that told its own may compare; 0 = it
    did not, as edges of a former version, who cannot read more.
    """

    VERSION: ClassVar[int] = 1
    edge: str
    incarnation: str
    nonce: str
    horizon_s: int
    elapsed_ms: int = 0


@value
class LeaseAssigned:
    """`ip` is bound to the subscriber (`mac` on `line`) until another event ends it."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str
    host: str = ""


@value
class LeaseReleased:
    """The holder gave the address back (RFC 2131 4.3.4); in use until the edge acknowledged."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str


@value
class LeaseExpired:
    """The last promise made to the holder has passed, as its edge reported."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str


@value
class LeaseRevoked:
    """An operator ended the binding; the holder keeps what it was promised until then."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str


@value
class AddressDeclined:
    """The holder found the address in use (RFC 2131 4.3.3); kept apart for `quarantine_s`."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str
    quarantine_s: int


@value
class RemovalAcked:
    """The edge stopped answering for the binding that event `ref` ended.

    `remaining_s` is what the holder was still promised then; the address may be used by another
    no earlier than `quarantine_s` after this event (I7).
    """

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str
    ref: int
    remaining_s: int
    quarantine_s: int


@value
class AddressFreed:
    """The quarantine of `ip` is over: anybody may get it. `mac` on `line` held it last."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str


@value
class RecoveryStarted:
    """The log lost what it once held: no address is assigned anew until it is known again who
    may still be promised one.

    `edge` in life `incarnation` is who has to agree with the log; "" = whoever serves the site.
    `replaces` names the logs that this one stands in for by genesis, the last one last.
    """

    VERSION: ClassVar[int] = 1
    cause: str
    edge: str = ""
    incarnation: str = ""
    replaces: str = ""


@value
class LeaseAdopted:
    """The edge told of a binding that the log lost: `ip` is bound to the subscriber."""

    VERSION: ClassVar[int] = LEASE_VERSION
    mac: Mac
    ip: Ipv4
    pool: str
    line: str
    cause: str
    req: str


@value
class RecoveryEnded:
    """The edge agrees with the log, or no promise of the lost events can stand any more."""

    VERSION: ClassVar[int] = 1
    cause: str


@value
class SnapshotTaken:
    """The state after event `covers` stands beside the log in `chunks` chunks.

    `digest` is over its rows; `taker` names one life of the process that wrote it.
    """

    VERSION: ClassVar[int] = 1
    covers: int
    digest: str
    chunks: int
    taker: str


@value
class SnapshotVerified:
    """Another process replayed the log up to `covers` and came to the same digest."""

    VERSION: ClassVar[int] = 1
    req: str
    covers: int
    digest: str
    verifier: str


Ending = LeaseReleased | LeaseExpired | LeaseRevoked | AddressDeclined
SiteEvent = (
    EpochStarted
    | PoolAdded
    | PoolOptionsSet
    | HorizonGranted
    | LeaseAssigned
    | LeaseAdopted
    | Ending
    | RemovalAcked
    | AddressFreed
    | RecoveryStarted
    | RecoveryEnded
    | SnapshotTaken
    | SnapshotVerified
)


@value
class SiteAdded:
    """A site exists; its log carries this `genesis` and no other."""

    VERSION: ClassVar[int] = 1
    site: str
    genesis: str
    horizon_s: int
    reuse_guard_s: int
    cause: str


@value
class PrefixPlanned:
    """The plan gives `network` to `site` as pool `pool`; prefixes never overlap."""

    VERSION: ClassVar[int] = 1
    site: str
    pool: str
    network: str
    first: Ipv4
    last: Ipv4
    gateway: Ipv4
    dns: str
    lease_time_s: int
    cause: str
    options: str = ""


@value
class OptionsPlanned:
    """Clients of pool `pool` of `site` are to be told `dns` and `options`, and no others."""

    VERSION: ClassVar[int] = 1
    site: str
    pool: str
    cause: str
    dns: str
    options: str


PlanEvent = SiteAdded | PrefixPlanned | OptionsPlanned
Event = SiteEvent | PlanEvent


@value
class Record:
    """An event as the log keeps it: entry id `<commit_ms>-<seq>`, hash `h` over all before it.

    `by` is "" where the entry does not say who wrote it: whoever began the epoch. `octets` are what
    `h` is over, but for the hash before.
    """

    seq: int
    commit_ms: int
    epoch: int
    by: str
    h: str
    event: Event
    octets: bytes = field(default=b"", repr=False, compare=False)

    @property
    def entry_id(self) -> str:
        return f"{self.commit_ms}-{self.seq}"
