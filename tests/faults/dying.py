"""Run one of our programs until it comes to a named point for the n-th time, and kill there.

    python -m tests.faults.dying POINT NTH PID OBJECT PROGRAM ARGUMENTS...

POINT is `before` or `after`, a colon, and a method as `module:Class.method`. PID 0 means ourselves;
another PID (of Redis) dies in our stead and we go on. The programs know nothing of this. They run
as `scaled` runs them.
"""

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from tests.faults import scaled


class Point:
    """Counts arrivals; the n-th is the last."""

    def __init__(self, nth: int, victim: int) -> None:
        self._left = nth
        self._victim = victim or os.getpid()

    def arrive(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(self._victim, signal.SIGKILL)


def arm(where: str, point: Point) -> None:
    """Put the point around a method of a class."""
    when, module, name = where.split(":")
    class_name, method_name = name.split(".")
    owner = getattr(importlib.import_module(module), class_name)
    setattr(owner, method_name, _around(getattr(owner, method_name), when, point))


def _around(method: Callable[..., Any], when: str, point: Point) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def wrapped(*args: Any, **more: Any) -> Any:
            if when == "before":
                point.arrive()
            result = await method(*args, **more)
            if when == "after":
                point.arrive()
            return result

        return wrapped

    @functools.wraps(method)
    def wrapped_plain(*args: Any, **more: Any) -> Any:
        if when == "before":
            point.arrive()
        result = method(*args, **more)
        if when == "after":
            point.arrive()
        return result

    return wrapped_plain


def main() -> None:
    where, nth, victim, kernel_object, program, *arguments = sys.argv[1:]
    arm(where, Point(int(nth), int(victim)))
    scaled.run(kernel_object, program, arguments)


if __name__ == "__main__":
    main()
