"""The heart of an allocator: it tells the other members that this process lives, and who else does.

It beats in a thread of its own, because an event loop that has much to do is not dead. One that
has not turned for `STALLED_S` is: then the heart stops, and others take the sites.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable

from lease_core.log.errors import LogError, LogUnavailableError
from lease_core.log.members import Members

BEAT_S = 0.25
MEMBER_MS = 1000
LATE_S = 0.5
IN_TIME = 2
"""So many beats in time make a view of the others that is acted on. After a start or an outage
they have not said that they live, or not seen us; and who is late himself calls nobody dead.
"""
STALLED_S = 5.0


class Heart:
    def __init__(
        self,
        members: Members,
        name: str,
        meet: Callable[[frozenset[str] | LogUnavailableError], None],
        doubt: Callable[[], None],
    ) -> None:
        """`meet` is called in the loop of `run` after each beat, with who lives or why not;
        `doubt` when a beat came so late that others may have taken this process for dead."""
        self._members = members
        self._name = name
        self._meet = meet
        self._doubt = doubt
        self._turned_at = time.monotonic()
        self._is_over = threading.Event()

    async def run(self) -> None:
        """Beat until cancelled, then say goodbye."""
        loop = asyncio.get_running_loop()
        beating = asyncio.create_task(asyncio.to_thread(asyncio.run, self._beat(loop)))
        try:
            while not beating.done():
                self._turned_at = time.monotonic()
                await asyncio.sleep(BEAT_S)
        finally:
            self._is_over.set()
            await asyncio.wait((beating,))
        await beating

    async def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        in_time, heard_at = 0, 0.0
        while not self._is_over.is_set():
            if time.monotonic() - self._turned_at < STALLED_S:
                try:
                    living = await self._members.beat(self._name, MEMBER_MS)
                except LogUnavailableError as error:
                    in_time = 0
                    loop.call_soon_threadsafe(self._meet, error)
                else:
                    before, heard_at = heard_at, time.monotonic()
                    in_time = in_time + 1 if heard_at - before < LATE_S else 0
                    if not in_time:
                        loop.call_soon_threadsafe(self._doubt)
                    if in_time >= IN_TIME:
                        loop.call_soon_threadsafe(self._meet, living)
            await asyncio.sleep(BEAT_S)
        with contextlib.suppress(LogError):
            await self._members.beat(self._name, 0)
        await self._members.close()
