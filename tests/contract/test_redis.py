"""What only a real redis-server shows: outages in the middle, refusals, durability, settings."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from redis.asyncio import Redis

from lease_core.domain.commands import Heartbeat, ReleaseLease
from lease_core.domain.values import Ipv4, Mac
from lease_core.endpoint import Endpoint
from lease_core.log.connecting import Connector, connect
from lease_core.log.errors import (
    FencedError,
    ForeignLogError,
    LogUnavailableError,
    OutcomeUnknownError,
)
from lease_core.log.keys import Keys
from lease_core.log.port import ZERO_ID, Claimed
from lease_core.log.redis_client import SETTINGS, load_script, open_client
from lease_core.log.redis_log import RedisLog
from tests.contract.backends import SITE
from tests.contract.story import GENESIS, LONG_MS, batch_of, begun, known_head, lease, written
from tests.lossy_proxy import LossyProxy
from tests.redis_server import RedisServer
from tests.waiting import until

pytestmark = pytest.mark.redis

RELEASE = ReleaseLease(req="r", mac=Mac(1), line="l", ip=Ipv4(1))


@pytest.fixture
async def raw(redis_server: RedisServer) -> AsyncIterator[Redis]:
    client = open_client(redis_server.url, 3.0)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def log(redis_server: RedisServer, raw: Redis) -> AsyncIterator[RedisLog]:
    log = connect(redis_server.url, SITE)
    yield log
    await log.close()


async def test_acknowledged_events_survive_kill(redis_server: RedisServer, log: RedisLog) -> None:
    """What append returned for is there after SIGKILL, and the same client goes on (I2)."""
    head = await begun(log)
    for number in range(20):
        head = (await written(log, head, [lease(number)], f"b{number}")).after
    redis_server.restart()
    again = connect(redis_server.url, SITE)

    assert head == await known_head(again)
    assert len(await again.read(ZERO_ID)) == 20
    await again.close()


async def test_append_survives_a_lost_script_cache(redis_server: RedisServer, raw: Redis) -> None:
    """A server that forgot the scripts is taught again, within the same call."""
    log = connect(redis_server.url, SITE)
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    await raw.script_flush()

    assert (await written(log, head, [lease(2)], "b")).after == await known_head(log)
    await log.close()


async def test_refused_connection_loses_no_append(redis_server: RedisServer, log: RedisLog) -> None:
    """Where nobody listens nothing was sent: the outcome is known, the log unavailable. The server
    that comes back takes what a leader of its own sends (I5)."""
    batch = await batch_of(log, await begun(log), [lease(1)], "a")
    redis_server.kill()
    fresh = connect(redis_server.url, SITE)
    try:
        with pytest.raises(LogUnavailableError):
            await fresh.append(batch)
    finally:
        redis_server.start()
    with pytest.raises(FencedError):
        await fresh.append(batch)
    assert (await written(fresh, await begun(fresh), [lease(1)], "b")).after.seq == 1
    await fresh.close()


async def test_killed_server_leaves_the_head_to_decide(
    redis_server: RedisServer, log: RedisLog
) -> None:
    """An append that meets a dying server may be repeated by its id: it was written once, or it is
    refused, because a leadership ends with its server."""
    batch = await batch_of(log, await begun(log), [lease(1), lease(2)], "a")
    redis_server.kill()
    with pytest.raises((OutcomeUnknownError, LogUnavailableError)):
        await log.append(batch)
    redis_server.start()

    head = await known_head(log)
    assert head.batch in {"", "a"}
    if head.batch:
        assert (await log.append(batch)).is_duplicate
    else:
        with pytest.raises(FencedError):
            await log.append(batch)
    assert await log.read(ZERO_ID) == (list(batch.records) if head.batch else [])


async def test_lost_reply_is_an_unknown_outcome(redis_server: RedisServer, raw: Redis) -> None:
    """A hung server that comes back writes the batch: the head and a repeat both say so."""
    hasty = RedisLog(open_client(redis_server.url, 0.2), open_client(redis_server.url, 5), SITE)
    first = await written(hasty, await begun(hasty), [lease(1)], "a")
    batch = await batch_of(hasty, first.after, [lease(2)], "b")
    redis_server.pause()
    try:
        with pytest.raises(OutcomeUnknownError):
            await hasty.append(batch)
    finally:
        redis_server.resume()
    for _ in range(500):
        if (await known_head(hasty)).batch == "b":
            break
        await asyncio.sleep(0.01)

    repeated = await hasty.append(batch)
    assert repeated.is_duplicate
    assert (batch.after.seq, batch.after.h) == (repeated.seq, repeated.h)
    assert [*first.records, *batch.records] == await hasty.read(ZERO_ID)
    await hasty.close()


async def test_a_restart_loses_only_what_is_said_again(
    redis_server: RedisServer, log: RedisLog
) -> None:
    """What its sender repeats is not written to disk; what is said once, or among it, is."""
    await begun(log)
    beat = Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0)
    await log.send(beat, "bng1")
    await log.send_many([beat, RELEASE], "bng1")
    await log.send(beat, "bng1")
    redis_server.restart()
    again = connect(redis_server.url, SITE)

    assert [sent.command for sent in await again.commands(ZERO_ID)] == [beat, RELEASE]  # type: ignore[union-attr]
    await again.close()


async def test_no_call_repeats_itself(redis_server: RedisServer, log: RedisLog) -> None:
    """A command whose reply was lost was sent once: repeating is the caller's decision."""
    command = Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0)
    async with LossyProxy(redis_server.port) as proxy:
        far = connect(f"redis://127.0.0.1:{proxy.port}/0", SITE)
        before = await far.send(command, "bng1")
        proxy.loses_next_reply = True
        with pytest.raises(LogUnavailableError):
            await far.send(command, "bng1")
        await far.close()

    assert len(await log.commands(before)) == 1


