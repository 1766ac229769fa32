"""Events that a real replica must hold: true for nobody before, not lost after."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from edge_agent.sync import follower
from edge_agent.sync.follower import Following
from lease_core.log.connecting import connect
from lease_core.log.errors import FencedError, NotReplicatedError
from lease_core.log.port import ZERO_ID, Appended, Batch, Claimed
from lease_core.log.redis_log import RedisLog
from lease_core.log.replay import replay
from tests.contract.backends import SITE
from tests.contract.serving import Edge, serving
from tests.contract.story import GENESIS, LONG_MS, batch_of, begun, known_head, lease, written
from tests.redis_server import RedisServer, is_installed
from tests.unit.service.logs import request
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.redis


class Pair:
    """A master and its replica."""

    def __init__(self, folder: Path) -> None:
        for name in ("master", "replica"):
            (folder / name).mkdir()
        self.master = RedisServer(folder / "master", "--repl-diskless-sync-delay", "0")
        of_master = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = RedisServer(folder / "replica", *of_master)

    def ask(self, server: RedisServer, *words: str) -> Any:
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            return client.execute_command(*words)

    def is_linked(self) -> bool:
        """Whether the replica is in step, and then its files: it writes them anew behind a copy."""
        with redis.Redis.from_url(self.master.url) as client:
            client.set("in", "step")
            if client.wait(1, 1000) != 1:
                return False
        disk = self.ask(self.replica, "INFO", "persistence")
        return not disk["aof_rewrite_in_progress"] and not disk["aof_rewrite_scheduled"]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    if not is_installed():
        pytest.skip("redis-server is not installed")
    made = Pair(tmp_path)
    with made.master, made.replica:
        asyncio.run(until(made.is_linked, "the replica"))
        made.ask(made.master, "CONFIG", "SET", "min-replicas-to-write", "1")
        yield made


@pytest.fixture
async def log(pair: Pair) -> AsyncIterator[RedisLog]:
    made = connect(pair.master.url, SITE, replicas=1)
    yield made
    await made.close()


async def settled(log: RedisLog, batch: Batch) -> Appended:
    """Append again until the replica answers."""
    while True:
        try:
            return await asyncio.wait_for(log.append(batch), DEADLINE_S)
        except NotReplicatedError:
            await asyncio.sleep(0.01)


async def test_nothing_is_told_that_no_replica_holds(
    pair: Pair, log: RedisLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the replica is stopped no edge applies what is written, however often it looks; when
    it goes on, all is applied once, by the leader that waited (I2, I4)."""
    monkeypatch.setattr(follower, "COMPARE_S", 0.2)
    await log.create(GENESIS)
    with capture_logs() as lines:
        async with serving(pair.master.url, replicas=1) as service:
            edge = service.edge
            await log.send(request(1), "bng1")
            await until(lambda: edge.has("r1"), "a client who is served")
            before = await known_head(log)
            pair.replica.pause()
            await log.send(request(2), "bng1")
            await until(
                lambda: any(line["event"] == "append.unsettled" for line in lines), "a stop"
            )
            await asyncio.sleep(3)  # longer than a leadership and many comparisons
            stuck = await known_head(log)
            assert not edge.has("r2")
            assert edge.follower.state is Following.LIVE
            assert stuck.seq > before.seq
            assert stuck.committed == before.committed == before.seq
            assert stuck.epoch == before.epoch

            pair.replica.resume()
            await until(lambda: edge.has("r2"), "a replica that goes on")
            await log.send(request(3), "bng1")
            await until(lambda: edge.has("r3"), "the next client")

    assert [record.seq for record in edge.applied] == list(range(1, len(edge.applied) + 1))
    reason = next(line["reason"] for line in lines if line["event"] == "append.unsettled")
    assert "0 of 1 replicas" in reason


async def test_a_promoted_replica_has_all_that_was_told(pair: Pair, log: RedisLog) -> None:
    """The replica falls behind under load, then the master dies: in its place the replica holds
    every event that an edge applied (I2)."""
    await log.create(GENESIS)
    async with serving(pair.master.url, replicas=1) as service:
        edge = service.edge
        for number in range(1, 40):
            await log.send(request(number), "bng1")
        await until(lambda: edge.has("r39"), "the first clients")
        pair.ask(pair.master, "CONFIG", "SET", "min-replicas-to-write", "0")  # WAIT alone guards
        pair.replica.kill()
        for number in range(40, 80):
            await log.send(request(number), "bng1")
        await asyncio.sleep(0.5)
        pair.master.kill()
    assert not edge.has("r79")
    with RedisServer(pair.replica.folder) as promoted:
        log = connect(promoted.url, SITE)
        held = await log.read(ZERO_ID, 1000)
        await log.close()

    assert edge.applied == held[: len(edge.applied)]


