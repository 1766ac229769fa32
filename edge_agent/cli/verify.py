"""edgectl verify: whether the pinned tables say what the log says, and mend them."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from edge_agent.agent.config import EdgeConfig
from edge_agent.cli.inspect import absent, json_option, lines_of, pinned
from edge_agent.cli.run import EXIT_UNAVAILABLE, config_option, load_config
from edge_agent.datapath.port import Datapath
from edge_agent.sync.drift import Drift, drift_of
from edge_agent.sync.lines import Lines
from edge_agent.sync.projection import Projection
from edge_agent.sync.reconcile import reconcile
from lease_core.clock import boot_ns
from lease_core.domain.ledger import Ledger, LedgerError
from lease_core.domain.values import ip_text, mac_text
from lease_core.log.connecting import connect
from lease_core.log.port import LogError, LogUnavailableError
from lease_core.log.reader import BrokenChainError, GapError
from lease_core.log.replay import ledger_at

EXIT_DRIFT = 1
EXIT_DATA = 65
ALIVE_NS = 10_000_000_000
"""An agent touches the tables every second; one that did so this recently is running."""

MAX_LOOKS = 5


@click.command()
@config_option
@click.option("--repair", is_flag=True, help="Make the tables right; the agent must be stopped.")
@json_option
def verify(path: Path, *, repair: bool, as_json: bool) -> None:
    """Compare the pinned tables with the log at their cursor; show every subscriber that differs.

    Ends with 1 where something differs and is not repaired.
    """
    config = load_config(path)
    if missing := absent(config):
        fail(
            f"there is no interface {', '.join(missing)}, so its lines have no numbers; "
            "bring it up, or take it out of the configuration",
            EXIT_UNAVAILABLE,
        )
    lines = lines_of(config)
    with pinned(path, writable=repair) as datapath:
        if repair and boot_ns() - datapath.state().touched_boot_ns < ALIVE_NS:
            fail("the agent is running; stop it before a repair", EXIT_UNAVAILABLE)
        ledger, drift = _compared(config, datapath, lines)
        for each in drift:
            click.echo(json.dumps(_row(each)) if as_json else _line(each))
        if repair and drift:
            mended = _repaired(config, datapath, lines, ledger)
            click.echo(f"{mended} bindings were wrong and are mended", err=True)
            drift = drift_of(datapath, lines, ledger)
    click.echo(f"{len(drift)} differences at event {ledger.seq}", err=True)
    sys.exit(EXIT_DRIFT if drift else 0)


def _repaired(config: EdgeConfig, datapath: Datapath, lines: Lines, ledger: Ledger) -> int:
    """Make the tables right for these lines; how many bindings were wrong.

    An agent with other lines, and one that comes after half a repair, makes them anew.
    """
    datapath.set_state(replace(datapath.state(), lines=0))
    mended = reconcile(Projection(datapath, lines, config.max_subscribers), ledger, boot_ns())
    datapath.set_state(replace(datapath.state(), lines=lines.fingerprint()))
    return mended


def fail(text: str, code: int) -> NoReturn:
    click.echo(f"edgectl: {text}", err=True)
    sys.exit(code)


def _compared(config: EdgeConfig, datapath: Datapath, lines: Lines) -> tuple[Ledger, list[Drift]]:
    """The ledger at the tables' cursor, and where they differ from it."""
    ledger, drift = Ledger(), list[Drift]()
    for _ in range(MAX_LOOKS):
        seq = datapath.state().cursor_lo
        ledger = _ledger(config, datapath.state().genesis.hex(), seq)
        drift = drift_of(datapath, lines, ledger)
        if datapath.state().cursor_lo == datapath.state().cursor_hi == seq:
            return ledger, drift
    fail("the agent applies events faster than the tables can be read", EXIT_UNAVAILABLE)


def _ledger(config: EdgeConfig, genesis: str, seq: int) -> Ledger:
    async def read() -> Ledger:
        log = connect(config.redis, config.site)
        try:
            return await ledger_at(log, seq, genesis)
        finally:
            await log.close()

    try:
        return asyncio.run(read())
    except LogUnavailableError as error:
        fail(str(error), EXIT_UNAVAILABLE)
    except (LogError, GapError, BrokenChainError, LedgerError) as error:
        fail(f"the log cannot be compared with: {error}", EXIT_DATA)


def _row(drift: Drift) -> dict[str, str]:
    return {
        "mac": mac_text(drift.mac),
        "ip": ip_text(drift.ip),
        "line": drift.line,
        "tables": drift.tables,
        "log": drift.log,
    }


def _line(drift: Drift) -> str:
    return "{mac}  {ip:15}  {line:16}  tables: {tables}; log: {log}".format(**_row(drift))