async def test_append_whose_reply_was_lost(redis_server: RedisServer, log: RedisLog) -> None:
    """The writer is told that the outcome is unknown, and finds its batch id in the head."""
    first = await written(log, await begun(log), [lease(1)], "a")
    batch = await batch_of(log, first.after, [lease(2)], "b")
    async with LossyProxy(redis_server.port) as proxy:
        far = connect(f"redis://127.0.0.1:{proxy.port}/0", SITE)
        await far.head()
        proxy.loses_next_reply = True
        with pytest.raises(OutcomeUnknownError):
            await far.append(batch)
        assert batch.after == await known_head(far)
        assert (await far.append(batch)).is_duplicate
        await far.close()

    assert len(await log.read(ZERO_ID)) == 2


async def test_waiting_reader_notices_a_dead_server(
    redis_server: RedisServer, log: RedisLog
) -> None:
    """A blocked read ends with an error when the server dies, and works after its return."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    waiting = asyncio.create_task(log.read(batch.after.last_id, block_ms=5_000))
    await asyncio.sleep(0.1)
    redis_server.kill()
    try:
        with pytest.raises(LogUnavailableError):
            await waiting
    finally:
        redis_server.start()
    assert list(batch.records) == await log.read(ZERO_ID)


@pytest.mark.parametrize(
    ("setting", "bad", "good", "word"),
    [
        ("maxmemory", "1", "0", "OutOfMemory"),
        ("min-replicas-to-write", "1", "0", "NOREPLICAS"),
    ],
)
async def test_refusals_of_the_server(
    log: RedisLog, raw: Redis, setting: str, bad: str, good: str, word: str
) -> None:
    """A full or lonely server refuses by name, with nothing written, and may be asked again."""
    batch = await batch_of(log, await begun(log), [lease(1)], "a")
    await raw.config_set(setting, bad)
    try:
        with pytest.raises(LogUnavailableError, match=word):
            await log.append(batch)
        assert batch.before == await known_head(log)
        assert await log.read(ZERO_ID) == []
    finally:
        await raw.config_set(setting, good)
    assert (await log.append(batch)).seq == 1


async def test_replica_refuses(log: RedisLog, raw: Redis) -> None:
    """A writer that reached a replica writes nothing there."""
    batch = await batch_of(log, await begun(log), [lease(1)], "a")
    await raw.config_set("replica-serve-stale-data", "yes")
    await raw.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(LogUnavailableError, match=r"READONLY|read only"):
            await log.append(batch)
        with pytest.raises(LogUnavailableError):
            await log.claim("allocator-1", LONG_MS, GENESIS)
    finally:
        await raw.replicaof("NO", "ONE")
    assert batch.before == await known_head(log)


@pytest.mark.parametrize("key", ["events", "head", "answers", "commands"])
async def test_key_of_another_kind_is_a_foreign_log(log: RedisLog, raw: Redis, key: str) -> None:
    """Where somebody else's value stands under one of the names, nothing is written beside it."""
    batch = await batch_of(log, await begun(log), [lease(1)], "a")
    await raw.set(getattr(Keys(SITE), key), "mine")

    with pytest.raises(ForeignLogError):
        await log.append(batch)
    with pytest.raises(ForeignLogError):
        await log.read(ZERO_ID) if key == "events" else await log.append(batch)


