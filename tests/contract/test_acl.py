"""Redis' own judgement of who may do what, on the ACL lines that `leasectl acl` prints."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis

from lease_core.cli.main import main
from lease_core.domain.commands import Heartbeat, ReleaseLease
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.connecting import connect
from tests.redis_server import RedisServer, is_installed

EVENTS, COMMANDS = "lease:{ams01}:events", "lease:{ams01}:commands"
EDGE = "edge-ams01-bng1"
FOREVER = "a" * 40

ALLOWED = [
    ("allocator", "EVALSHA", FOREVER, "2", EVENTS, "lease:{ams01}:head"),
    ("allocator", "XADD", EVENTS, "*", "f", "v"),
    ("allocator", "CONFIG", "GET", "appendonly"),
    ("allocator", "INFO", "replication"),
    (EDGE, "XREAD", "STREAMS", EVENTS, "lease:{ams01}:answers", "0", "0"),
    (EDGE, "HGETALL", "lease:{ams01}:head"),
    (EDGE, "HGET", "lease:{ams01}:snapshot:100", "0"),
    (EDGE, "EVALSHA", FOREVER, "1", COMMANDS),
    (EDGE, "XADD", COMMANDS, "*", "f", "v"),
    (EDGE, "DEL", "lease:{ams01}:edge:ams01-bng1"),
    (EDGE, "SADD", "lease:{ams01}:edges", "ams01-bng1"),
    ("auditor", "XRANGE", "lease:{fra02}:events", "-", "+"),
    ("auditor", "HGETALL", "lease:{plan}:head"),
]
DANGEROUS = [
    *(("FLUSHALL",), ("CONFIG", "SET", "appendonly", "no"), ("KEYS", "*"), ("SHUTDOWN",)),
    *(("DEBUG", "SLEEP", "1"), ("EVAL", "return 1", "0"), ("FUNCTION", "LIST"), ("SAVE",)),
    *(("SCRIPT", "FLUSH"), ("REPLICAOF", "NO", "ONE"), ("ACL", "LIST"), ("MONITOR",)),
    *(("CLIENT", "KILL", "TYPE", "normal"), ("XGROUP", "CREATE", EVENTS, "g", "0")),
    *(("XAUTOCLAIM", EVENTS, "g", "c", "0", "0"), ("XDEL", EVENTS, "1-1"), ("SCAN", "0")),
    *(
        ("MODULE", "LIST"),
        ("SUBSCRIBE", "c"),
        ("RENAME", EVENTS, "lease:x"),
        ("MIGRATE", "h", "1", "k", "0", "1"),
    ),
]
REFUSED = [
    *((user, *words) for user in ("allocator", EDGE, "auditor") for words in DANGEROUS),
    ("allocator", "SET", "other", "v"),
    (EDGE, "XADD", EVENTS, "*", "f", "v"),
    (EDGE, "XTRIM", COMMANDS, "MAXLEN", "0"),
    (EDGE, "DEL", COMMANDS),
    (EDGE, "EVALSHA", FOREVER, "2", EVENTS, "lease:{ams01}:head"),
    (EDGE, "XREAD", "STREAMS", "lease:{fra02}:events", "0"),
    (EDGE, "XADD", "lease:{fra02}:commands", "*", "f", "v"),
    (EDGE, "HSET", "lease:{ams01}:edge:ams01-bng2", "f", "v"),
    (EDGE, "HSET", "lease:{ams01}:head", "epoch", "9"),
    (EDGE, "HGETALL", "lease:{plan}:head"),
    (EDGE, "SET", "lease:{ams01}:leader", "me"),
    ("auditor", "XADD", COMMANDS, "*", "f", "v"),
    ("auditor", "HSET", "lease:{ams01}:head", "epoch", "9"),
    ("auditor", "EVALSHA", FOREVER, "1", EVENTS),
    ("auditor", "GET", "other"),
]


BEAT = Heartbeat(edge="ams01-bng1", incarnation="a", nonce="n", applied=0)
RELEASE = ReleaseLease(req="r", mac=Mac(0x020000000017), line="access0", ip=Ipv4(0x64400017))


def acl_lines(folder: Path) -> list[str]:
    """What `leasectl acl` prints for an allocator, an edge and an auditor."""
    password = folder / "password"
    password.write_text("hunter2\n")
    words = (["allocator"], ["edge", "ams01", "ams01-bng1"], ["auditor"])
    lines: list[str] = []
    for each in words:
        printed = CliRunner().invoke(main, ["acl", *each, "--password-file", str(password)])
        assert printed.exit_code == 0, printed.output
        lines += printed.output.splitlines()
    return lines


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    if not is_installed():
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("acl")
    users = folder / "users.acl"
    lines = [line for line in acl_lines(folder) if "user default" not in line]
    users.write_text("\n".join(lines) + "\n")
    with (
        RedisServer(folder, "--aclfile", str(users)) as server,
        Redis.from_url(server.url, decode_responses=True) as client,
    ):
        yield client


@pytest.mark.parametrize("words", ALLOWED, ids=" ".join)
def test_what_the_service_needs_is_allowed(redis: Redis, words: tuple[str, ...]) -> None:
    """Each user may do its work."""
    assert redis.execute_command("ACL", "DRYRUN", *words) == "OK"


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_all_else_is_refused(redis: Redis, words: tuple[str, ...]) -> None:
    """No user may harm the log, another site, or the server."""
    told = redis.execute_command("ACL", "DRYRUN", *words)
    assert "has no permissions" in told


async def test_an_edge_does_its_work_with_its_lines(redis: Redis) -> None:
    """What a dry run does not show: what a script does, with the rights of who calls it."""
    port = redis.connection_pool.connection_kwargs["port"]
    leads = connect(f"redis://allocator:hunter2@127.0.0.1:{port}/0", "ams01")
    edge = connect(f"redis://edge-ams01-bng1:hunter2@127.0.0.1:{port}/0", "ams01")
    await leads.create("0d" * 16)
    await edge.head()
    await edge.send_many([BEAT, RELEASE], "ams01-bng1")
    await edge.send(BEAT, "ams01-bng1")
    await edge.follow("0-0", await edge.last_answer_id())
    await edge.report("ams01-bng1", {"applied": "0"})

    assert len(await leads.commands("0-0")) == 3
    await edge.close()
    await leads.close()


def test_the_password_is_not_printed(tmp_path: Path) -> None:
    """Only its SHA-256 is, and nobody comes in without a name."""
    lines = acl_lines(tmp_path)
    assert "hunter2" not in " ".join(lines)
    assert any(line.startswith("user default off") for line in lines)


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    """An empty file makes no user, and the sentence names it."""
    empty = tmp_path / "empty"
    empty.touch()
    printed = CliRunner().invoke(main, ["acl", "auditor", "--password-file", str(empty)])
    assert printed.exit_code == 2
    assert str(empty) in printed.output
