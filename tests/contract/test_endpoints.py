"""TLS and sentinels against real processes: who is spoken to, and who is not."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from edge_agent.sync.follower import Follower, Following
from lease_core.endpoint import Endpoint
from lease_core.log.connecting import connect
from lease_core.log.errors import LogError, LogUnavailableError
from lease_core.log.port import ZERO_ID
from lease_core.log.reader import Position
from lease_core.log.redis_log import RedisLog
from tests import certificates
from tests.contract.backends import SITE
from tests.contract.story import (
    GENESIS,
    LONG_MS,
    OWNER,
    batch_of,
    begun,
    known_head,
    lease,
    written,
)
from tests.redis_server import RedisServer, free_port, is_installed

pytestmark = pytest.mark.redis

NAME = "lease"


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    if not (is_installed() and certificates.is_possible()):
        pytest.skip("redis-server or openssl is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    certificates.make(folder, "server", "client")
    return folder


@pytest.fixture(scope="module")
def secured(
    keys: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RedisServer, str]]:
    """A server whose TLS port wants certificates of clients, and its URL."""
    port = free_port()
    settings = {
        "tls-port": str(port),
        "tls-cert-file": str(keys / "server.crt"),
        "tls-key-file": str(keys / "server.key"),
        "tls-ca-cert-file": str(keys / "ca.crt"),
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with RedisServer(tmp_path_factory.mktemp("tls"), *words) as server:
        yield server, f"rediss://127.0.0.1:{port}/0"


async def told(log: RedisLog) -> str:
    """What a first call is refused with."""
    with pytest.raises(LogError) as caught:
        await log.head()
    await log.close()
    return str(caught.value)


async def test_log_over_tls(secured: tuple[RedisServer, str], keys: Path) -> None:
    """With our authority and a certificate of it the log works as ever."""
    server, url = secured
    names = {"ca": keys / "ca.crt", "cert": keys / "client.crt", "key": keys / "client.key"}
    log = connect(Endpoint(url=url, **names), SITE)
    batch = await written(log, await begun(log), [lease(1)], "a")
    assert list(batch.records) == await log.read(ZERO_ID)
    await log.close()

    plain = connect(server.url, SITE)
    assert await plain.read(ZERO_ID) == list(batch.records)
    await plain.close()


async def test_log_over_a_unix_socket(tmp_path: Path) -> None:
    """Beside its server a process may go past TCP; after a restart it finds it again."""
    path = tmp_path / "redis.sock"
    with RedisServer(tmp_path, "--unixsocket", str(path)) as server:
        log = connect(f"unix://{path}", SITE)
        batch = await written(log, await begun(log), [lease(1)], "a")
        server.kill()
        with pytest.raises(LogUnavailableError):
            await log.read(ZERO_ID)
        server.restart()
        assert list(batch.records) == await log.read(ZERO_ID)
        await log.close()


async def test_tls_refuses_whom_it_does_not_know(
    secured: tuple[RedisServer, str], keys: Path, tmp_path: Path
) -> None:
    """A server of another authority is not spoken to; a client without a certificate not heard."""
    _, url = secured
    certificates.make(tmp_path, "other")
    own = {"cert": keys / "client.crt", "key": keys / "client.key"}

    assert "CERTIFICATE_VERIFY_FAILED" in await told(
        connect(Endpoint(url=url, ca=tmp_path / "ca.crt", **own), SITE)
    )
    assert await told(connect(Endpoint(url=url, ca=keys / "ca.crt"), SITE))
    stranger = {"cert": tmp_path / "other.crt", "key": tmp_path / "other.key"}
    assert await told(connect(Endpoint(url=url, ca=keys / "ca.crt", **stranger), SITE))


async def test_password_from_a_file(tmp_path: Path) -> None:
    """The password is read from its file, and shown nowhere."""
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    with RedisServer(tmp_path, "--requirepass", "hunter2") as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        endpoint = Endpoint(url=url, password_file=secret)
        log = connect(endpoint, SITE)
        assert await log.head() is None
        await log.close()
        assert "Authentication" in await told(connect(url, SITE))

    assert "hunter2" not in repr(endpoint)
    assert "hunter2" not in repr(Endpoint(url="redis://x:hunter2@127.0.0.1"))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, Endpoint]]:
    """Master, replica and one sentinel, which holds a master for dead after half a second."""
    master = RedisServer(_folder(tmp_path, "master"))
    replica = RedisServer(_folder(tmp_path, "replica"), "--replicaof", f"127.0.0.1 {master.port}")
    folder = _folder(tmp_path, "sentinel")
    (folder / "sentinel.conf").write_text(
        f"sentinel monitor {NAME} 127.0.0.1 {master.port} 1\n"
        f"sentinel down-after-milliseconds {NAME} 500\n"
        f"sentinel failover-timeout {NAME} 3000\n"
    )
    sentinel = RedisServer(folder, config=folder / "sentinel.conf")
    with master, replica, sentinel:
        yield master, replica, Endpoint(sentinels=(f"127.0.0.1:{sentinel.port}",), master=NAME)


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


async def settled(log: RedisLog, replica: RedisServer) -> None:
    """Wait until the replica has what the master has, and the sentinel knows of it."""
    wanted = await known_head(log)
    other = connect(replica.url, SITE)
    for _ in range(300):
        try:
            if await other.head() == wanted:
                break
        except LogUnavailableError:
            pass
        await asyncio.sleep(0.05)
    await other.close()
    assert await log._writer.wait(1, 5000) == 1


async def test_sentinels_lead_to_the_master_and_to_the_next(
    guarded: tuple[RedisServer, RedisServer, Endpoint],
) -> None:
    """The same client finds the promoted replica after the master's death, and goes on under an
    epoch that began there (I5)."""
    master, replica, endpoint = guarded
    log = connect(endpoint, SITE)
    first = await written(log, await begun(log), [lease(1)], "a")
    await settled(log, replica)
    await asyncio.to_thread(_wait_known, endpoint, replica.port)
    master.kill()

    for _ in range(300):
        try:
            await log.claim(OWNER, LONG_MS, GENESIS)
            second = await batch_of(log, await known_head(log), [lease(2)], "b")
            await log.append(second)
            break
        except LogError:
            await asyncio.sleep(0.1)
    assert second.after.epoch == first.after.epoch + 1
    assert await log.read(ZERO_ID) == [*first.records, *second.records]
    await log.close()


def _wait_known(endpoint: Endpoint, port: int) -> None:
    """Until the sentinel has heard of the replica."""
    host, _, sentinel_port = endpoint.sentinels[0].rpartition(":")
    with redis.Redis(host=host, port=int(sentinel_port)) as client:
        deadline = time.monotonic() + 20
        while not any(
            each["port"] == port and not each["is_sdown"] and each.get("master-link-status") == "ok"
            for each in client.sentinel_slaves(NAME)
        ):
            assert time.monotonic() < deadline, "the sentinel does not find the replica"
            time.sleep(0.1)


async def test_sentinels_that_know_nothing_lose_no_append(
    guarded: tuple[RedisServer, RedisServer, Endpoint],
) -> None:
    """Where no sentinel knows the name nothing is sent: the log is unavailable, no more."""
    _, _, endpoint = guarded
    log = connect(endpoint.model_copy(update={"master": "other"}), SITE)

    assert "tells who serves other" in await told(log)


def _sentinel(folder: Path, master: RedisServer) -> RedisServer:
    """One that never heard of any other."""
    (folder / "sentinel.conf").write_text(f"sentinel monitor {NAME} 127.0.0.1 {master.port} 1\n")
    return RedisServer(folder, config=folder / "sentinel.conf")


def _copy(source: RedisServer, target: RedisServer) -> None:
    with redis.Redis.from_url(source.url) as old, redis.Redis.from_url(target.url) as new:
        for key in old.keys("lease:*"):
            new.restore(key, 0, old.dump(key))


async def test_an_old_copy_is_left_for_the_next_address(tmp_path: Path) -> None:
    """A sentinel that was cut off leads to a former master: its epoch is older than what was
    applied, so the edge asks the next one, and follows nothing else meanwhile (I5)."""
    stale, right = RedisServer(_folder(tmp_path, "old")), RedisServer(_folder(tmp_path, "new"))
    misled = _sentinel(_folder(tmp_path, "misled"), stale)
    knowing = _sentinel(_folder(tmp_path, "knowing"), right)
    with stale, right, misled, knowing:
        log = connect(right.url, SITE)
        first = await written(log, await begun(log), [lease(1)], "a")
        await asyncio.to_thread(_copy, right, stale)
        await log.claim("allocator-1", 1, GENESIS)
        await asyncio.sleep(0.05)
        await log.claim("allocator-2", LONG_MS, GENESIS)
        second = await written(log, await known_head(log), [lease(2)], "b")
        sentinels = (f"127.0.0.1:{misled.port}", f"127.0.0.1:{knowing.port}")
        far = connect(Endpoint(sentinels=sentinels, master=NAME), SITE)
        assert (await known_head(far)).epoch == first.after.epoch
        states: list[Following] = []
        follower = Follower(
            far,
            Position(GENESIS).behind(second.records[-1]),
            apply=lambda *_: None,
            rebuild=_never,
            rejoin=_never,
            tell=states.append,
        )
        task = asyncio.create_task(follower.run())
        async with asyncio.timeout(20):
            while not states:  # noqa: ASYNC110  (nobody tells the test)
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        await far.close()
        await log.close()

    assert states == [Following.LIVE]


async def _never() -> Position:
    raise AssertionError("nothing was lost")
