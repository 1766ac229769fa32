"""Waits that end before their time."""

import asyncio

from lease_core.service.bell import Bell


async def test_a_ring_ends_the_wait_with_nothing() -> None:
    """However often it rings, and whenever."""
    bell = Bell()
    bell.ring()
    for rings in (1, 2):
        waiting = asyncio.create_task(bell.or_ring(asyncio.sleep(60, ["news"])))
        await asyncio.sleep(0)
        for _ in range(rings):
            bell.ring()
        assert await waiting == []
        bell.ring()


async def test_news_come_through() -> None:
    """Without a ring it is as if there were no bell; a ring before is not kept."""
    bell = Bell()
    bell.ring()

    assert await bell.or_ring(asyncio.sleep(0, ["news"])) == ["news"]


async def test_a_cancellation_is_none_of_its_rings() -> None:
    """Who is cancelled ends, also while it rings."""
    bell = Bell()
    waiting = asyncio.create_task(bell.or_ring(asyncio.sleep(60, ["news"])))
    await asyncio.sleep(0)
    bell.ring()
    waiting.cancel()
    await asyncio.wait((waiting,), timeout=5)

    assert waiting.cancelled()
