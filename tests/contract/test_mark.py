"""The mark in the head, up to where replicas hold the log: who moves it, and whither (ADR 9)."""

import pytest

from lease_core.log.errors import FencedError, ForeignLogError
from lease_core.log.port import Head, SiteLog
from tests.contract.backends import Backend
from tests.contract.story import GENESIS, LONG_MS, OWNER, begun, known_head, lease, written


def mark(head: Head) -> tuple[int | None, str]:
    return head.committed, head.committed_h


async def test_an_epoch_begins_and_ends_the_mark(backend: Backend, log: SiteLog) -> None:
    """It begins at the log's end where replicas have to hold, and goes where none have to; while
    it stands, the next epoch leaves it alone."""
    first = await written(log, await begun(log), [lease(1)], "a")
    waiting = backend.client(replicas=1)
    assert mark(first.after) == (None, "")

    await waiting.claim(OWNER, LONG_MS, GENESIS, above=1)
    head = await known_head(log)
    assert mark(head) == (1, first.after.h)
    await written(log, head, [lease(2)], "b")
    await waiting.claim(OWNER, LONG_MS, GENESIS, above=2)
    assert mark(await known_head(log)) == (1, first.after.h)
    await log.claim(OWNER, LONG_MS, GENESIS, above=3)
    assert mark(await known_head(log)) == (None, "")


async def test_the_mark_moves_by_itself_and_never_back(backend: Backend) -> None:
    """An append leaves it; a batch that is held moves it there, and an older one not back (I2)."""
    waiting, log = backend.client(replicas=1), backend.client()
    first = await written(log, await begun(waiting), [lease(1)], "a")
    second = await written(log, first.after, [lease(2)], "b")
    assert (await known_head(log)).committed == 0

    for batch in (second, first):
        await waiting._commit(batch)
        assert mark(await known_head(log)) == (2, second.after.h)


async def test_only_who_leads_moves_the_mark(backend: Backend) -> None:
    """A deposed leader, or one of another log, says nothing of replicas (I5)."""
    waiting, log = backend.client(replicas=1), backend.client()
    batch = await written(log, await begun(waiting), [lease(1)], "a")
    await waiting.claim(OWNER, LONG_MS, GENESIS, above=1)
    with pytest.raises(FencedError):
        await waiting._commit(batch)
    assert (await known_head(log)).committed == 0

    await backend.flush()
    await log.create("another")
    with pytest.raises(ForeignLogError):
        await waiting._commit(batch)
