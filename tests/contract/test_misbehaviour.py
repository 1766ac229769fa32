"""A real Redis that misbehaves: few lines, little work, a clear state, and afterwards all goes on.

A test begins with a service that works, breaks the server, and lets clients ask all the time.
Whatever the server took takes effect once (I4, I12, I13).
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from edge_agent.sync.follower import Following
from lease_core.log.connecting import connect
from lease_core.log.errors import LogError
from lease_core.log.redis_log import RedisLog
from tests.contract.backends import SITE
from tests.contract.serving import Service, serving
from tests.contract.story import GENESIS
from tests.redis_server import POLL_S, RedisServer, is_installed
from tests.unit.service.logs import request
from tests.waiting import until

pytestmark = pytest.mark.redis

TROUBLE_S = 10.0
SERVED_WITHIN_S = 5.0
DETECTED_WITHIN_S = 10.0
QUIET_LINES = 8
"""To tell each beginning and each end, whatever it lasts."""

MAX_LOAD = 0.5
"""Of one processor, for leader, edge and the test's clients together."""

LOOP = "while true do end"


class Broken:
    """A server that can be made to misbehave."""

    def __init__(self, folder: Path) -> None:
        self.dump = folder / "taken"  # a folder in the place of the dump: each BGSAVE fails
        self.dump.mkdir()
        settings = ("--enable-debug-command", "yes", "--dbfilename", self.dump.name)
        self.server = RedisServer(folder, *settings, "--busy-reply-threshold", "100")
        self.kept: dict[bytes, bytes] = {}

    def ask(self, *words: str) -> Any:
        with redis.Redis.from_url(self.server.url, socket_timeout=10) as client:
            return client.execute_command(*words)


def fill_disk(broken: Broken) -> None:
    """MISCONF: the background save fails."""
    broken.ask("CONFIG", "SET", "save", "3600 1")
    broken.ask("BGSAVE")
    while broken.ask("INFO", "persistence")["rdb_last_bgsave_status"] != "err":
        time.sleep(POLL_S)


def mend_disk(broken: Broken) -> None:
    broken.dump.rmdir()
    broken.ask("BGSAVE")


def fill_memory(broken: Broken) -> None:
    """OOM."""
    broken.ask("CONFIG", "SET", "maxmemory", "1")


def mend_memory(broken: Broken) -> None:
    broken.ask("CONFIG", "SET", "maxmemory", "0")


def demote(broken: Broken) -> None:
    """READONLY."""
    broken.ask("REPLICAOF", "127.0.0.1", "1")


def promote(broken: Broken) -> None:
    broken.ask("REPLICAOF", "NO", "ONE")


def keep_busy(broken: Broken) -> None:
    """BUSY: somebody's script does not end; a read that waits already hears nothing at all."""
    broken.server.send(f"EVAL '{LOOP}' 0\r\n")


def end_script(broken: Broken) -> None:
    broken.ask("SCRIPT", "KILL")


def forget_scripts(broken: Broken) -> None:
    """NOSCRIPT."""
    broken.ask("SCRIPT", "FLUSH")


def sleep(broken: Broken) -> None:
    """Slow for two seconds."""
    broken.server.send("DEBUG SLEEP 2\r\n")


def flush(broken: Broken) -> None:
    """FLUSHALL."""
    with redis.Redis.from_url(broken.server.url) as client, client.pipeline() as together:
        keys = client.keys("lease:*")
        for key in keys:
            together.dump(key)
        *octets, _ = together.flushall().execute()
    broken.kept = dict(zip(keys, octets, strict=True))


def restore(broken: Broken) -> None:
    with redis.Redis.from_url(broken.server.url) as client:
        for key, octets in broken.kept.items():
            if octets and not key.endswith((b":leader", b":commands")):
                client.restore(key, 0, octets, replace=True)


def nothing(_: Broken) -> None:
    """It is over by itself."""


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Broken]:
    if not is_installed():
        pytest.skip("redis-server is not installed")
    made = Broken(tmp_path)
    with made.server:
        yield made


