"""Upstream: commands to the allocator, in batches that form by themselves.

Commands wait in a bounded queue. What cannot be sent is dropped and counted: clients repeat
themselves, and the agent repeats what it owes. A heartbeat goes first and always finds room,
because without a horizon no client can be served. Those who look for their first offer go last,
and their commands make room for all others: who was served already is served first.
"""

import asyncio
from collections import deque

import structlog

from lease_core.domain.commands import Command, Heartbeat, RequestOffer
from lease_core.log.port import LogError, SiteLog

MAX_WAITING = 4096
MAX_BATCH = 256


class Upstream:
    def __init__(self, log: SiteLog, sender: str) -> None:
        self.dropped = 0
        self._log = log
        self._sender = sender
        self._waiting: deque[Command] = deque()
        self._newcomers: deque[Command] = deque()
        self._heartbeat: Heartbeat | None = None
        self._woken = asyncio.Event()
        self._reachable = True
        self._audit = structlog.get_logger("edge").bind(site=log.site)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._newcomers) + (self._heartbeat is not None)

    def send(self, command: Command) -> bool:
        """Queue a command; False = the queue is full, so it was dropped and counted.

        Of heartbeats only the last is kept.
        """
        if isinstance(command, Heartbeat):
            self._heartbeat = command
        elif isinstance(command, RequestOffer):
            if self._is_full:
                self.dropped += 1
                return False
            self._newcomers.append(command)
        else:
            if self._is_full:
                self.dropped += 1
                if not self._newcomers:
                    return False
                self._newcomers.popleft()
            self._waiting.append(command)
        self._woken.set()
        return True

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) + len(self._newcomers) >= MAX_WAITING

    async def run(self) -> None:
        """Send for ever; ends only by cancellation or by our own bug."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while batch := self._batch():
                await self._send(batch)

    def _batch(self) -> list[Command]:
        batch: list[Command] = [self._heartbeat] if self._heartbeat else []
        self._heartbeat = None
        for waiting in (self._waiting, self._newcomers):
            while waiting and len(batch) < MAX_BATCH:
                batch.append(waiting.popleft())
        return batch

    async def _send(self, batch: list[Command]) -> None:
        try:
            await self._log.send_many(batch, self._sender)
        except LogError as error:
            self.dropped += len(batch)
            if self._reachable:
                self._audit.error("upstream.unavailable", reason=str(error))
            self._reachable = False
        else:
            if not self._reachable:
                self._audit.info("upstream.available", dropped=self.dropped)
            self._reachable = True
