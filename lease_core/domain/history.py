"""Who held an address when: holdings, opened and closed by events.

By I11 the log names at most one holder for every address and time, so a closing event needs no
more than the address to find what it closes.
"""

from dataclasses import dataclass

from lease_core.domain.events import (
    AddressDeclined,
    LeaseAdopted,
    LeaseAssigned,
    LeaseExpired,
    LeaseReleased,
    LeaseRevoked,
    Record,
    RemovalAcked,
)
from lease_core.domain.state import Binding
from lease_core.domain.values import Ipv4, Mac


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One holder of one address over a span of wall time (ms since 1970, commit times).

    `until_ms` is None while it is held. `quiet_ms` is when the last promise to the holder ended:
    between `until_ms` and `quiet_ms` the client may still have used the address.
    """

    site: str
    ip: Ipv4
    mac: Mac
    line: str
    pool: str
    host: str
    from_ms: int
    from_id: str
    until_ms: int | None = None
    until_id: str = ""
    ended: str = ""
    quiet_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    ip: Ipv4
    until_ms: int
    until_id: str
    ended: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quieted:
    ip: Ipv4
    quiet_ms: int


def history_change(site: str, record: Record) -> Holding | Closed | Quieted | None:
    """What a record changes in the history: opens a holding, closes it, or tells its real end."""
    match record.event:
        case LeaseAssigned() | LeaseAdopted() as assigned:
            return holding_of(site, assigned, record)
        case LeaseReleased() | LeaseExpired() | LeaseRevoked() | AddressDeclined() as ended:
            return Closed(
                ip=ended.ip,
                until_ms=record.commit_ms,
                until_id=record.entry_id,
                ended=type(ended).__name__,
            )
        case RemovalAcked() as acked:
            return Quieted(ip=acked.ip, quiet_ms=record.commit_ms + acked.remaining_s * 1000)
        case _:
            return None


def holding_of(site: str, held: LeaseAssigned | LeaseAdopted | Binding, record: Record) -> Holding:
    """A holding that is one from `record` on, as far as is known."""
    return Holding(
        site=site,
        ip=held.ip,
        mac=held.mac,
        line=held.line,
        pool=held.pool,
        host=getattr(held, "host", ""),
        from_ms=record.commit_ms,
        from_id=record.entry_id,
    )
