"""A bell ends a wait for the log before its time: something else has to be looked at."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Bell:
    """One waits at a time; a ring that finds nobody waiting is not kept."""

    def __init__(self) -> None:
        self._wait: asyncio.Timeout | None = None

    def ring(self) -> None:
        wait, self._wait = self._wait, None
        if wait:
            wait.reschedule(asyncio.get_running_loop().time())

    async def or_ring(self, news: Awaitable[Sequence[T]]) -> Sequence[T]:
        """What comes, or nothing if the bell rings first."""
        try:
            async with asyncio.timeout(None) as self._wait:
                return await news
        except TimeoutError:
            return []
        finally:
            self._wait = None
