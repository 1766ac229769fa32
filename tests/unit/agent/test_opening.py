"""What an agent takes of the machine before it serves."""

import socket

import pytest
from structlog.testing import capture_logs

from edge_agent.agent import opening
from edge_agent.agent.opening import hold_port, warn_of_settings
from edge_agent.datapath.packet_socket import PacketSocketError
from lease_core.log.memory_log import MemoryLog
from lease_core.log.port import LogUnavailableError


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port in place of 67, which needs rights and may be in use."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    monkeypatch.setattr(opening, "SERVER_PORT", number)
    return number


def test_the_port_is_held_so_that_nobody_is_told_it_is_closed(port: int) -> None:
    """A client's unicast finds the port open: the host sends no ICMP error, and nobody reads it."""
    with (
        hold_port("lo"),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.connect(("127.0.0.1", port))
        client.send(b"renewal")
        client.send(b"again: an ICMP error would be raised here")


def test_another_server_on_the_port_is_told(port: int) -> None:
    """A DHCP server that is there already ends the start with its place, not with a traceback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", port))
        with pytest.raises(PacketSocketError, match=f"UDP port {port} on lo: .*DHCP server there"):
            hold_port("lo")


def test_an_interface_that_is_not_there_is_told(port: int) -> None:
    """The name stands in the refusal."""
    with pytest.raises(PacketSocketError, match=f"UDP port {port} on ghost0"):
        hold_port("ghost0")


class Unsafe(MemoryLog):
    outages = 2

    async def settings_faults(self) -> list[str]:
        if self.outages:
            self.outages -= 1
            raise LogUnavailableError("not now")
        return ["appendfsync is everysec", "appendonly is no"]


async def test_settings_that_lose_leases_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent asks until the server answers, then says each fault once and goes on (I2)."""
    monkeypatch.setattr(opening, "ASK_AGAIN_S", 0)
    with capture_logs() as lines:
        await warn_of_settings(Unsafe("ams01"))

    told = [(line["event"], line["log_level"], line["reason"]) for line in lines]
    assert told == [
        ("redis.unsafe", "warning", "appendfsync is everysec"),
        ("redis.unsafe", "warning", "appendonly is no"),
    ]
