"""An event loop that owns time: the real coroutines run on it, nothing ever sleeps.

What runs belongs to a process (a context variable); a stopped one keeps its steps for later.
"""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any


class Killed(BaseException):
    """A process died between two of its own steps."""


class Process:
    """What can be killed, stopped and resumed; `tasks` are its own, in the order they began."""

    def __init__(self, loop: "SimLoop", name: str, clock: Any) -> None:
        self.name, self.clock = name, clock
        self.is_alive = True
        self.is_stopped = False
        self.frozen: list[Handle] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = copy_context()
        self.context.run(PROCESS.set, self)
        self.leads: dict[str, Any] = {}
        self._loop = loop

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self.context.run(self._loop.create_task, work)
        self.tasks.append(task)

    def stop(self) -> None:
        """SIGSTOP."""
        self.is_stopped = True

    def resume(self) -> None:
        self.is_stopped = False
        self._loop.ready.extend(self.frozen)
        self.frozen.clear()

    def kill(self) -> None:
        """SIGKILL: whoever asks `is_alive` refuses it everything from now on."""
        self.is_alive = False
        self.resume()
        for task in self.tasks:
            task.cancel()


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class Handle:
    """A callback to come; asyncio's own does more, at twice the cost of many a step."""

    __slots__ = ("args", "callback", "context", "is_cancelled")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Any) -> None:
        self.callback, self.args = callback, args
        self.context: Context = copy_context() if context is None else context
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


def finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class SimLoop(asyncio.AbstractEventLoop):
    """One step is one callback; `now_s` is the only real time there is."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.steps = 0
        self.ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._number = 0
        self._nobody = copy_context()

    def later(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> Handle:
        """What belongs to no process: machines, wires, clients."""
        return self.call_at(self.now_s + delay_s, callback, *args, context=self._nobody)

    async def pause(self, delay_s: float) -> None:
        """`asyncio.sleep`, without its checks."""
        waiter: asyncio.Future[None] = asyncio.Future(loop=self)
        timer = self.call_at(self.now_s + delay_s, finish, waiter)
        try:
            await waiter
        finally:
            timer.cancel()

    @contextmanager
    def running(self) -> Iterator[None]:
        """What asks for the running loop finds this one."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            yield
        finally:
            events._set_running_loop(before)

    def run_until(self, end_s: float, max_steps: int) -> None:
        """Run until the time has come, or so many steps in all were made."""
        ready, timers = self.ready, self._timers
        while self.steps < max_steps:
            if ready:
                handle = ready.popleft()
            elif timers and timers[0][0] <= end_s:
                self.now_s, _, handle = heapq.heappop(timers)
            else:
                self.now_s = end_s
                return
            if handle.is_cancelled:
                continue
            context = handle.context
            process = context.get(PROCESS)
            if process and process.is_stopped:
                process.frozen.append(handle)
                continue
            self.steps += 1
            context.run(handle.callback, *handle.args)

    # --- what tasks, futures and sleeps ask of a loop ---

    def time(self) -> float:
        return self.now_s

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> Any:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> Any:
        handle = Handle(callback, args, context)
        self.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        timer = Handle(callback, args, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody awaits the tasks of a killed process."""
