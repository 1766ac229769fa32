"""edgectl packet: run a client's message through the loaded program and show what comes out."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from edge_agent.cli.inspect import pinned
from edge_agent.cli.run import EXIT_UNAVAILABLE, config_option
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp import codes, probe
from edge_agent.dhcp.classify import RequestState
from edge_agent.dhcp.tables import subscriber_key
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
EXIT_PASSED = 1
EXIT_USAGE = 2

_ADDRESSES = {1: "subnet mask", 3: "routers", 6: "dns", 54: "server id"}
_SECONDS = {51: "lease time", 58: "T1", 59: "T2"}


@click.command()
@click.argument("mac_text")
@click.option("--type", "kind", type=click.Choice(["discover", "request"]), default="discover")
@click.option(
    "--state",
    type=click.Choice([state.value for state in RequestState]),
    default=RequestState.RENEWING.value,
    show_default=True,
    help="What the client that sends the request is doing.",
)
@click.option("--ip", help="The address it asks for; the bound one unless told.")
@config_option
def packet(mac_text: str, *, kind: str, state: str, ip: str | None, path: Path) -> None:
    """Judge a message of MAC by the program as it is loaded, without a wire.

    Nothing is sent, but a request that is answered counts as a promise, as on the wire.
    """
    try:
        mac, wanted = mac_from_text(mac_text), ip_from_text(ip) if ip else None
    except InvalidValueError as error:
        click.echo(f"edgectl: {error}", err=True)
        sys.exit(EXIT_USAGE)
    with pinned(path) as datapath:
        frame = _message(datapath, mac, kind, RequestState(state), wanted)
        before = datapath.counters()
        action, answer = datapath.test_run(frame, _ifindex(datapath, mac))
        after = datapath.counters()
    moved = [name for name, number in after.items() if number > before[name]]
    click.echo(
        f"{kind} of {mac_text}: {', '.join(moved) or 'not counted: no DHCP for the program'}"
    )
    if action != XDP_TX:
        sys.exit(EXIT_PASSED)
    for line in _decoded(answer):
        click.echo(f"  {line}")


def _message(
    datapath: XdpDatapath, mac: Mac, kind: str, state: RequestState, wanted: Ipv4 | None
) -> bytes:
    bound = datapath.lookup(subscriber_key(mac))
    pool = datapath.pool(bound.pool_id) if bound else None
    ip = wanted or (bound.ip if bound else NO_IP)
    if kind == "discover":
        return probe.discover(mac, wanted=wanted or NO_IP)
    return probe.request(mac, state, ip, pool.server_id if pool else NO_IP)


def _ifindex(datapath: XdpDatapath, mac: Mac) -> int:
    """The subscriber's own line, or the first interface that the program sits on."""
    bound = datapath.lookup(subscriber_key(mac))
    if bound:
        return bound.line.ifindex
    devices = list(datapath.attachments())
    if not devices:
        click.echo("edgectl: the program sits on no interface of this network namespace", err=True)
        sys.exit(EXIT_UNAVAILABLE)
    return socket.if_nametoindex(devices[0])


def _decoded(reply: bytes) -> Iterator[str]:
    """A reply in words, the headers first, then each option."""
    yield f"to          {reply[:6].hex(':')} {ip_text(Ipv4(int.from_bytes(reply[30:34])))}"
    yield f"server      {reply[6:12].hex(':')} {ip_text(Ipv4(int.from_bytes(reply[26:30])))}"
    bootp = reply[HEADERS:]
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
