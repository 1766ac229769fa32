"""leasectl lease: the bindings of a site now, as its log tells them."""

import secrets
import sys
from collections.abc import Iterator

import click

from lease_core.cli.common import (
    EXIT_NOT_FOUND,
    json_option,
    opened,
    redis_option,
    run,
    show,
    user,
)
from lease_core.domain.commands import RevokeLease
from lease_core.domain.ledger import Binding, Ledger
from lease_core.domain.values import InvalidValueError, ip_from_text, ip_text, mac_text
from lease_core.log.replay import replay
from lease_core.service.border import fault_of

COLUMNS = ("ip", "mac", "line", "pool", "state", "since_seq")


@click.group()
def lease() -> None:
    """Leases of a site."""


@lease.command("list")
@click.argument("site")
@redis_option
@json_option
def lease_list(site: str, url: str, as_json: bool) -> None:
    """Show every address of SITE that is not free."""
    ledger = run(_ledger(url, site))
    if not show(_rows(ledger), COLUMNS, as_json=as_json):
        click.echo(f"no leases at {site}", err=True)


@lease.command("show")
@click.argument("site")
@click.argument("what")
@redis_option
@json_option
def lease_show(site: str, what: str, url: str, as_json: bool) -> None:
    """Show the leases of SITE whose address, MAC or line contains WHAT."""
    ledger = run(_ledger(url, site))
    found = [
        row
        for row in _rows(ledger)
        if any(what.lower() in str(row[column]).lower() for column in ("ip", "mac", "line"))
    ]
    if not show(found, COLUMNS, as_json=as_json):
        click.echo(f"no lease at {site} matches {what!r}", err=True)
        sys.exit(EXIT_NOT_FOUND)


@lease.command("revoke")
@click.argument("site")
@click.argument("ip")
@click.option("--cause", default="operator", help="Why; stands in the log.")
@redis_option
def lease_revoke(site: str, ip: str, cause: str, url: str) -> None:
    """End the binding of IP at SITE; the address rests until its last promise has passed."""
    if not run(_revoke(url, site, ip, f"{cause}:{user()}")):
        click.echo(f"nobody holds {ip} at {site}", err=True)
        sys.exit(EXIT_NOT_FOUND)
    click.echo(f"asked to revoke {ip} at {site}; follow it with: leasectl events tail {site}")


async def _ledger(url: str, site: str) -> Ledger:
    async with opened(url, site) as log:
        return (await replay(log))[0]


async def _revoke(url: str, site: str, ip: str, cause: str) -> bool:
    """Ask the allocator; False = the log has no binding of the address."""
    address = ip_from_text(ip)
    command = RevokeLease(req=secrets.token_hex(6), ip=address, cause=cause)
    if fault := fault_of(command):
        raise InvalidValueError(fault)
    async with opened(url, site) as log:
        ledger, _ = await replay(log)
        if address not in ledger.bound:
            return False
        await log.send(command, f"operator:{user()}")
    return True


def _rows(ledger: Ledger) -> Iterator[dict[str, object]]:
    for binding in ledger.bound.values():
        yield _row(binding, "bound")
    for removal in ledger.removed.values():
        if removal.quarantine_s is None:
            state = "awaiting the edge"
        else:
            state = f"quarantined {removal.quarantine_s} s"
        yield _row(removal.binding, state)


def _row(binding: Binding, state: str) -> dict[str, object]:
    return {
        "ip": ip_text(binding.ip),
        "mac": mac_text(binding.mac),
        "line": binding.line,
        "pool": binding.pool,
        "state": state,
        "since_seq": binding.seq,
    }
