"""Every contract test runs on memory, on fakeredis and on a real redis-server."""

from collections.abc import AsyncIterator, Iterator

import pytest

from lease_core.log.port import SiteLog
from tests.contract.backends import Backend, FakeBackend, MemoryBackend, RealBackend
from tests.redis_server import RedisServer, is_installed

REAL = pytest.param("redis", marks=pytest.mark.redis)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not is_installed():
        pytest.skip("redis-server is not installed")
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["memory", "fakeredis", REAL])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    match request.param:
        case "memory":
            made: Backend = MemoryBackend()
        case "fakeredis":
            made = FakeBackend()
        case _:
            made = RealBackend(request.getfixturevalue("redis_server"))
            await made.flush()
    yield made
    await made.close()


@pytest.fixture
def log(backend: Backend) -> SiteLog:
    return backend.client()
