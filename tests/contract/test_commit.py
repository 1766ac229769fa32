"""A commit whose reply is cut anywhere, or whose caller is cancelled anywhere, takes effect once.

The leader's rule: append the same batch again until its outcome is known (I4, I11).
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Coroutine, Generator
from itertools import count
from typing import Any

import pytest

from lease_core.domain.commands import Heartbeat
from lease_core.log.connecting import connect
from lease_core.log.errors import LogUnavailableError, OutcomeUnknownError
from lease_core.log.port import ZERO_ID, Appended, Batch
from lease_core.log.redis_log import RedisLog
from tests.contract.backends import SITE
from tests.contract.story import batch_of, begun, known_head, lease
from tests.lossy_proxy import LossyProxy
from tests.redis_server import RedisServer

pytestmark = pytest.mark.redis

CUTS = 1000 if os.environ.get("LEASE_FULL") else 50
MAX_AWAITS = 100


@pytest.fixture
async def log(redis_server: RedisServer) -> AsyncIterator[RedisLog]:
    made = connect(redis_server.url, SITE)
    await made._writer.flushall()
    yield made
    await made.close()


async def settle(log: RedisLog, batch: Batch) -> Appended:
    """As the leader does."""
    while True:
        try:
            return await log.append(batch)
        except (LogUnavailableError, OutcomeUnknownError):
            continue


async def assert_once(log: RedisLog, wanted: list[Batch]) -> None:
    """The log holds the events and answers of each batch once, in their order."""
    events = [record for batch in wanted for record in batch.records]
    found = []
    after = ZERO_ID
    while page := await log.read(after):
        found += page
        after = page[-1].entry_id
    assert found == events
    assert (await known_head(log)).seq == len(events)


async def test_a_reply_is_cut_behind_each_octet(redis_server: RedisServer, log: RedisLog) -> None:
    """Whatever arrives of the reply, the writer finds out and nothing is written twice."""
    head, written = await begun(log), []
    first = await batch_of(log, head, [lease(0)], "b0")
    length = 0
    async with LossyProxy(redis_server.port) as proxy:
        far = connect(f"redis://127.0.0.1:{proxy.port}/0", SITE)
        await far.head()
        await far.append(first)
        written.append(first)
        length = proxy.last_reply
        seed = random.randrange(2**32)
        print(f"seed {seed}, replies of {length} octets")
        cuts = list(range(length + 1)) * (1 + CUTS // length)
        chosen = random.Random(seed).sample(cuts, min(CUTS, len(cuts)))
        for number, cut in enumerate(chosen, 1):
            batch = await batch_of(log, written[-1].after, [lease(number)], f"b{number}")
            proxy.cuts_reply_at = cut
            if cut < length:
                with pytest.raises(OutcomeUnknownError):
                    await far.append(batch)
            await settle(far, batch)
            written.append(batch)
        await far.close()

    await assert_once(log, written)


class CancelledAt:
    """Work that is cancelled where it waits for the `at`-th time, if it does so often."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int) -> None:
        self._work = work
        self._at = at
        self.is_cancelled = False

    async def run(self) -> bool:
        """Whether it came to its end all the same."""
        task = asyncio.create_task(self._waited())
        await asyncio.wait({task})
        return not task.cancelled() and task.exception() is None

    async def _waited(self) -> None:
        await self

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task
        inner = self._work.__await__()
        try:
            waited = next(inner)
            for number in count():
                if number == self._at:
                    self.is_cancelled = task.cancel()
                try:
                    got = yield waited
                except BaseException as error:
                    waited = inner.throw(error)
                else:
                    waited = inner.send(got)
        except StopIteration as done:
            return done.value


@pytest.mark.parametrize("is_fresh", [False, True], ids=["connected", "fresh"])
async def test_a_commit_is_cancelled_at_each_await(
    redis_server: RedisServer, log: RedisLog, is_fresh: bool
) -> None:
    """The next call of the same client gets its own reply, not the one that nobody took."""
    written: list[Batch] = []
    head = await begun(log)
    far = connect(redis_server.url, SITE)
    for at in range(MAX_AWAITS):
        if is_fresh:
            await far.close()
        batch = await batch_of(log, written[-1].after if written else head, [lease(at)], f"b{at}")
        work = CancelledAt(far.append(batch), at)
        if not await work.run():
            await settle(far, batch)
        written.append(batch)
        assert batch.after == await known_head(far)
        if not work.is_cancelled:
            break
    await far.close()

    assert len(written) > 1
    assert not work.is_cancelled
    await assert_once(log, written)


async def test_a_command_is_cancelled_at_each_await(
    redis_server: RedisServer, log: RedisLog
) -> None:
    """A command that was cancelled was sent once or not at all, and the next reads its own id."""
    await begun(log)
    far = connect(redis_server.url, SITE)
    for at in range(MAX_AWAITS):
        beat = Heartbeat(edge="bng1", incarnation="a", nonce=f"n{at}", applied=at)
        work = CancelledAt(far.send(beat, "bng1"), at)
        if not await work.run():
            sent = await far.send(beat, "bng1")
            last = (await log.commands(ZERO_ID, 1000))[-1]
            assert last.entry_id == sent
        if not work.is_cancelled:
            break
    await far.close()

    nonces = [sent.command.nonce for sent in await log.commands(ZERO_ID, 1000)]  # type: ignore[union-attr]
    assert set(nonces) == {f"n{at}" for at in range(at + 1)}
    assert all(nonces.count(nonce) <= 2 for nonce in nonces)
