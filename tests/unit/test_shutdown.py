"""Ending on a signal."""

import asyncio
import os
import signal

import pytest

from lease_core.shutdown import run_until_signal


async def test_work_is_ended_by_a_signal_and_finishes_what_it_must() -> None:
    """One SIGTERM cancels the work, and nothing hurries what it does in the end."""
    is_finished = False

    async def busy() -> None:
        nonlocal is_finished
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)
            is_finished = True

    await asyncio.wait_for(run_until_signal(busy()), 10)

    assert is_finished


async def test_a_fault_of_the_work_comes_out() -> None:
    """Work that ends by itself with a fault is not taken for a shutdown."""

    async def broken() -> None:
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        await run_until_signal(broken())
