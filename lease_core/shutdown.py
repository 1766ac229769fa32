"""Ending a process on SIGTERM or SIGINT, for good."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`; on a signal cancel it and wait until it has ended.

    Raises:
        Exception: what `work` raised.
    """
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    working.cancel()
    await asyncio.wait((working,))
    if not working.cancelled():
        await working
