"""edgectl status, map, detach: what stands in the kernel, with or without a running agent."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from edge_agent.agent.config import EdgeConfig
from edge_agent.agent.status import read_status
from edge_agent.cli.run import EXIT_UNAVAILABLE, config_option, load_config
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.tables import Assignment, SubscriberKey, holder
from edge_agent.sync.lines import Lines
from edge_agent.sync.removals import TOMBSTONE, UNSERVED_POOL, discriminator
from lease_core.clock import boot_ns
from lease_core.domain.values import ip_text, mac_text

SECOND_NS = 1_000_000_000
TOLD = (
    "following",
    "applied",
    "horizon_left_s",
    "heartbeats_unanswered",
    "waiting",
    "stock",
    "unserved",
)
"""What `status` shows of the agent's report."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def pinned(path: Path, *, writable: bool = False) -> Iterator[XdpDatapath]:
    """The site's pinned tables, or the end of the program with the reason."""
    config = load_config(path)
    try:
        opened = (
            XdpDatapath.open(config.pins, config.max_subscribers, has_circuits=config.has_circuits)
            if writable
            else XdpDatapath.open_pinned(config.pins)
        )
    except FastPathError as error:
        click.echo(f"edgectl: {error}", err=True)
        sys.exit(EXIT_UNAVAILABLE)
    with opened:
        yield opened


@click.command()
@config_option
@json_option
def status(path: Path, *, as_json: bool) -> None:
    """Show how the agent fares, and horizon, cursor, interfaces and counters of the kernel.

    Asks nobody but this router.
    """
    told = read_status(load_config(path).status)
    found = _of_agent(told)
    if told.get("datapath") != MemoryDatapath.kind:
        with pinned(path) as datapath:
            found |= _of_kernel(datapath)
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for key, number in value.items():
                click.echo(f"  {key:22} {number}")
        else:
            click.echo(f"{name:24} {value}")


def _of_agent(told: dict[str, str]) -> dict[str, object]:
    """What it said last; nothing where it was stopped."""
    if not told:
        return {}
    age_s = time.time() - int(told["at_ms"]) / 1000
    return {"told_s_ago": max(0, int(age_s))} | {name: told[name] for name in TOLD if name in told}


def _of_kernel(datapath: XdpDatapath) -> dict[str, object]:
    state, now_ns = datapath.state(), boot_ns()
    told, untaken = datapath.notices.counts()
    counters = {name: number for name, number in datapath.counters().items() if number}
    return {
        "datapath": datapath.kind,
        "interfaces": ", ".join(
            f"{name} ({at.mode})" for name, at in datapath.attachments().items()
        ),
        "gate": "open" if state.gate else "closed",
        "horizon_left_s": max(0, state.horizon_boot_ns - now_ns) // SECOND_NS,
        "agent_silent_s": max(0, now_ns - state.touched_boot_ns) // SECOND_NS,
        "epoch": state.epoch,
        "cursor": f"{state.cursor_commit_ms}-{state.cursor_lo}",
        "log": state.genesis.hex(),
        "incarnation": state.life,
        "notices": f"{told}, {untaken} of them not taken by the agent yet",
        "counters": counters,
    }


@click.command("map")
@config_option
@json_option
def show_map(path: Path, *, as_json: bool) -> None:
    """Show every binding in subscriber_pools with what it was promised."""
    config = load_config(path)
    with pinned(path) as datapath:
        lines = lines_of(config)
        pools = {number: pool.name for number, pool in datapath.pools()}
        for key, found in datapath.entries():
            row = _row(datapath, lines, pools, (key, found))
            click.echo(
                json.dumps(row)
                if as_json
                else "{mac}  {ip:15}  {line:16}  {pool:12}  {state:8}  promised {promised_s} s, "
                "event {seq}".format(**row)
            )


def _row(
    datapath: XdpDatapath,
    lines: Lines,
    pools: dict[int, str],
    entry: tuple[SubscriberKey, Assignment],
) -> dict[str, object]:
    key, found = entry
    left_ns = datapath.promise(found.slot) - boot_ns()
    return {
        "mac": mac_text(holder(key, found)),
        "ip": ip_text(found.ip),
        "line": lines.text(found.line),
        "pool": pools.get(found.pool_id, str(found.pool_id)),
        "state": _state(key, found),
        "promised_s": max(0, left_ns // SECOND_NS),
        "seq": found.seq,
    }


def _state(key: SubscriberKey, found: Assignment) -> str:
    if discriminator(key) < TOMBSTONE:
        return "bound"
    return "unserved" if found.pool_id == UNSERVED_POOL else "removed"


@click.command()
@config_option
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
def detach(path: Path, *, yes: bool) -> None:
    """Take the program off the interfaces: the kernel stops answering; tables stay pinned."""
    with pinned(path, writable=True) as datapath:
        for name, at in datapath.attachments().items():
            if yes:
                datapath.detach(name)
            click.echo(f"{'detached' if yes else 'would detach'} {at} from {name}")


def lines_of(config: EdgeConfig) -> Lines:
    """The access interfaces of an edge, with the numbers that they have now; no absent ones."""
    numbers = {name: number for number, name in socket.if_nameindex()}
    ports = [port for port in config.ports if port.interface in numbers]
    return Lines(
        {port.interface: numbers[port.interface] for port in ports},
        {port.interface: port.key_mode for port in ports},
    )


def absent(config: EdgeConfig) -> list[str]:
    """Access interfaces that this host does not have now."""
    present = {name for _, name in socket.if_nameindex()}
    return [port.interface for port in config.ports if port.interface not in present]
