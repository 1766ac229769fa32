"""leasectl who and history: the abuse desk's questions."""

import sys
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from lease_core.cli.catching_up import caught_up, database_option
from lease_core.cli.common import (
    EXIT_NOT_FOUND,
    EXIT_USAGE,
    fail,
    json_option,
    plain,
    redis_option,
    run,
    say,
    show,
    time_text,
)
from lease_core.domain.history import Holding
from lease_core.domain.values import (
    InvalidValueError,
    Ipv4,
    ip_from_text,
    ip_text,
    mac_from_text,
    mac_text,
)
from lease_core.service.historian import Holders

COLUMNS = ("ip", "mac", "site", "line", "from", "until", "quiet", "ended")


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
    caught = run(caught_up(url, database))
    found = caught.history.who(address, at_ms)
    lacks = caught.tell_lacking(at_ms)
    if as_json:
        show(map(_row, found.held), COLUMNS, as_json=True)
    else:
        click.echo(f"{ip_text(address)} at {time_text(at_ms)}")
        _tell(found, caught.positions.keys(), is_whole=not lacks)
    sys.exit(lacks or (0 if found.held else EXIT_NOT_FOUND))


def _checked(ip: str, at: str) -> tuple[Ipv4, int]:
    try:
        return ip_from_text(ip), parse_time(at)
    except InvalidValueError as error:
        fail(str(error), EXIT_USAGE)


def _tell(found: Holders, read: Collection[str], *, is_whole: bool) -> None:
    """`read` are the sites whose log was read to its end; `is_whole` = nothing may be hidden."""
    for holding in found.held:
        host = f"   host {holding.host}" if holding.host else ""
        line = f"{holding.site}/{holding.line}"
        click.echo(plain(f"  {mac_text(holding.mac)}   line {line}{host}"))
        until = time_text(holding.until_ms) or ("now" if holding.site in read else "unknown")
        ended = f" ({holding.ended})" if holding.ended else ""
        click.echo(f"  held      {time_text(holding.from_ms)} -> {until}{ended}")
        click.echo(f"  evidence  events {holding.from_id} {holding.until_id}".rstrip())
    if not found.held:
        click.echo("  nobody held it" if is_whole else "  nobody is known to have held it")
    if before := found.before:
        quiet = f", last promise until {time_text(before.quiet_ms)}" if before.quiet_ms else ""
        click.echo(f"  before    {mac_text(before.mac)} until {time_text(before.until_ms)}{quiet}")
    if after := found.after:
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
    caught = run(caught_up(url, database))
    kept = caught.history
    found: Iterable[Holding] = kept.of_mac(mac) if mac is not None else kept.of_ip(ip or Ipv4(0))
    is_found = show(map(_row, found), COLUMNS, as_json=as_json)
    if not is_found:
        say(f"nothing is known of {ip_or_mac}")
    sys.exit(caught.tell_lacking() or (0 if is_found else EXIT_NOT_FOUND))


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
