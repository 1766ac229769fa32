"""The historian: who held which address when, in SQLite, caught up from the logs when asked.

The database is a projection like any other: its position is committed with what it caused, and
deleting the file loses nothing that the logs still hold.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from lease_core.domain.events import Record, RecoveryStarted
from lease_core.domain.history import Closed, Holding, Quieted, history_change
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.port import ForeignLogError, SiteLog
from lease_core.log.reader import Position, Standing, advance, standing

READ_COUNT = 1000
FIRST_BATCH = 2
"""Events that a log made anew begins with: its epoch, and what it stands in for."""

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
        """Read what the log has since last time; one that stands in for it is read from its start.

        Raises:
            ForeignLogError: the log is not the one that was read before, or went back.
        """
        head = await log.head()
        if head is None:
            raise ForeignLogError(f"there is no log of site {log.site}")
        position = self.position(log.site) or Position(head.genesis)
        if position.genesis != head.genesis:
            position = await self._begin_anew(log, position, Position(head.genesis))
        found = standing(position, head)
        if found not in {Standing.LIVE, Standing.BEHIND}:
            raise ForeignLogError(f"the log of {log.site} is {found} against this history")
        while records := await log.read(position.entry_id, READ_COUNT):
            position = self._take(log.site, position, records)
        return position

    async def _begin_anew(self, log: SiteLog, former: Position, start: Position) -> Position:
        """Go over from a log that is lost to one that says it stands in for it.

        Who held an address then is not known from `former` to the new log's first event.
        """
        first = await log.read(start.entry_id, FIRST_BATCH)
        named = [r.event.replaces for r in first if isinstance(r.event, RecoveryStarted)]
        if not any(former.genesis in names.split() for names in named):
            return former
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if self.position(log.site) == former:
                self._db.execute(
                    "INSERT INTO lost VALUES (?, ?, ?)",
                    (log.site, former.commit_ms, first[0].commit_ms),
                )
                self._db.execute(
                    "UPDATE holding SET until_ms = ?, ended = 'LogLost' "
                    "WHERE site = ? AND until_ms IS NULL",
                    (former.commit_ms + 1, log.site),
                )
                self._keep(log.site, start)
        return self.position(log.site) or start

    def _take(self, site: str, position: Position, records: Sequence[Record]) -> Position:
        """Keep records that follow `position`, unless another process did so meanwhile."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            kept = self.position(site)
            if kept and kept.seq > position.seq:
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

    def who(self, ip: Ipv4, at_ms: int) -> tuple[list[Holding], Holding | None, Holding | None]:
        """Who held `ip` at a time (at most one, I11), who before, and who after."""
        held = self._select(
            "ip = ? AND from_ms <= ? AND (until_ms IS NULL OR until_ms > ?)", ip, at_ms, at_ms
        )
        before = self._select("ip = ? AND until_ms <= ? ORDER BY until_ms DESC LIMIT 1", ip, at_ms)
        after = self._select("ip = ? AND from_ms > ? ORDER BY from_ms LIMIT 1", ip, at_ms)
        return list(held), next(before, None), next(after, None)

    def lost(self) -> list[tuple[str, int, int]]:
        """Of which sites logs were lost, and between which times (ms) nothing is known of them."""
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
