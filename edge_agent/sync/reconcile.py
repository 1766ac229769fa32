"""Reconcile: make the tables equal to the log's own state when following it was interrupted.

Used after a gap, and when the tables were made for other interfaces. What is right stays
untouched, so a known client goes on being answered meanwhile.
"""

from edge_agent.dhcp.tables import Assignment, SubscriberKey, key_mac
from edge_agent.sync.projection import TOMBSTONE, Projection, discriminator
from lease_core.domain.ledger import Ledger


def reconcile(projection: Projection, ledger: Ledger) -> int:
    """Bring the tables to the ledger's state; return how many bindings were wrong."""
    for pool in ledger.pools.values():
        projection.put_pool(pool)
    stale = [
        (key, found)
        for key, found in projection.datapath.entries()
        if discriminator(key) < TOMBSTONE and not _is_right(projection, ledger, key, found)
    ]
    for key, found in stale:
        current = projection.find(key_mac(key), found.line)
        if current:
            removal = ledger.removed.get(found.ip)
            projection.remove(*current, ref=removal.seq if removal else ledger.seq)
    missing = [
        (binding, line)
        for binding in ledger.bound.values()
        if (line := projection.lines.parse(binding.line))
        and projection.find(binding.mac, line) is None
    ]
    for binding, line in missing:
        projection.put(binding, line)
    _settle_removals(projection, ledger)
    return len(stale) + len(missing)


def _settle_removals(projection: Projection, ledger: Ledger) -> None:
    """Owe exactly the acknowledgements that the log still waits for."""
    awaited = {ip: r for ip, r in ledger.removed.items() if r.quarantine_s is None}
    for ip, owed in list(projection.removals.items()):
        if ip not in awaited or awaited[ip].seq != owed.ref:
            projection.bury(ip, ledger.seq)
    for ip, removal in awaited.items():
        projection.owe(removal.binding.mac, ip, removal.seq)


def _is_right(
    projection: Projection, ledger: Ledger, key: SubscriberKey, found: Assignment
) -> bool:
    binding = ledger.bound.get(found.ip)
    return (
        binding is not None
        and key_mac(key) == binding.mac
        and found.seq == binding.seq
        and found.line == projection.lines.parse(binding.line)
    )
