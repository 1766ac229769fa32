"""The compose file against the service it starts: settings, rights, plan and edges."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.agent.config import EdgeConfig
from lease_core.config import load
from scripts.demo import SITES

COMPOSE = Path(__file__).parents[2] / "compose"
RIGHTS = {"BPF", "NET_ADMIN", "PERFMON", "NET_RAW", "NET_BIND_SERVICE"}
EDGES = [f"edge-{site}" for site in SITES]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    return found


def test_it_is_the_topology_of_the_demo(services: dict[str, Any]) -> None:
    """Same sites with the same prefixes, one edge each."""
    planned = services["plan"]["environment"]["SITES"].split()
    assert dict(entry.split("=") for entry in planned) == SITES
    assert set(services) == {"redis", "allocator", "plan", *EDGES}


def test_redis_keeps_what_it_acknowledged(services: dict[str, Any]) -> None:
    """Invariant I2 rests on these settings; the nodes of streams are for memory."""
    words = services["redis"]["command"]
    settings = dict(zip(words[1::2], words[2::2], strict=True))
    assert settings == {
        "--appendonly": "yes",
        "--appendfsync": "always",
        "--aof-load-truncated": "no",
        "--maxmemory-policy": "noeviction",
        "--save": "",
        "--stream-node-max-bytes": "16384",
        "--stream-node-max-entries": "1000",
    }
    assert services["redis"]["volumes"] == ["log:/data"]


@pytest.mark.parametrize("site", SITES)
def test_an_edge_serves_its_site(services: dict[str, Any], site: str) -> None:
    """Its configuration has no faults and it reaches Redis where compose publishes it."""
    edge = services[f"edge-{site}"]
    assert f"./{site}.toml:/etc/lease/edge.toml:ro" in edge["volumes"]
    config = load(COMPOSE / f"{site}.toml", EdgeConfig)
    assert (config.site, config.datapath) == (site, "xdp")
    assert config.pins.is_relative_to("/sys/fs/bpf")
    assert "/sys/fs/bpf:/sys/fs/bpf" in edge["volumes"]
    assert edge["network_mode"] == "host"
    assert services["redis"]["ports"] == [f"{config.redis.url[len('redis://') : -len('/0')]}:6379"]


def test_edges_have_interfaces_of_their_own() -> None:
    """Both run on one host, so a frame belongs to one of them."""
    taken = [load(COMPOSE / f"{site}.toml", EdgeConfig).interfaces for site in SITES]
    assert len({name for names in taken for name in names}) == sum(map(len, taken))


def test_nobody_has_more_rights_than_needed(services: dict[str, Any]) -> None:
    """No privileged container; only edges may touch the network and BPF."""
    for name, service in services.items():
        assert "privileged" not in service
        assert set(service.get("cap_add", ())) == (RIGHTS if name in EDGES else set())
        if name != "redis":
            assert service["cap_drop"] == ["ALL"]
            assert service["read_only"]
            assert service["security_opt"] == ["no-new-privileges:true"]


def test_everything_is_watched_and_in_order(services: dict[str, Any]) -> None:
    """Whoever runs has a health check; Redis, allocator, plan, edges start in this order."""
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"plan"}
    assert services["allocator"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert services["plan"]["depends_on"] == {"allocator": {"condition": "service_healthy"}}
    for edge in EDGES:
        wanted = {"plan": {"condition": "service_completed_successfully"}}
        assert services[edge]["depends_on"] == wanted


def test_the_plan_is_a_sound_script() -> None:
    """The shell accepts it."""
    subprocess.run(["sh", "-n", COMPOSE / "plan"], check=True)


def test_the_image_has_no_compiler_and_no_bcc_from_the_index() -> None:
    """What runs has the distribution's bcc and libbpf; the compiler stays in the build stage."""
    build, final = (COMPOSE / "Containerfile").read_text().split("\nFROM ")
    assert "clang" in build
    assert "clang" not in final
    assert {"python3-bpfcc", "libbpf1", "iproute2"} <= set(final.split())
