"""leasectl verify: whether log, snapshots and edges tell one story."""

import secrets
import sys

import click

from lease_core.cli.common import json_option, opened, redis_option, run, show, user
from lease_core.domain.commands import ConfirmSnapshot
from lease_core.log.port import SiteLog
from lease_core.log.snapshot_port import SnapshotMeta
from lease_core.log.verify import Verification, verify

EXIT_DIFFERENCE = 1

COLUMNS = ("who", "seq", "told", "log_says", "verdict")


@click.command("verify")
@click.argument("site")
@click.option("--read-only", is_flag=True, help="Record no verification in the log.")
@redis_option
@json_option
def verify_site(site: str, url: str, *, read_only: bool, as_json: bool) -> None:
    """Compare a replay of SITE with its snapshots and with what its edges report.

    A snapshot that is found right is said to be so in the log, which trimming asks for. Ends with
    1 where anything differs.
    """
    found = run(_verified(url, site, read_only=read_only))
    show(_rows(found), COLUMNS, as_json=as_json)
    if found.difference:
        click.echo(f"{site}: replay and snapshot + tail differ at {found.difference}", err=True)
    sys.exit(0 if found.is_equal else EXIT_DIFFERENCE)


async def _verified(url: str, site: str, *, read_only: bool) -> Verification:
    async with opened(url, site) as log:
        found = await verify(log)
        if found.unconfirmed and found.is_equal and not read_only:
            await _confirm(log, found.unconfirmed)
    return found


async def _confirm(log: SiteLog, meta: SnapshotMeta) -> None:
    """Ask the allocator to record that another process came to the same digest."""
    verifier = f"leasectl#{secrets.token_hex(4)}"
    command = ConfirmSnapshot(req=verifier, covers=meta.seq, digest=meta.digest, verifier=verifier)
    await log.send(command, f"operator:{user()}")


def _rows(found: Verification) -> list[dict[str, object]]:
    start = f"after event {found.started}" if found.started else "from the first event"
    rows: list[dict[str, object]] = [
        {
            "who": f"replay {start}",
            "seq": found.seq,
            "told": found.digest,
            "log_says": found.digest,
            "verdict": "differs" if found.difference else "equal",
        }
    ]
    for each in found.compared:
        verdict = "differs" if each.differs else "equal" if each.expected else "not to be told"
        rows.append(
            {
                "who": each.who,
                "seq": each.seq,
                "told": each.told or "unreadable",
                "log_says": each.expected,
                "verdict": verdict,
            }
        )
    return rows
