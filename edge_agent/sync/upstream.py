"""Upstream: commands to the allocator, in batches that form by themselves.

Commands wait in a bounded queue. What cannot be sent is dropped and counted: clients repeat
themselves, and the agent repeats what it owes.
"""

import asyncio
from collections import deque

import structlog

from lease_core.domain.commands import Command
from lease_core.log.port import LogUnavailableError, SiteLog

audit = structlog.get_logger("edge")

MAX_WAITING = 4096
MAX_BATCH = 256


class Upstream:
    def __init__(self, log: SiteLog, sender: str) -> None:
        self.dropped = 0
        self._log = log
        self._sender = sender
        self._waiting: deque[Command] = deque()
        self._woken = asyncio.Event()
        self._reachable = True

    def send(self, command: Command) -> bool:
        """Queue a command; False = the queue is full, so it was dropped and counted."""
        if len(self._waiting) >= MAX_WAITING:
            self.dropped += 1
            return False
        self._waiting.append(command)
        self._woken.set()
        return True

    async def run(self) -> None:
        """Send for ever; ends only by cancellation or by our own bug."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                count = min(len(self._waiting), MAX_BATCH)
                await self._send([self._waiting.popleft() for _ in range(count)])

    async def _send(self, batch: list[Command]) -> None:
        try:
            await self._log.send_many(batch, self._sender)
        except LogUnavailableError as error:
            self.dropped += len(batch)
            if self._reachable:
                audit.error("upstream.unavailable", reason=str(error))
            self._reachable = False
        else:
            if not self._reachable:
                audit.info("upstream.available", dropped=self.dropped)
            self._reachable = True
