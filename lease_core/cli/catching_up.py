"""The kept history, brought up to the logs as far as they can be read now."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import click

from lease_core.cli.common import LOG_ERRORS, exit_code, opened, say, side_by_side, time_text
from lease_core.config import ConfigError
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
    """What could not be read now: a site (PLAN = which sites there are) after `known_ms`, and why.

    `known_ms` is Unix milliseconds, 0 = nothing is known of it.
    """

    site: str
    known_ms: int
    error: Exception

    def __str__(self) -> str:
        if self.site == PLAN:
            return f"which sites there are is not known: {self.error}"
        if not self.known_ms:
            return f"nothing is known of {self.site}: {self.error}"
        return f"{self.site} is known until {time_text(self.known_ms)} only: {self.error}"


@dataclass(frozen=True, slots=True)
class Caught:
    """A history, the sites that it was brought up to the end of, and what it lacks."""

    history: Historian
    positions: dict[str, Position]
    lacking: list[Lacking]

    def tell_lacking(self, until_ms: int | None = None) -> int:
        """Say what may hide something up to a time (None = now).

        Returns an exit code: 0 = nothing does.
        """
        hiding = [each for each in self.lacking if until_ms is None or each.known_ms < until_ms]
        for each in hiding:
            say(str(each))
        return exit_code(hiding[0].error) if hiding else 0


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
        caught.lacking.append(Lacking(PLAN, 0, error))
        return caught

    async def catch_up(site: str) -> None:
        try:
            async with opened(url, site) as log:
                caught.positions[site] = await caught.history.catch_up(log)
        except LOG_ERRORS as error:
            kept = caught.history.position(site)
            caught.lacking.append(Lacking(site, kept.commit_ms if kept else 0, error))

    await side_by_side(catch_up, plan.sites)
    return caught


def _opened(database: Path) -> Historian:
    try:
        return Historian(database)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"{database} cannot be used: {error}; give another path with --database"
        ) from error
