"""Running one of the service's endless tasks until it has done a piece of work."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from scripts.lab import LabError

LIMIT_S = 120.0


async def run_until(work: Coroutine[Any, Any, None], reached_at: asyncio.Future[float]) -> float:
    """Run `work` until the future has a result, then end it; return the result.

    Raises:
        LabError: it took too long, or `work` ended before.
    """
    task = asyncio.create_task(work)
    await asyncio.wait([task, reached_at], timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.wait([task])
    if not reached_at.done():
        why = "" if task.cancelled() else f": {task.exception()}"
        raise LabError(f"{work.__qualname__} did not get there in {LIMIT_S:.0f} s{why}")
    return reached_at.result()
