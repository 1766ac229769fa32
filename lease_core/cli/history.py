"""leasectl who and history: the abuse desk's questions."""

import sqlite3
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from lease_core.cli.common import (
    EXIT_NOT_FOUND,
    EXIT_USAGE,
    fail,
    json_option,
    opened,
    plain,
    redis_option,
    run,
    show,
)
from lease_core.config import ConfigError
from lease_core.domain.history import Holding
from lease_core.domain.values import (
    InvalidValueError,
    Ipv4,
    ip_from_text,
    ip_text,
    mac_from_text,
    mac_text,
)
from lease_core.log.keys import PLAN
from lease_core.log.reader import Position
from lease_core.service.historian import Historian
from lease_core.service.planner import read_plan

COLUMNS = ("ip", "mac", "site", "line", "from", "until", "quiet", "ended")

database_option = click.option(
    "--database",
    type=click.Path(path_type=Path),
    envvar="LEASE_HISTORY",
    default=Path("~/.local/state/lease/history.sqlite"),
    show_default=True,
    help="Where the history is kept between questions.",
)


def time_text(ms: int | None) -> str:
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def parse_time(text: str) -> int:
    """Unix milliseconds of an ISO 8601 time or `now`; a time without zone is refused.

    Raises:
        InvalidValueError: no time, or no zone.
    """
    if text == "now":
        return int(datetime.now(UTC).timestamp() * 1000)
    try:
        moment = datetime.fromisoformat(text.replace(" +", "+").replace("Z", "+00:00"))
        if moment.tzinfo:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidValueError(
            f"{text!r} is no time; write it like '2026-11-22T23:14:05+01:00'"
        ) from error
    if moment.tzinfo is None:
        raise InvalidValueError(f"{text!r} has no time zone; add one, like +01:00 or Z")
    return int(moment.timestamp() * 1000)


@click.command()
@click.argument("ip")
@click.option("--at", "at", default="now", show_default=True, help="ISO 8601 with a time zone.")
@redis_option
@database_option
@json_option
def who(ip: str, at: str, url: str, database: Path, as_json: bool) -> None:
    """Tell who held IP at a time, with the events that say so."""
    address, at_ms = _checked(ip, at)
    history, _ = run(caught_up(url, database.expanduser()))
    held, before, after = history.who(address, at_ms)
    if as_json:
        show(map(_row, held), COLUMNS, as_json=True)
    else:
        _tell(address, at_ms, held, before, after)
    sys.exit(0 if held else EXIT_NOT_FOUND)


def _checked(ip: str, at: str) -> tuple[Ipv4, int]:
    try:
        return ip_from_text(ip), parse_time(at)
    except InvalidValueError as error:
        fail(str(error), EXIT_USAGE)


def _tell(
    ip: Ipv4, at_ms: int, held: list[Holding], before: Holding | None, after: Holding | None
) -> None:
    click.echo(f"{ip_text(ip)} at {time_text(at_ms)}")
    for holding in held:
        host = f"   host {holding.host}" if holding.host else ""
        line = f"{holding.site}/{holding.line}"
        click.echo(plain(f"  {mac_text(holding.mac)}   line {line}{host}"))
        until = time_text(holding.until_ms) or "now"
        ended = f" ({holding.ended})" if holding.ended else ""
        click.echo(f"  held      {time_text(holding.from_ms)} -> {until}{ended}")
        click.echo(f"  evidence  events {holding.from_id} {holding.until_id}".rstrip())
    if not held:
        click.echo("  nobody held it")
    if before:
        quiet = f", last promise until {time_text(before.quiet_ms)}" if before.quiet_ms else ""
        click.echo(f"  before    {mac_text(before.mac)} until {time_text(before.until_ms)}{quiet}")
    if after:
        click.echo(f"  after     {mac_text(after.mac)} from {time_text(after.from_ms)}")


@click.command()
@click.argument("ip_or_mac")
@redis_option
@database_option
@json_option
def history(ip_or_mac: str, url: str, database: Path, as_json: bool) -> None:
    """Show every holding of an address, or of a MAC."""
    try:
        mac = mac_from_text(ip_or_mac) if ":" in ip_or_mac or "-" in ip_or_mac else None
        ip = None if mac is not None else ip_from_text(ip_or_mac)
    except InvalidValueError as error:
        fail(str(error), EXIT_USAGE)
    kept, _ = run(caught_up(url, database.expanduser()))
    found: Iterable[Holding] = kept.of_mac(mac) if mac is not None else kept.of_ip(ip or Ipv4(0))
    if not show(map(_row, found), COLUMNS, as_json=as_json):
        click.echo(f"nothing is known of {ip_or_mac}", err=True)
        sys.exit(EXIT_NOT_FOUND)


def _opened(database: Path) -> Historian:
    try:
        return Historian(database)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"{database} cannot be used: {error}; give another path with --database"
        ) from error


async def caught_up(url: str, database: Path) -> tuple[Historian, dict[str, Position]]:
    """The history with everything that the logs say now, and how far that is for each site."""
    kept, positions = _opened(database), {}
    async with opened(url, PLAN) as log:
        plan, _ = await read_plan(log)
    for site in plan.sites:
        async with opened(url, site) as log:
            positions[site] = await kept.catch_up(log)
    return kept, positions


def _row(holding: Holding) -> dict[str, object]:
    return {
        "ip": ip_text(holding.ip),
        "mac": mac_text(holding.mac),
        "site": holding.site,
        "line": holding.line,
        "host": holding.host,
        "from": time_text(holding.from_ms),
        "until": time_text(holding.until_ms),
        "quiet": time_text(holding.quiet_ms),
        "ended": holding.ended,
        "from_id": holding.from_id,
        "until_id": holding.until_id,
    }
