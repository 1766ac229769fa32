"""Random legal histories of a site: every event is a real decision, snapshots included."""

import random
from collections.abc import Sequence

from lease_core.domain.commands import (
    ConfirmSnapshot,
    DeclineAddress,
    Heartbeat,
    ReleaseLease,
    ReportBinding,
    ReportExpiry,
    ReportLoss,
    RevokeLease,
)
from lease_core.domain.events import (
    Event,
    PoolOptionsSet,
    Record,
    RecoveryEnded,
    RecoveryStarted,
    SnapshotTaken,
)
from lease_core.domain.ledger import Binding, Ledger
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.hashes import chain
from lease_core.log.port import Batch
from lease_core.log.runs import Records, records_of
from lease_core.service.allocator import MAX_LOST
from tests.site import FIRST, Site, pool_added

LINES = ("access0", "access1", "access0:100", "access0:100.7")


def read_back(batch: Batch, edited: int = -1) -> Records:
    """The events of a batch as they are read from a log, one of them edited."""
    entries = []
    for number, (record, entry) in enumerate(zip(batch.records, batch.event_fields, strict=True)):
        told = entry.flat()
        if number == edited:
            told[told.index(b"cause") + 1] = b"edited"
        entries.append((record.entry_id.encode(), told))
    return records_of(entries)


def folded(events: Sequence[Event], ledger: Ledger | None = None) -> Ledger:
    """The ledger after `events`, which follow what `ledger` holds."""
    ledger = ledger or Ledger()
    for event in events:
        ledger.evolve(ledger.seq + 1, 1, event)
    return ledger


def random_history(
    seed: int, steps: int, size: int = 6, macs: int = 4, *, has_snapshots: bool = True
) -> list[Event]:
    """What happens at a small site where everybody is busy, by the real decisions."""
    chance = random.Random(seed)
    site = Site(size=size)
    site.record(pool_added(3, "res-2", 2))
    for _ in range(steps):
        mac, line = chance.randint(1, macs), chance.choice(LINES)
        binding = site.ledger.binding_of(Mac(mac), line)
        what = chance.randint(0, 9)
        if what <= 3:
            ip = site.offer(mac, line)
            if ip:
                site.request(mac, ip, line)
        elif what <= 5 and binding:
            _end(site, chance, binding)
        elif what == 6 and site.ledger.removed:
            site.ack(chance.choice(list(site.ledger.removed)), chance.randint(0, 50))
        elif what == 6:
            _set_options(site, chance)
        elif what == 7:
            life = chance.choice("aaaab")
            site.do(Heartbeat(edge="bng1", incarnation=life, nonce="n", applied=0))
        elif what == 8:
            site.wait(chance.choice((10, 200, 20_000)))
        elif chance.random() < 0.3:
            _recover(site, chance, Mac(mac), line)
        elif has_snapshots:
            _snapshot(site, chance)
    return site.log


def _recover(site: Site, chance: random.Random, mac: Mac, line: str) -> None:
    """The log lost something, the edge tells of it, or all is well again."""
    recovery, life = site.ledger.recovery, site.life()
    if recovery is None:
        lost = f"{len(site.ledger.replaces):02x}" * 16
        may_be_new = len(site.ledger.replaces) < MAX_LOST
        replaces = chance.choice(("", lost)) if may_be_new else ""
        site.record(RecoveryStarted(cause="x", replaces=replaces))
    elif recovery.incarnation != life:
        site.do(ReportLoss(req="x", edge="bng1", incarnation=life, epoch=0, applied=9))
    elif chance.random() < 0.3:
        site.record(RecoveryEnded(cause="edge-agrees"))
    else:
        ip = chance.choice([FIRST, *site.ledger.bound, *site.ledger.removed])
        site.do(
            ReportBinding(
                req="x",
                edge="bng1",
                incarnation=life,
                mac=mac,
                line=line,
                ip=Ipv4(ip),
                state=chance.choice(("bound", "removed")),
                remaining_s=5,
            )
        )


def _set_options(site: Site, chance: random.Random) -> None:
    pool = chance.choice(list(site.ledger.pools.values()))
    text = f"mtu={chance.randint(1400, 1500)}"
    site.record(
        PoolOptionsSet(
            pool=pool.pool, cause="plan", dns="", options=text, plan_seq=pool.plan_seq + 1
        )
    )


def _end(site: Site, chance: random.Random, held: Binding) -> None:
    mac, line, ip = held.mac, held.line, held.ip
    site.do(
        chance.choice(
            (
                ReleaseLease(req="x", mac=mac, line=line, ip=ip),
                DeclineAddress(req="x", mac=mac, line=line, ip=ip),
                ReportExpiry(
                    req="x", mac=mac, line=line, ip=ip, ref=held.seq, incarnation=site.life()
                ),
                RevokeLease(req="x", ip=ip, cause="operator"),
            )
        )
    )


def _snapshot(site: Site, chance: random.Random) -> None:
    """Take a snapshot, or confirm the one that was taken."""
    taken = site.ledger.taken
    if taken and chance.randint(0, 1):
        site.do(
            ConfirmSnapshot(req="v", covers=taken.covers, digest=taken.digest, verifier="other#1")
        )
    else:
        site.record(
            SnapshotTaken(
                covers=site.ledger.seq, digest=site.ledger.digest(), chunks=1, taker="taker#1"
            )
        )


def expected_hash(previous_h: str, record: Record) -> str:
    """The `h` that `record`, read from a log, must carry after a record with hash `previous_h`."""
    return chain(bytes.fromhex(previous_h), record.octets).hex()
