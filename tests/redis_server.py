"""A real redis-server of our own: free loopback port, append-only file, temporary directory."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_TIMEOUT_S = 15.0
POLL_S = 0.02


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """`with RedisServer(tmp_path) as server:` starts and at the end stops exactly this process.

    Data stays in `folder`, so `restart` (after `stop` or `kill`) comes back with it.
    """

    def __init__(self, folder: Path, *settings: str, config: Path | None = None) -> None:
        """With `config`, the file of a sentinel, it runs as one, without data."""
        self.folder = folder
        self.port = free_port()
        self._settings = settings
        self._config = config
        self._links: list[socket.socket] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "start the server first"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it answers PING (it has then loaded its data).

        Raises:
            RuntimeError: it ended or gave no answer within `START_TIMEOUT_S`.
        """
        assert self._process is None, "it runs already"
        self._process = subprocess.Popen(
            self._words(),
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "redis.log").open("ab"),
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError((self.folder / "redis.log").read_text()[-2000:])
            time.sleep(POLL_S)

    def _words(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        if self._config:
            return ["redis-server", str(self._config), "--sentinel", *where, *self._settings]
        return [
            "redis-server",
            *where,
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--aof-load-truncated", "no", "--maxmemory-policy", "noeviction"),
            *("--stream-node-max-bytes", "16384", "--stream-node-max-entries", "1000"),
            *self._settings,
        ]

    def stop(self) -> None:
        """End it in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to tidy up (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it unless it is down, and start it on the same port and data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop its execution (SIGSTOP): connections stay open and nothing answers."""
        assert self._process is not None, "start the server first"
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None, "start the server first"
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _end(self, how: signal.Signals) -> None:
        while self._links:
            self._links.pop().close()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def send(self, words: str) -> None:
        """Say something and wait for no answer; the connection stays open with this object."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=1.0)
        link.sendall(words.encode())
        self._links.append(link)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as link:
                link.sendall(b"PING\r\n")
                return link.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
