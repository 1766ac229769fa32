"""Where Redis is: every way to say it, and every fault of that named with its place."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge_agent.agent.config import EdgeConfig
from lease_core.cli.common import endpoint
from lease_core.cli.main import main
from lease_core.config import ConfigError, check
from lease_core.endpoint import DEFAULT_URL, Endpoint
from lease_core.log.locating import parse
from lease_core.service.config import AllocatorConfig

ADDRESSES = ["192.0.2.1:6379", "[2001:db8::1]:6380", "redis.example:6381"]


def checked(redis: object) -> Endpoint:
    return check({"redis": redis}, AllocatorConfig, "allocator.toml").redis


def test_one_setting_for_all() -> None:
    """A text is a URL; a table names sentinels, nodes or a URL; the default is this machine."""
    assert checked("rediss://host/0").is_tls
    assert checked({"nodes": ADDRESSES}).nodes == tuple(ADDRESSES)
    assert checked({"sentinels": ADDRESSES, "master": "lease", "tls": True}).is_tls
    assert AllocatorConfig().redis.url == DEFAULT_URL
    edge = {"site": "a", "edge": "b", "interfaces": ["c"], "redis": {"nodes": ADDRESSES}}
    assert check(edge, EdgeConfig, "edge.toml").redis.nodes
    assert list(map(parse, ADDRESSES)) == [
        ("192.0.2.1", 6379), ("2001:db8::1", 6380), ("redis.example", 6381),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("redis", "words"),
    [
        ({}, "exactly one of url, sentinels and nodes"),
        ({"url": DEFAULT_URL, "nodes": ADDRESSES}, "exactly one"),
        ({"url": "http://x"}, "no address of a Redis"),
        ("redis://host:port", "Port could not be cast"),
        ({"sentinels": ADDRESSES}, "sentinels and master go together"),
        ({"nodes": ["no address"]}, "redis.nodes.0"),
        ({"nodes": ADDRESSES, "cert": __file__, "tls": True}, "cert and key go together"),
        ({"nodes": ADDRESSES, "ca": __file__}, "ca, cert and key need TLS"),
        ({"url": DEFAULT_URL, "ca": __file__}, "need TLS"),
        ({"url": DEFAULT_URL, "tls": True}, "write the url as rediss://"),
        ({"url": "rediss://h", "ca": "/nowhere"}, "redis.ca.*No such file.*may read"),
        ({"url": DEFAULT_URL, "password_file": "/nowhere"}, "redis.password_file.*No such file"),
        ({"url": DEFAULT_URL, "password": "x"}, "redis.password.*no such setting"),
    ],
)
def test_faults_are_told(redis: object, words: str) -> None:
    """What cannot be meant is refused at the start, by its place."""
    with pytest.raises(ConfigError, match=words):
        checked(redis)


def test_who_may_be_deposed_is_waited_for() -> None:
    """Where another server may take over, W is there without being asked for (DESIGN 2)."""
    with_replicas = AllocatorConfig(redis=Endpoint(nodes=tuple(ADDRESSES)))

    assert AllocatorConfig().deposed_writer_s == 0
    assert with_replicas.deposed_writer_s == 20
    assert with_replicas.model_copy(update={"replica_lag_max_s": 0}).deposed_writer_s == 0


def test_the_command_line_takes_a_file(tmp_path: Path) -> None:
    """`--redis` is a URL or a file of ours; a file without the setting is a sentence and 78."""
    path = tmp_path / "edge.toml"
    path.write_text('site = "a"\nedge = "b"\n[redis]\nnodes = ["192.0.2.1:6379"]\n')
    assert endpoint(str(path)).nodes == ("192.0.2.1:6379",)
    assert endpoint("redis://h").url == "redis://h"

    path.write_text('site = "a"\n')
    result = CliRunner().invoke(main, ["site", "list", "--redis", str(path)])
    assert result.exit_code == 78
    assert "redis: required; add it" in result.stderr
