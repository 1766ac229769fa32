"""Waiting for something to come about, however slow the machine is."""

import asyncio
from collections.abc import Callable
from typing import Any

DEADLINE_S = 30.0
POLL_S = 0.002


async def until(is_true: Callable[[], Any], what: str = "it") -> None:
    """Poll until something holds; the condition may be a coroutine function.

    Raises:
        AssertionError: it did not within DEADLINE_S, which only who fails waits for.
    """
    deadline = asyncio.get_running_loop().time() + DEADLINE_S
    while True:
        found = is_true()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(POLL_S)
