"""The historian: who held which address when, in SQLite, caught up from the logs when asked.

The database is a projection like any other: its position is committed with what it caused, and
deleting the file loses nothing that the logs still hold.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lease_core.domain.events import Record
from lease_core.domain.history import Closed, Holding, Quieted, history_change, holding_of
from lease_core.domain.ledger import Ledger
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.port import ForeignLogError, SiteLog
from lease_core.log.reader import Position, Standing, advance, standing
from lease_core.log.replay import ledger_at
from lease_core.log.resuming import beginning

READ_COUNT = 1000
NOT_KNOWN = "NotKnown"
"""How a holding ended whose end was lost."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS position (
    site TEXT PRIMARY KEY, genesis TEXT NOT NULL, seq INTEGER NOT NULL, h TEXT NOT NULL,
    commit_ms INTEGER NOT NULL, epoch INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS holding (
    site TEXT NOT NULL, ip INTEGER NOT NULL, mac INTEGER NOT NULL, line TEXT NOT NULL,
    pool TEXT NOT NULL, host TEXT NOT NULL, from_ms INTEGER NOT NULL, from_id TEXT NOT NULL,
    until_ms INTEGER, until_id TEXT NOT NULL, ended TEXT NOT NULL, quiet_ms INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS lost (
    site TEXT NOT NULL, known_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS holding_by_ip ON holding (ip, from_ms);
CREATE INDEX IF NOT EXISTS holding_by_mac ON holding (mac, from_ms);
"""
_COLUMNS = "site,ip,mac,line,pool,host,from_ms,from_id,until_ms,until_id,ended,quiet_ms"


class Holders(NamedTuple):
    """Who held an address at a time (at most one of a site, I11), who before, and who after."""

    held: list[Holding]
    before: Holding | None
    after: Holding | None


class Historian:
    """Holdings of every site that was ever caught up."""

    def __init__(self, path: Path) -> None:
        """Open or make the database."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    async def catch_up(self, log: SiteLog) -> Position:
        """Read what the log has since last time, as far as it may be acted on.

        Where that is not there any more, it begins anew with what the log tells, and notes what
        is not known.

        Raises:
            ForeignLogError: the log is not the one that was read before, or went back and nobody
                leads it yet.
        """
        head = await log.head()
        if head is None:
            raise ForeignLogError(f"there is no log of site {log.site}")
        position = self.position(log.site)
        if start := await beginning(log, head, position):
            ledger = await ledger_at(log, start.seq, head.genesis)
            position = self._begin_anew(log.site, position, head.genesis, start, ledger)
        position = position or Position(head.genesis)
        found = standing(position, head)
        if found not in {Standing.LIVE, Standing.BEHIND}:
            raise ForeignLogError(f"the log of {log.site} is {found} against this history")
        while records := await log.read(position.entry_id, READ_COUNT):
            durable = [record for record in records if record.seq <= head.durable_seq]
            if not durable:
                break
            position = self._take(log.site, position, durable)
        return position

    def _begin_anew(
        self, site: str, former: Position | None, genesis: str, start: Record, ledger: Ledger
    ) -> Position | None:
        """Hold what the log tells at event `start`; before, back to `former`, nothing is known."""
        known_ms = former.commit_ms if former else 0
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if self.position(site) == former:
                self._db.execute(
                    "INSERT INTO lost VALUES (?, ?, ?)", (site, known_ms, start.commit_ms)
                )
                self._db.execute(
                    "UPDATE holding SET until_ms = ?, ended = ? "
                    "WHERE site = ? AND until_ms IS NULL",
                    (min(known_ms + 1, start.commit_ms), NOT_KNOWN, site),
                )
                for binding in ledger.bound.values():
                    self._apply(site, holding_of(site, binding, start))
                self._keep(site, Position(genesis).behind(start))
        return self.position(site)

    def _take(self, site: str, position: Position, records: Sequence[Record]) -> Position:
        """Keep records that follow `position`, unless another process did so meanwhile."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            kept = self.position(site)
            if kept and kept != position:
                return kept
            for record in records:
                position = advance(position, record)
                self._apply(site, history_change(site, record))
            self._keep(site, position)
        return position

    def position(self, site: str) -> Position | None:
        """How far this history of a site goes; None where it has none."""
        row = self._db.execute(
            "SELECT genesis, seq, h, commit_ms, epoch FROM position WHERE site = ?", (site,)
        ).fetchone()
        return Position(*row) if row else None

    def _keep(self, site: str, position: Position) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?, ?)",
            (
                site,
                position.genesis,
                position.seq,
                position.h,
                position.commit_ms,
                position.epoch,
            ),
        )

    def _apply(self, site: str, change: Holding | Closed | Quieted | None) -> None:
        match change:
            case Holding():
                values = tuple(getattr(change, column) for column in _COLUMNS.split(","))
                self._db.execute(
                    f"INSERT INTO holding ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
                    values,
                )
            case Closed():
                self._db.execute(
                    "UPDATE holding SET until_ms = ?, until_id = ?, ended = ? "
                    "WHERE site = ? AND ip = ? AND until_ms IS NULL",
                    (change.until_ms, change.until_id, change.ended, site, change.ip),
                )
            case Quieted():
                self._db.execute(
                    "UPDATE holding SET quiet_ms = ? WHERE rowid = "
                    "(SELECT rowid FROM holding WHERE site = ? AND ip = ? AND until_ms IS NOT NULL "
                    "ORDER BY from_ms DESC LIMIT 1)",
                    (change.quiet_ms, site, change.ip),
                )
            case None:
                pass

    def who(self, ip: Ipv4, at_ms: int) -> Holders:
        held = self._select(
            "ip = ? AND from_ms <= ? AND (until_ms IS NULL OR until_ms > ?)", ip, at_ms, at_ms
        )
        before = self._select("ip = ? AND until_ms <= ? ORDER BY until_ms DESC LIMIT 1", ip, at_ms)
        after = self._select("ip = ? AND from_ms > ? ORDER BY from_ms LIMIT 1", ip, at_ms)
        return Holders(list(held), next(before, None), next(after, None))

    def lost(self) -> list[tuple[str, int, int]]:
        """Sites, and between which times (ms) nothing is known of them any more."""
        return self._db.execute("SELECT site, known_ms, until_ms FROM lost").fetchall()

    def of_ip(self, ip: Ipv4) -> Iterator[Holding]:
        """Every holding of an address, oldest first."""
        return self._select("ip = ? ORDER BY from_ms", ip)

    def of_mac(self, mac: Mac) -> Iterator[Holding]:
        """Every holding of a MAC, oldest first."""
        return self._select("mac = ? ORDER BY from_ms", mac)

    def _select(self, where: str, *values: int) -> Iterator[Holding]:
        names = _COLUMNS.split(",")
        query = f"SELECT {_COLUMNS} FROM holding WHERE {where}"  # noqa: S608  (our own words)
        for row in self._db.execute(query, values):
            yield Holding(**dict(zip(names, row, strict=True)))