async def test_lost_events_are_noticed(log: RedisLog, raw: Redis) -> None:
    """A head whose events were deleted accepts no further event."""
    batch = await written(log, await begun(log), [lease(1)], "a")
    await raw.delete(Keys(SITE).events)

    with pytest.raises(ForeignLogError):
        await written(log, batch.after, [lease(2)], "b")


async def test_damaged_head_is_a_foreign_log(log: RedisLog, raw: Redis) -> None:
    """A head that misses a field is no head."""
    batch = await batch_of(log, await begun(log), [lease(1)], "a")
    await raw.hdel(Keys(SITE).head, "hash")

    with pytest.raises(ForeignLogError):
        await log.head()
    with pytest.raises(ForeignLogError):
        await log.append(batch)


def good_arguments() -> list[Any]:
    """One event and one answer, as append.lua documents its ARGV."""
    header = [GENESIS, 1, 0, "00" * 8, "b", "", 0, "11" * 8, 10**15, 100, 1, 1, 2]
    return [*header, 2, "v", "type", 1, "v", 1, "1", "X", 2, "1"]


def change(index: int, value: object) -> Callable[[list[Any]], list[Any]]:
    return lambda arguments: [*arguments[:index], value, *arguments[index + 1 :]]


@pytest.mark.parametrize(
    "damage",
    [
        change(10, 2),
        change(11, 0),
        change(12, 3),
        change(12, 1),
        change(13, 1),
        change(13, 3),
        change(13, 0),
        change(13, 400),
        change(13, "x"),
        change(18, 0),
        change(18, 2),
        change(18, "x"),
        change(4, ""),
        change(5, "12"),
        change(6, "soon"),
        lambda arguments: arguments[:-1],
        lambda arguments: [*arguments, "v"],
    ],
)
@pytest.mark.parametrize("store", ["fakeredis", "redis"])
async def test_contradicting_arguments_write_nothing(
    raw: Redis, store: str, damage: Callable[[list[Any]], list[Any]]
) -> None:
    """The script checks counts, cursor and time itself, before its first write."""
    client = raw if store == "redis" else fakeredis.FakeAsyncRedis()
    await begun(RedisLog(client, client, SITE))
    keys = Keys(SITE)
    append = load_script(client, "append")
    names = [keys.events, keys.head, keys.answers, keys.commands]

    reply = await append(names, damage(good_arguments()))
    assert reply[0] == b"INVALID"
    assert not await client.exists(keys.events, keys.answers, keys.commands)
    assert (await append(names, good_arguments()))[0] == b"OK"


async def test_settings_that_lose_leases_are_named(log: RedisLog, raw: Redis) -> None:
    """Each dangerous setting gives one sentence with its remedy; the right ones give none."""
    bad = {
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "maxmemory-policy": "allkeys-lru",
    }
    assert await log.settings_faults() == []
    for name, value in bad.items():
        await raw.config_set(name, value)
    try:
        faults = await log.settings_faults()
    finally:
        for name in bad:
            await raw.config_set(name, SETTINGS[name][0])

    assert len(bad) == len(faults)
    for name in bad:
        assert any(f"CONFIG SET {name} {SETTINGS[name][0]}" in fault for fault in faults)


