"""Ending on a signal."""

import asyncio
import os
import signal

import pytest

from lease_core.shutdown import run_until_signal


async def test_work_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    """One SIGTERM ends the work, even if it swallows the first cancellations."""
    cancelled = 0

    async def deaf() -> None:
        nonlocal cancelled
        while True:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1
                if cancelled == 3:
                    raise

    await asyncio.wait_for(run_until_signal(deaf()), 10)

    assert cancelled == 3


async def test_a_fault_of_the_work_comes_out() -> None:
    """Work that ends by itself with a fault is not taken for a shutdown."""

    async def broken() -> None:
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        await run_until_signal(broken())
