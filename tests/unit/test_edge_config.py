"""The access interfaces of an edge: short form, `[[port]]`, and every fault named."""

import pytest

from edge_agent.agent.config import EdgeConfig
from edge_agent.dhcp.tables import KeyMode
from lease_core.config import ConfigError, check
from lease_core.domain.values import Mac

PORT_MAC = Mac(0x02AA00000001)
BASE: dict[str, object] = {"site": "ams01", "edge": "ams01-bng1"}


def checked(**more: object) -> EdgeConfig:
    return check(BASE | more, EdgeConfig, "edge.toml")


def test_both_forms_name_interfaces() -> None:
    """A name alone is a port for clients themselves; `[[port]]` says more about one."""
    config = checked(
        interfaces=["access0"],
        port=[{"interface": "access1", "relays": ["192.0.2.7", "192.0.2.8"], "key": "circuit"}],
    )

    assert [port.interface for port in config.ports] == ["access0", "access1"]
    assert [port.key_mode for port in config.ports] == [KeyMode.MAC, KeyMode.CIRCUIT]
    assert config.has_circuits
    relays = [port.as_port(PORT_MAC).relays for port in config.ports]
    assert relays == [(), (0xC0000207, 0xC0000208)]


def test_a_line_of_its_own_is_limited() -> None:
    """Where a line is a subscriber's it has 8 unless told; where many share it, any number."""
    ports = [
        {"interface": "a0"},
        {"interface": "a1", "key": "line"},
        {"interface": "a2", "key": "line", "subscribers_per_line": 2},
        {"interface": "a3", "subscribers_per_line": 500},
        {"interface": "a4", "key": "line", "relays": ["192.0.2.7"]},
        {"interface": "a5", "key": "circuit", "relays": ["192.0.2.7"]},
    ]

    limits = [port.per_line for port in checked(port=ports).ports]
    assert limits == [None, 8, 2, 500, None, 8]
    with pytest.raises(ConfigError, match=r"port\.0\.subscribers_per_line"):
        checked(port=[{"interface": "a0", "subscribers_per_line": 0}])


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, "no interface"),
        ({"interfaces": ["a0", "a0"]}, "named twice"),
        ({"interfaces": ["a0"], "port": [{"interface": "a0"}]}, "named twice"),
        ({"port": [{"interface": "a0"}, {"interface": "a0"}]}, "named twice"),
        ({"port": [{"interface": "a0", "relays": ["192.0.2.7"] * 2}]}, "port.0.relays.*twice"),
        ({"port": [{"interface": "a0", "relays": ["0.0.0.0"]}]}, "port.0.relays.0.*no address"),
        ({"port": [{"interface": "a0", "relays": ["224.0.0.1"]}]}, "no address of a relay"),
        ({"port": [{"interface": "a0", "relays": ["relay.example"]}]}, "IPv4"),
        (
            {"port": [{"interface": "a0", "relays": [f"192.0.2.{n}" for n in range(1, 6)]}]},
            "at most 4",
        ),
        ({"port": [{"interface": "a0", "relay": []}]}, "port.0.relay.*no such setting"),
        ({"port": [{"interface": "a0", "key": "vlan"}]}, "port.0.key"),
        ({"port": [{"interface": "a0", "key": "circuit"}]}, "port.0.*needs relays"),
        (
            {"port": [{"interface": "a0", "trusted": True, "relays": ["192.0.2.7"]}]},
            "port.0.*trusted is for",
        ),
        ({"port": [{"interface": "a0", "line_rate": 30_001}]}, "port.0.line_rate"),
        ({"port": [{"interface": "a0", "mac_rate": -1}]}, "port.0.mac_rate"),
        ({"port": [{"relays": []}]}, "port.0.interface: required"),
        ({"port": [{"interface": "much-too-long-a-name"}]}, "port.0.interface"),
    ],
)
def test_faults_are_told(more: dict[str, object], told: str) -> None:
    """A port that cannot be served is refused at the start, by its place in the file."""
    with pytest.raises(ConfigError, match=told):
        checked(**more)


def test_all_faults_are_told_at_once() -> None:
    """Two wrong ports are two sentences of one message."""
    ports = [{"interface": "a 0"}, {"interface": "a1", "relays": ["0.0.0.0"]}]
    with pytest.raises(ConfigError, match=r"(?s)2 fault\(s\).*port\.0.*port\.1"):
        checked(port=ports)


@pytest.mark.parametrize(
    ("port", "line", "mac"),
    [
        ({}, (12_000, 20_000), (5, 20)),
        ({"key": "line"}, (50, 100), (5, 20)),
        ({"key": "line", "relays": ["192.0.2.7"]}, (12_000, 20_000), (5, 20)),
        ({"key": "circuit", "relays": ["192.0.2.7"]}, (50, 100), (5, 20)),
        ({"key": "circuit", "trusted": True}, (50, 100), (5, 20)),
        ({"line_rate": 0, "mac_rate": 0}, (0, 0), (0, 0)),
        ({"key": "line", "line_rate": 7, "mac_rate": 1}, (7, 14), (1, 4)),
    ],
)
def test_limits_of_a_port(
    port: dict[str, object], line: tuple[int, int], mac: tuple[int, int]
) -> None:
    """A shared line has room for a segment, an own one for a household; 0 takes the limit away."""
    (config,) = checked(port=[{"interface": "a0", **port}]).ports
    found = config.as_port(PORT_MAC)
    assert (found.line_limit, found.mac_limit) == (line, mac)
