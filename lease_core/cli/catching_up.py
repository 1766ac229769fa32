"""The kept history, brought up to the logs as far as they can be read now."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import click

from lease_core.cli.common import LOG_ERRORS, exit_code, opened, say, side_by_side, time_text
from lease_core.config import ConfigError
from lease_core.log.errors import LostLogError
from lease_core.log.keys import PLAN
from lease_core.log.reader import Position
from lease_core.service.historian import Historian
from lease_core.service.planner import read_plan

database_option = click.option(
    "--database",
    type=click.Path(path_type=Path),
    callback=lambda _, __, path: path.expanduser(),
    envvar="LEASE_HISTORY",
    default=Path("~/.local/state/lease/history.sqlite"),
    show_default=True,
    help="Where the history is kept between questions.",
)


@dataclass(frozen=True, slots=True)
class Lacking:
    """What is not known of a site (PLAN = which sites there are) after `known_ms`, and why.

    Times are Unix milliseconds: `known_ms` 0 = nothing is known of it, `until_ms` None = to now.
    """

    site: str
    known_ms: int
    until_ms: int | None
    error: Exception

    def __str__(self) -> str:
        if self.site == PLAN:
            return f"which sites there are is not known: {self.error}"
        if self.until_ms is not None:
            since = f"after {time_text(self.known_ms)} and " if self.known_ms else ""
            return (
                f"{self.site} is not known {since}before {time_text(self.until_ms)}: {self.error}"
            )
        if not self.known_ms:
            return f"nothing is known of {self.site}: {self.error}"
        return f"{self.site} is known until {time_text(self.known_ms)} only: {self.error}"

    def hides(self, at_ms: int) -> bool:
        """Whether something may have been so at a time that is not known."""
        return self.known_ms < at_ms and (self.until_ms is None or at_ms < self.until_ms)


@dataclass(frozen=True, slots=True)
class Caught:
    """A history, the sites that it was brought up to the end of, and what it lacks."""

    history: Historian
    positions: dict[str, Position]
    lacking: list[Lacking]

    def tell_lacking(self, at_ms: int | None = None) -> int:
        """Say what may hide something at a time, or what cannot be read now (None).

        Returns an exit code: 0 = nothing does.
        """
        told = [
            each
            for each in self.lacking
            if (each.until_ms is None if at_ms is None else each.hides(at_ms))
        ]
        for each in told:
            say(str(each))
        return exit_code(told[0].error) if told else 0


async def caught_up(url: str, database: Path) -> Caught:
    """Everything that the logs say now; one that cannot be read holds up no other.

    Raises:
        ConfigError: the database cannot be used, or `url` is no address of a Redis.
    """
    caught = Caught(_opened(database), {}, [])
    try:
        async with opened(url, PLAN) as log:
            plan, _ = await read_plan(log)
    except LOG_ERRORS as error:
        caught.lacking.append(Lacking(PLAN, 0, None, error))
        return caught

    async def catch_up(site: str) -> None:
        try:
            async with opened(url, site) as log:
                caught.positions[site] = await caught.history.catch_up(log)
        except LOG_ERRORS as error:
            kept = caught.history.position(site)
            caught.lacking.append(Lacking(site, kept.commit_ms if kept else 0, None, error))

    await side_by_side(catch_up, plan.sites)
    for site, known_ms, until_ms in caught.history.lost():
        lost = LostLogError("its log does not hold that any more")
        caught.lacking.append(Lacking(site, known_ms, until_ms, lost))
    return caught


def _opened(database: Path) -> Historian:
    try:
        return Historian(database)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"{database} cannot be used: {error}; give another path with --database"
        ) from error