async def test_settings_name_replicas_that_are_not_demanded(
    redis_server: RedisServer, raw: Redis
) -> None:
    """Who counts on replicas wants a master that stops without them."""
    log = connect(redis_server.url, SITE, replicas=1)
    [fault] = await log.settings_faults()
    assert "CONFIG SET min-replicas-to-write 1" in fault
    await raw.config_set("min-replicas-to-write", "1")
    try:
        assert await log.settings_faults() == []
    finally:
        await raw.config_set("min-replicas-to-write", "0")
    await log.close()


async def test_a_server_that_may_not_say_who_it_is(redis_server: RedisServer, raw: Redis) -> None:
    """I5: without the right to INFO a leadership is bound to no server, so the leader is told."""
    words = "ACL SETUSER shy on >secret ~* +@all -info"
    await raw.execute_command(*words.split())
    log = connect(redis_server.url.replace("//", "//shy:secret@"), SITE)
    try:
        [fault] = await log.settings_faults()
    finally:
        await raw.execute_command("ACL", "DELUSER", "shy")
        await log.close()
    assert "+info" in fault


async def test_server_without_config_is_believed() -> None:
    """A server that hides its settings, as fakeredis does, gives no faults and no error."""
    client = fakeredis.FakeAsyncRedis()

    assert await RedisLog(client, client, SITE).settings_faults() == []


def tear(folder: Path) -> None:
    [file] = folder.glob("appendonlydir/*.incr.aof")
    file.write_bytes(file.read_bytes()[:-10])


async def test_torn_end_of_the_file_stops_the_server(tmp_path: Path) -> None:
    """With aof-load-truncated no, a file cut short is no silent loss: the server refuses."""
    server = RedisServer(tmp_path)
    server.start()
    log = connect(server.url, SITE)
    await written(log, await begun(log), [lease(1)], "a")
    await log.close()
    server.stop()
    tear(tmp_path)

    with pytest.raises(RuntimeError, match="Unexpected end of file"):
        server.start()


@pytest.mark.parametrize("kind", ["head", "read", "send"])
async def test_a_cancelled_call_ends_whenever_it_comes(log: RedisLog, kind: str) -> None:
    """No step of a call swallows a cancellation, or a process could not be ended."""
    await begun(log)

    async def ask() -> None:
        while True:
            match kind:
                case "head":
                    await log.head()
                case "read":
                    await log.read(ZERO_ID)
                case _:
                    await log.send(RELEASE, "bng1")

    for steps in range(60):
        asking = asyncio.create_task(ask())
        for _ in range(steps):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait((asking,), timeout=2)
        assert asking.cancelled(), f"cancelled after {steps} turns, it goes on"


async def test_calls_at_once_get_their_own_replies(log: RedisLog) -> None:
    """Who reads beside a waiting reader, or after one that was cancelled, reads what it asked."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    given_up = asyncio.create_task(log.read(head.last_id, block_ms=LONG_MS))
    await log.head()
    given_up.cancel()
    await asyncio.wait((given_up,), timeout=2)
    waiting = asyncio.create_task(log.read(head.last_id, block_ms=LONG_MS))
    await log.head()

    assert [record.seq for record in await log.read(ZERO_ID)] == [1]
    assert await log.commands(ZERO_ID) == []
    await written(log, head, [lease(2)], "b")
    assert [record.seq for record in await waiting] == [2]


async def test_a_full_page_asks_for_the_next_one(log: RedisLog, raw: Redis) -> None:
    """What is behind a full page is asked for with it, to be got or not, and else nothing is."""
    head = (await written(log, await begun(log), [lease(n) for n in range(5)], "a")).after
    await raw.config_resetstat()
    first = await log.follow(ZERO_ID, ZERO_ID, LONG_MS, 2)
    assert first.ahead
    second = await first.ahead()
    assert second.ahead
    await log.head()  # the server has done what it was asked before
    await written(log, head, [lease(5)], "b")
    third = await second.ahead()
    last = await log.follow(third.records[-1].entry_id, ZERO_ID, LONG_MS, 2)
    again = await log.follow(ZERO_ID, ZERO_ID, LONG_MS, 2)  # and nobody gets what is behind it
    assert last == await log.follow(head.last_id, ZERO_ID, LONG_MS, 2)
    pages = [[record.seq for record in page.records] for page in (first, second, third, last)]

    assert pages == [[1, 2], [3, 4], [5], [6]]
    assert third.ahead is last.ahead is None
    assert first == again
    assert (await raw.info("commandstats"))["cmdstat_xread"]["calls"] == 7


async def test_the_kernel_looks_after_a_peer_that_says_nothing(redis_server: RedisServer) -> None:
    """A server that vanished is missed in ten seconds by a read that waits longer than that."""
    client = open_client(redis_server.url, 3.0)
    connection = await client.connection_pool.get_connection()
    link = connection._writer.get_extra_info("socket")
    idle_s, interval_s, probes = (
        link.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    is_kept = link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    await client.aclose()

    assert is_kept
    assert idle_s + interval_s * probes < 10


async def test_nobody_waits_behind_a_read_that_was_given_up(log: RedisLog) -> None:
    """A read ends in its own time, though the server would wait much longer for the one before."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    given_up = asyncio.create_task(log.read(head.last_id, block_ms=LONG_MS))
    await asyncio.sleep(0.1)
    given_up.cancel()
    await asyncio.wait((given_up,))
    async with asyncio.timeout(5):
        assert await log.commands(ZERO_ID, block_ms=1) == []


