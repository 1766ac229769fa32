"""Drift: where the tables say something else than the log, subscriber by subscriber.

Only reads, so it may look at the tables of a running agent.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.datapath.port import Datapath
from edge_agent.dhcp.tables import holder
from edge_agent.sync.lines import Lines
from edge_agent.sync.removals import ACKED_POOL, TOMBSTONE, UNSERVED_POOL, discriminator
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac, ip_text

Key = tuple[Mac, str, Ipv4]

NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Drift:
    """What tables and log say of one subscriber and address, in words."""

    mac: Mac
    line: str
    ip: Ipv4
    tables: str
    log: str


def drift_of(datapath: Datapath, lines: Lines, ledger: Ledger) -> list[Drift]:
    """Every difference between tables and a ledger, lowest address first."""
    tables, log = _told_by_tables(datapath, lines), _told_by_log(ledger, lines)
    return [
        Drift(*key, _words(tables.get(key, ())), _words(log.get(key, ())))
        for key in sorted({*tables, *log}, key=lambda key: (key[2], key[0], key[1]))
        if sorted(tables.get(key, ())) != sorted(log.get(key, ()))
    ]


def _words(told: Iterable[str]) -> str:
    return " and ".join(sorted(told)) or NOTHING


def _told_by_tables(datapath: Datapath, lines: Lines) -> dict[Key, list[str]]:
    pools = {number: pool.name for number, pool in datapath.pools()}
    told: dict[Key, list[str]] = {}
    for key, found in datapath.entries():
        mac = holder(key, found)
        if discriminator(key) >= TOMBSTONE and found.pool_id in (ACKED_POOL, UNSERVED_POOL):
            continue
        if discriminator(key) >= TOMBSTONE:
            told.setdefault((mac, "", found.ip), []).append(f"removed by event {found.seq}")
            continue
        pool = pools.get(found.pool_id, str(found.pool_id))
        words = _bound(pool, found.seq) if found.check_ok else f"damaged entry, {ip_text(found.ip)}"
        told.setdefault((mac, lines.text(found.line), found.ip), []).append(words)
    return told


def _told_by_log(ledger: Ledger, lines: Lines) -> dict[Key, list[str]]:
    told = {
        (b.mac, b.line, b.ip): [_bound(b.pool, b.seq)]
        for b in ledger.bound.values()
        if lines.parse(b.line)
    }
    for ip, removal in ledger.removed.items():
        if removal.quarantine_s is None:
            told[removal.binding.mac, "", ip] = [f"removed by event {removal.seq}"]
    return told


def _bound(pool: str, seq: int) -> str:
    return f"bound in {pool} by event {seq}"