async def test_a_leadership_is_not_replicated(pair: Pair, log: RedisLog) -> None:
    """I5, I6: a leader that lost nothing goes on at a promoted replica only under a new epoch, and
    nobody waits there for the leadership to lapse."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    pair.ask(pair.replica, "REPLICAOF", "NO", "ONE")
    promoted = connect(pair.replica.url, SITE)
    assert await known_head(promoted) == await known_head(log)
    with pytest.raises(FencedError):
        await written(promoted, batch.after, [lease(2)], "b")

    assert await promoted.claim("allocator-2", LONG_MS, GENESIS) == Claimed(epoch=2, is_new=True)
    assert (await known_head(log)).epoch == 1
    await promoted.close()


async def test_a_batch_that_was_there_is_waited_for(pair: Pair, log: RedisLog) -> None:
    """Repeated on a connection that wrote nothing, an append still waits for its replicas."""
    head = await begun(log)
    batch = await batch_of(log, head, [lease(1)], "a")
    pair.replica.pause()
    for _ in range(2):
        again = connect(pair.master.url, SITE, replicas=1)
        with pytest.raises(NotReplicatedError):
            await again.append(batch)
        await again.close()
    assert (await known_head(log)).committed == 0
    pair.replica.resume()

    assert (await settled(log, batch)).is_duplicate
    head = await known_head(log)
    assert (head.committed, head.committed_h) == (1, batch.after.h)


async def test_a_deposed_leader_marks_nothing(pair: Pair, log: RedisLog) -> None:
    """Between append and mark a newer epoch began: it alone says what is held (I5)."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    await log.claim("allocator-1", 1, GENESIS)
    await asyncio.sleep(0.05)
    await log.claim("allocator-2", LONG_MS, GENESIS)

    with pytest.raises(FencedError):
        await log._commit(batch)


async def test_without_replicas_the_mark_goes(pair: Pair, log: RedisLog) -> None:
    """An epoch of a leader that demands none takes the mark away, so that edges go on."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    assert (await known_head(log)).committed == batch.after.seq
    await log.claim("allocator-1", 1, GENESIS)
    await asyncio.sleep(0.05)
    alone = connect(pair.master.url, SITE)
    await alone.claim("allocator-2", LONG_MS, GENESIS)
    await alone.close()

    assert (await known_head(log)).committed is None


async def test_tables_are_rebuilt_from_what_replicas_hold(pair: Pair, log: RedisLog) -> None:
    """A replay ends at the mark, not at the end of the log (I2)."""
    first = await written(log, await begun(log), [lease(1)], "a")
    pair.replica.pause()
    with pytest.raises(NotReplicatedError):
        await written(log, first.after, [lease(2)], "b")
    _, end = await replay(log)
    pair.replica.resume()

    assert end.seq == 1


async def test_a_mark_says_nothing_of_another_server(pair: Pair, log: RedisLog) -> None:
    """An edge that asks the promoted replica for its head while it still reads from the deposed
    master applies nothing that only that one has, however far the mark is beyond it (I2)."""
    first = await written(log, await begun(log), [lease(1)], "a")
    pair.ask(pair.master, "CONFIG", "SET", "min-replicas-to-write", "0")
    pair.ask(pair.replica, "REPLICAOF", "NO", "ONE")
    deposed, promoted = connect(pair.master.url, SITE), connect(pair.replica.url, SITE, replicas=1)
    await written(deposed, first.after, [lease(2)], "b")
    await promoted.claim("allocator-2", LONG_MS, GENESIS)
    batch = await batch_of(promoted, await known_head(promoted), [lease(3), lease(4)], "c")
    with pytest.raises(NotReplicatedError):
        await promoted.append(batch)
    await promoted._commit(batch)  # as if it had found one

    edge = Edge(pair.replica.url)
    edge.log._streams._waiting = deposed._streams._waiting
    following = asyncio.create_task(edge.follower.run())
    await until(lambda: edge.follower.state is Following.UNREACHABLE, "an edge that notices")
    assert edge.applied == []

    edge.log._streams._waiting = promoted._streams._waiting
    await until(lambda: len(edge.applied) == batch.after.seq, "the promoted replica")
    assert edge.follower.position.h == batch.after.h
    following.cancel()
    for each in (edge.log, deposed, promoted):
        await each.close()