async def test_a_connection_that_the_server_closed_is_opened_again(
    log: RedisLog, raw: Redis
) -> None:
    """Who was idle while the server closed his connections notices nothing of it."""
    head = (await written(log, await begun(log), [lease(1)], "a")).after
    assert len(await log.read(ZERO_ID)) == 1
    await raw.client_kill_filter(skipme=True)
    await asyncio.sleep(0.1)

    assert (await written(log, head, [lease(2)], "b")).after.seq == 2
    assert len(await log.read(ZERO_ID)) == 2


async def test_a_late_reply_is_nobodys(redis_server: RedisServer, raw: Redis) -> None:
    """After a call that was given up the next one gets its own reply, and not that one's."""
    hasty = RedisLog(open_client(redis_server.url, 0.2), open_client(redis_server.url, 5), SITE)
    await begun(hasty)
    first = await hasty.send(Heartbeat(edge="bng1", incarnation="a", nonce="n", applied=0), "bng1")
    redis_server.pause()
    try:
        with pytest.raises(LogUnavailableError, match=r"within 0\.2 s"):
            await hasty.send_many([RELEASE, RELEASE], "bng1")
    finally:
        redis_server.resume()
    last = await hasty.send(RELEASE, "bng1")

    assert [sent.entry_id for sent in await hasty.commands(first)][-1] == last
    await hasty.close()


async def test_sites_share_a_connection(redis_server: RedisServer, raw: Redis) -> None:
    """What does not wait goes over one connection, however many sites ask at once and whichever of
    them is closed; it is opened again for all when the server comes back."""
    connector = Connector(Endpoint.model_validate(redis_server.url))
    logs = [await connector(f"site{number}") for number in range(20)]
    before = len(await raw.client_list())
    assert await asyncio.gather(*(log.create(GENESIS) for log in logs)) == [GENESIS] * 20
    await logs.pop().close()
    claims = await asyncio.gather(*(log.claim("a", LONG_MS, GENESIS) for log in logs))
    assert set(claims) == {Claimed(epoch=1, is_new=True)}
    assert len(await raw.client_list()) == before + 1

    redis_server.kill()
    refused = await asyncio.gather(*(log.head() for log in logs), return_exceptions=True)
    assert set(map(type, refused)) == {LogUnavailableError}
    redis_server.start()
    await raw.connection_pool.disconnect()
    heads = await asyncio.gather(*(log.head() for log in logs))
    assert {head.epoch for head in heads if head} == {1}
    assert len(await raw.client_list()) == 2

    for log in logs:
        await log.close()
    await connector.close()

    async def is_alone() -> bool:
        return len(await raw.client_list()) == 1

    await until(is_alone, "the server to see that the connection is closed")
