"""edgectl packet: run a client's message through the kernel program and show what comes out."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from edge_agent.cli.inspect import lines_of, pinned
from edge_agent.cli.run import EXIT_UNAVAILABLE, config_option, load_config
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.trial import Judged
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp import codes, probe
from edge_agent.dhcp.classify import RequestState
from edge_agent.dhcp.tables import Assignment, Line, holder
from edge_agent.sync.removals import TOMBSTONE, discriminator
from lease_core.domain.values import (
    NO_IP,
    InvalidValueError,
    Ipv4,
    Mac,
    ip_from_text,
    ip_text,
    mac_from_text,
)

XDP_TX = 3
HEADERS = 42
OTHER_PROGRAM = "another release of the program serves until the agent is started anew"
EXIT_PASSED = 1
EXIT_USAGE = 2

_ADDRESSES = {1: "subnet mask", 3: "routers", 6: "dns", 54: "server id"}
_SECONDS = {51: "lease time", 58: "T1", 59: "T2"}


@click.command()
@click.argument("mac_text")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["discover", "request", "inform", "release"]),
    default="discover",
)
@click.option(
    "--state",
    type=click.Choice([state.value for state in RequestState]),
    default=RequestState.RENEWING.value,
    show_default=True,
    help="What the client that sends the request is doing.",
)
@click.option("--ip", help="The address it asks for; the bound one unless told.")
@click.option(
    "--line",
    "line_text",
    help="Where it comes in: access0, access0:100.7, access1#192.0.2.7=port-4; "
    "the line of its binding unless told.",
)
@config_option
def packet(
    mac_text: str, *, kind: str, state: str, ip: str | None, line_text: str | None, path: Path
) -> None:
    """Judge a message of MAC by the kernel program on the tables as they are, without a wire.

    Nothing is sent, promised, taken from the stock or counted: the program is loaded once more for
    it.
    """
    try:
        mac, wanted = mac_from_text(mac_text), ip_from_text(ip) if ip else None
    except InvalidValueError as error:
        _fail(str(error), EXIT_USAGE)
    lines = lines_of(load_config(path))
    with pinned(path) as datapath:
        line = lines.parse(line_text) if line_text else None
        if line_text and line is None:
            _fail(f"{line_text!r} is no line of this edge; `edgectl map` names some", EXIT_USAGE)
        bound = _binding(datapath, mac, line)
        line = line or (bound.line if bound else Line(_first_ifindex(datapath)))
        way = _way(datapath, line)
        client = _client(datapath, mac, wanted, bound)
        frame = _message(kind, RequestState(state), client, way)
        judged = _judged(datapath, frame, line.ifindex)
    verdict = judged.counter or "not counted: no DHCP for the program"
    click.echo(f"{kind} of {mac_text} on {lines.text(line)}: {verdict}")
    if judged.action != XDP_TX:
        sys.exit(EXIT_PASSED)
    for told in _decoded(judged.frame, HEADERS + len(way.tags)):
        click.echo(f"  {told}")


def _judged(datapath: XdpDatapath, frame: bytes, ifindex: int) -> Judged:
    """The verdict on a frame; warns if it is not of the program that serves."""
    try:
        with datapath.trial() as trial:
            if not datapath.is_program_of(trial):
                click.echo(f"edgectl: {OTHER_PROGRAM}", err=True)
            return trial.judge(frame, ifindex)
    except FastPathError as error:
        _fail(str(error), EXIT_UNAVAILABLE)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"edgectl: {text}", err=True)
    sys.exit(code)


def _binding(datapath: XdpDatapath, mac: Mac, line: Line | None) -> Assignment | None:
    """A binding of the MAC that may be answered, on a line or on any; looks at every entry."""
    return next(
        (
            found
            for key, found in datapath.entries()
            if holder(key, found) == mac
            and line in (None, found.line)
            and discriminator(key) < TOMBSTONE
        ),
        None,
    )


def _way(datapath: XdpDatapath, line: Line) -> probe.Way:
    """How a message of a line comes in: where relays speak, through one of them."""
    port = datapath.port(line.ifindex)
    giaddr = line.giaddr or (port.relays[0] if port and port.relays else NO_IP)
    return probe.Way(line.s_vlan, line.c_vlan, giaddr, line.circuit)


class _Client(NamedTuple):
    """Who asks: `wanted` is what --ip says, `ip` that or the bound address."""

    mac: Mac
    wanted: Ipv4
    ip: Ipv4
    server_id: Ipv4


def _client(
    datapath: XdpDatapath, mac: Mac, wanted: Ipv4 | None, bound: Assignment | None
) -> _Client:
    pool = datapath.pool(bound.pool_id) if bound else None
    ip = wanted or (bound.ip if bound else NO_IP)
    return _Client(mac, wanted or NO_IP, ip, pool.server_id if pool else NO_IP)


def _message(kind: str, state: RequestState, client: _Client, way: probe.Way) -> bytes:
    mac, wanted, ip, server_id = client
    match kind:
        case "discover":
            return probe.discover(mac, wanted=wanted, way=way)
        case "inform":
            return probe.inform(mac, ip, way=way)
        case "release":
            return probe.release(mac, ip, server_id, way=way)
        case _:
            return probe.request(mac, state, ip, server_id, way=way)


def _first_ifindex(datapath: XdpDatapath) -> int:
    """The first interface that the program sits on."""
    devices = list(datapath.attachments())
    if not devices:
        _fail("the program sits on no interface of this network namespace", EXIT_UNAVAILABLE)
    return socket.if_nametoindex(devices[0])


def _decoded(reply: bytes, headers: int) -> Iterator[str]:
    """A reply in words, its `headers` octets of headers first, then each option."""
    server, to = reply[headers - 16 : headers - 12], reply[headers - 12 : headers - 8]
    yield f"to          {reply[:6].hex(':')} {ip_text(Ipv4(int.from_bytes(to)))}"
    yield f"server      {reply[6:12].hex(':')} {ip_text(Ipv4(int.from_bytes(server)))}"
    bootp = reply[headers:]
    yield f"yiaddr      {ip_text(Ipv4(int.from_bytes(bootp[16:20])))}"
    at = 240
    while bootp[at] != codes.END:
        code, length = bootp[at], bootp[at + 1]
        yield _option(code, bootp[at + 2 : at + 2 + length])
        at += 2 + length
    yield f"octets      {len(bootp)} of BOOTP"


def _option(code: int, value: bytes) -> str:
    if code == codes.MESSAGE_TYPE:
        return f"{'message':11} {codes.MessageType(value[0]).name}"
    if code in _ADDRESSES:
        addresses = (value[i : i + 4] for i in range(0, len(value), 4))
        return f"{_ADDRESSES[code]:11} " + " ".join(
            ip_text(Ipv4(int.from_bytes(octets))) for octets in addresses
        )
    if code in _SECONDS:
        return f"{_SECONDS[code]:11} {int.from_bytes(value)} s"
    return f"option {code:<4} {value.hex()}"
