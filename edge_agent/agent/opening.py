"""Opening: what an agent takes of the machine before it serves, and why it may not have it."""

import asyncio
import socket

import structlog

from edge_agent.agent.config import EdgeConfig
from edge_agent.datapath.errors import FastPathError
from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.packet_socket import PacketSocketError
from edge_agent.datapath.port import Datapath
from edge_agent.datapath.xdp import XdpDatapath
from edge_agent.dhcp.codes import SERVER_PORT
from lease_core.clock import boot_offset_s
from lease_core.log.port import LogError, SiteLog

audit = structlog.get_logger("edge")

ASK_AGAIN_S = 5.0


def open_datapath(config: EdgeConfig) -> Datapath:
    """The kernel's tables where the kernel lets us, else ours.

    Raises:
        FastPathError: XDP was demanded and is not to be had.
    """
    if config.datapath != "user":
        try:
            return _open_xdp(config)
        except FastPathError as error:
            if config.datapath == "xdp":
                raise
            audit.warning("datapath.fallback", kind=MemoryDatapath.kind, reason=str(error))
    return MemoryDatapath(config.max_subscribers)


def _open_xdp(config: EdgeConfig) -> XdpDatapath:
    if offset_s := boot_offset_s():
        raise FastPathError(
            f"this process is in a time namespace, {offset_s} s off the kernel's clock, so it "
            "cannot tell the kernel until when to answer; start it in the host's"
        )
    datapath = XdpDatapath.open(
        config.pins,
        config.max_subscribers,
        has_circuits=config.has_circuits,
        only_on=[port.interface for port in config.ports],
    )
    for name in datapath.left:
        audit.warning("interface.left", interface=name, site=config.site, edge=config.edge)
    for port in config.ports:
        datapath.attach(port.interface)
    return datapath


def hold_port(interface: str) -> socket.socket:
    """Bind the server port so that the host sends no "port unreachable" to renewing clients.

    Frames are read by the packet socket; what arrives here is dropped unread.

    Raises:
        PacketSocketError: another DHCP server has the port.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        holder.bind(("", SERVER_PORT))
    except OSError as error:
        holder.close()
        raise PacketSocketError(
            f"UDP port {SERVER_PORT} on {interface}: {error.strerror}; is a DHCP server there?"
        ) from error
    return holder


async def warn_of_settings(log: SiteLog) -> None:
    """Say once how the server may lose leases; to refuse it is the allocator's part."""
    while True:
        try:
            faults = await log.settings_faults()
        except LogError:
            await asyncio.sleep(ASK_AGAIN_S)
        else:
            break
    for fault in faults:
        audit.warning("redis.unsafe", site=log.site, reason=fault)