class Clients:
    """New clients, one after the other; `taken` are those whose command the server took."""

    def __init__(self, url: str) -> None:
        self.taken: list[str] = []
        self._log = connect(url, SITE)

    async def ask(self) -> str:
        """One more client. Raises LogError."""
        number = len(self.taken) + 1  # who is not taken comes again: there are 250 addresses
        await self._log.send(request(number), "bng1")
        self.taken.append(f"r{number}")
        return self.taken[-1]

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Ten a second, whatever becomes of it."""
        task = asyncio.create_task(self._ask_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task}, timeout=5)

    async def _ask_on(self) -> None:
        while True:
            with contextlib.suppress(LogError):
                await self.ask()
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        await self._log.close()


async def is_served(service: Service, clients: Clients, within_s: float) -> None:
    """A new client comes until one is served."""
    deadline = time.monotonic() + within_s
    while True:
        assert time.monotonic() < deadline, "no new client is served"
        with contextlib.suppress(LogError):
            if await asked(service, await clients.ask()):
                return


@asynccontextmanager
async def at_work(broken: Broken) -> AsyncIterator[tuple[Service, Clients]]:
    """A leader, an edge and clients, one of whom was served."""
    url = broken.server.url
    log = connect(url, SITE)
    await log.create(GENESIS)
    await log.close()
    clients = Clients(url)
    async with serving(url) as service:
        await is_served(service, clients, SERVED_WITHIN_S)
        yield service, clients
    await clients.close()


async def asked(service: Service, req: str) -> bool:
    for _ in range(100):
        if service.edge.has(req):
            return True
        await asyncio.sleep(0.01)
    return False


def told(lines: list[Any]) -> list[str]:
    """What was said but for events, of which each has its line."""
    return [line["event"] for line in lines if "stage" not in line]


EVERYTHING = [
    (fill_disk, mend_disk, "MISCONF", Following.LIVE),
    (fill_memory, mend_memory, "OutOfMemory", Following.LIVE),
    (demote, promote, "replica", Following.LIVE),
    (keep_busy, end_script, "BUSY|no reply", Following.UNREACHABLE),
    (forget_scripts, nothing, "", Following.LIVE),
    (sleep, nothing, "", Following.LIVE),
    (flush, restore, "there is no log", Following.FOREIGN),
]


@pytest.mark.parametrize(
    ("breaks", "mends", "word", "state"), EVERYTHING, ids=[case[0].__name__ for case in EVERYTHING]
)
async def test_it_is_got_over(
    broken: Broken,
    breaks: Callable[[Broken], None],
    mends: Callable[[Broken], None],
    word: str,
    state: Following,
) -> None:
    """Trouble is told by name and not again, costs little, and ends with what it is of."""
    async with at_work(broken) as (service, clients):
        with capture_logs() as lines:
            async with clients.asking():
                await asyncio.to_thread(breaks, broken)
                began, worked = time.monotonic(), time.process_time()
                await asyncio.sleep(TROUBLE_S)
                elapsed, worked = time.monotonic() - began, time.process_time() - worked
                assert re.search(word, " ".join(str(line.get("reason")) for line in lines))
                assert service.edge.follower.state is state
                assert len(told(lines)) <= elapsed + QUIET_LINES, told(lines)
                assert worked <= MAX_LOAD * elapsed
            await asyncio.to_thread(mends, broken)
            await is_served(service, clients, 2 * SERVED_WITHIN_S)
            assert len(told(lines)) <= elapsed + 2 * QUIET_LINES, told(lines)
        taken = [] if breaks is flush else clients.taken
        await until(lambda: all(map(service.edge.has, taken)), "all whose command was taken")

    seqs = [record.seq for record in service.edge.applied]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_a_server_that_loads_is_waited_for(broken: Broken) -> None:
    """LOADING: it restarts and reads its file for seconds; nobody is told more than once."""
    with redis.Redis.from_url(broken.server.url) as client, client.pipeline() as pipe:
        for number in range(6_000):
            pipe.set(f"filler:{number}", "")
        pipe.execute()
    async with at_work(broken) as (service, clients):
        broken.server.kill()
        loading = RedisServer(broken.server.folder, "--key-load-delay", "1000")
        loading.port = broken.server.port
        with capture_logs() as lines:
            async with clients.asking():
                starting = asyncio.create_task(asyncio.to_thread(loading.start))
                await until(lambda: service.edge.follower.state is Following.UNREACHABLE, "it")
                await starting
            try:
                await is_served(service, clients, 2 * SERVED_WITHIN_S)
            finally:
                loading.kill()
    reasons = {str(line.get("reason")) for line in lines}

    assert len(told(lines)) <= 3 * QUIET_LINES, told(lines)
    assert service.edge.has(clients.taken[-1]), reasons


async def test_a_black_hole_is_noticed(broken: Broken) -> None:
    """Without a reset, a reader that waits for a server that went silent notices within 10 s."""
    async with at_work(broken) as (service, clients):
        broken.server.pause()
        began = time.monotonic()
        while service.edge.follower.state is Following.LIVE:
            assert time.monotonic() - began < DETECTED_WITHIN_S
            await asyncio.sleep(0.02)
        broken.server.resume()
        await is_served(service, clients, SERVED_WITHIN_S)


async def test_a_reader_waits_no_longer_than_it_blocks(redis_server: RedisServer) -> None:
    """The limit of a read is of that read: a short one is given up soon."""
    log: RedisLog = connect(redis_server.url, SITE)
    await log.create(GENESIS)
    await log.follow("0-0", "0-0", 50)
    redis_server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(LogError, match=r"within 3\.05 s"):
            await log.follow("0-0", "0-0", 50)
        assert time.monotonic() - began < DETECTED_WITHIN_S / 2
    finally:
        redis_server.resume()
    await log.close()
