"""An outlet for audit lines that never blocks: who does not read them costs lines, not service.

A thread writes what is queued, as much at once as there is, and gathers for a moment first: woken
for each line it would cost the service more than the line. What does not fit into the queue is
dropped, and said as soon as somebody reads again.
"""

import json
import os
import threading
from types import TracebackType
from typing import Final, Self

MAX_QUEUED: Final = 4 << 20
"""Characters."""
DRAIN_S: Final = 2.0
GATHER_S: Final = 0.02
STDOUT: Final = 1


class Outlet:
    """Looks like a text stream over the file descriptor `fd`; at the end what is queued goes out,
    or is lost after `DRAIN_S`."""

    def __init__(self, fd: int = STDOUT) -> None:
        self.dropped = 0
        """Writes that did not fit, or that the file descriptor refused."""
        self._fd = fd
        self._queued: list[str] = []
        self._size = 0
        self._told = 0
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)

    def write(self, text: str) -> int:
        with self._changed:
            if self._size + len(text) > MAX_QUEUED:
                self.dropped += 1
            else:
                if not self._queued:
                    self._changed.notify()
                self._queued.append(text)
                self._size += len(text)
        return len(text)

    def flush(self) -> None:
        """Nothing waits for the thread."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join(DRAIN_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queued or self._is_over)
                self._changed.wait_for(lambda: self._is_over, GATHER_S)
                queued, self._queued, self._size = self._queued, [], 0
            if not queued:
                return
            self._write_out("".join(queued), len(queued))
            if self.dropped > self._told:
                self._told = self.dropped
                line = {"event": "lines.dropped", "level": "warning", "dropped": self.dropped}
                self._write_out(json.dumps(line) + "\n", 1)

    def _write_out(self, text: str, count: int) -> None:
        octets = memoryview(text.encode(errors="backslashreplace"))
        try:
            while octets:
                octets = octets[os.write(self._fd, octets) :]
        except OSError:
            self.dropped += count
