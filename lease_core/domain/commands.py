"""Commands: what an edge or an operator asks of the allocator, and what it answers.

As with events, names are the wire format. `req` names the request: the event or answer that it
caused carries it back.
"""

from collections.abc import Iterable
from typing import ClassVar

from lease_core.domain.values import NO_IP, Ipv4, Mac, value


@value
class RequestOffer:
    """A DISCOVER that no table could answer. `wanted` is option 50, `link` the giaddr."""

    VERSION: ClassVar[int] = 1
    req: str
    mac: Mac
    line: str
    wanted: Ipv4 = NO_IP
    link: Ipv4 = NO_IP
    host: str = ""


@value
class RequestLease:
    """A REQUEST that no table could answer; `kind` is its state by RFC 2131 4.3.2."""

    VERSION: ClassVar[int] = 1
    req: str
    mac: Mac
    line: str
    ip: Ipv4
    kind: str
    link: Ipv4 = NO_IP
    host: str = ""


@value
class RequestStock:
    """The edge wants `count` addresses to offer to strangers behind `link`, a giaddr or 0."""

    VERSION: ClassVar[int] = 1
    req: str
    count: int
    link: Ipv4 = NO_IP


@value
class ReleaseLease:
    VERSION: ClassVar[int] = 1
    req: str
    mac: Mac
    line: str
    ip: Ipv4


@value
class DeclineAddress:
    VERSION: ClassVar[int] = 1
    req: str
    mac: Mac
    line: str
    ip: Ipv4


@value
class ReportExpiry:
    """The edge saw every promise for the binding assigned by event `ref` pass.

    `incarnation` names the life of the tables that were looked at.
    """

    VERSION: ClassVar[int] = 2
    req: str
    mac: Mac
    line: str
    ip: Ipv4
    ref: int
    incarnation: str


@value
class AckRemoval:
    """The edge answers no more for what event `ref` ended; `remaining_s` was still promised.

    `incarnation` names the life of the tables that promised it.
    """

    VERSION: ClassVar[int] = 2
    req: str
    ip: Ipv4
    ref: int
    remaining_s: int
    incarnation: str


@value
class RevokeLease:
    VERSION: ClassVar[int] = 1
    req: str
    ip: Ipv4
    cause: str


@value
class Heartbeat:
    """The edge asks for a horizon; `incarnation` names the life of its promise table.

    `applied` is the last event in its tables, `epoch` that event's and `genesis` that log's,
    `elapsed_ms` its elapsed clock; "" and 0 = a former version, which does not say. `reads` is the
    newest version of events about leases that the edge reads.
    """

    VERSION: ClassVar[int] = 2
    edge: str
    incarnation: str
    nonce: str
    applied: int
    epoch: int = 0
    genesis: str = ""
    elapsed_ms: int = 0
    reads: int = 1


@value
class ReportLoss:
    """The edge applied event `applied` of `epoch`, from which this log does not go on."""

    VERSION: ClassVar[int] = 1
    req: str
    edge: str
    incarnation: str
    epoch: int
    applied: int


@value
class ReportBinding:
    """What the edge promised by a log that was lost, for `remaining_s` more.

    `state` is `bound`, or `removed` where the lost log had ended the binding.
    """

    VERSION: ClassVar[int] = 1
    req: str
    edge: str
    incarnation: str
    mac: Mac
    line: str
    ip: Ipv4
    state: str
    remaining_s: int


@value
class StartRecovery:
    """An operator knows that the log lost events."""

    VERSION: ClassVar[int] = 1
    req: str
    cause: str


@value
class EndRecovery:
    """An operator knows that nobody is promised anything by lost events any more."""

    VERSION: ClassVar[int] = 1
    req: str
    cause: str


@value
class ConfirmSnapshot:
    """`verifier`, one life of a process, replayed the log up to `covers` and got `digest`."""

    VERSION: ClassVar[int] = 1
    req: str
    covers: int
    digest: str
    verifier: str


Command = (
    RequestOffer
    | RequestLease
    | RequestStock
    | ReleaseLease
    | DeclineAddress
    | ReportExpiry
    | AckRemoval
    | RevokeLease
    | Heartbeat
    | ReportLoss
    | ReportBinding
    | StartRecovery
    | EndRecovery
    | ConfirmSnapshot
)


Repeated = RequestOffer | RequestLease | RequestStock | Heartbeat
"""What is said again until it is heard."""


def may_be_forgotten(commands: Iterable[Command]) -> bool:
    """Whether a server that restarts may forget what is sent together: all is said again."""
    return all(isinstance(command, Repeated) for command in commands)


@value
class Sent:
    """A command as the stream keeps it: id of the entry that it stands in, and who sent it."""

    entry_id: str
    by: str
    command: Command


@value
class Offered:
    """`ip` is kept for the asker for a while; nothing is promised yet."""

    VERSION: ClassVar[int] = 1
    req: str
    ip: Ipv4
    pool: str


@value
class Stocked:
    """Addresses are set aside: the edge may offer them for `hold_s` from when it asked."""

    VERSION: ClassVar[int] = 1
    req: str
    pool: str
    ips: tuple[Ipv4, ...]
    hold_s: int


@value
class Held:
    """The asker's wish is already true since event `seq`: apply up to it, then answer."""

    VERSION: ClassVar[int] = 1
    req: str
    seq: int


@value
class Refused:
    VERSION: ClassVar[int] = 1
    req: str
    reason: str


Answer = Offered | Stocked | Held | Refused
