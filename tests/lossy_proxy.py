"""A TCP proxy on loopback that loses one reply on demand, or its end: the request arrives."""

import asyncio
from types import TracebackType
from typing import Self


class LossyProxy:
    """`async with LossyProxy(port) as proxy:` forwards `proxy.port` to `port`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.loses_next_reply = False
        self.cuts_reply_at: int | None = None
        """So many octets of the next reply arrive, then the connection ends."""
        self.last_reply = 0
        """Octets of the last one."""

    @property
    def port(self) -> int:
        assert self._server is not None, "start the proxy first"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        for task in (
            asyncio.create_task(self._pump(reader, up_writer, is_reply=False)),
            asyncio.create_task(self._pump(up_reader, writer, is_reply=True)),
        ):
            self._tasks.add(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        try:
            while octets := await source.read(65536):
                if is_reply and self.loses_next_reply:
                    self.loses_next_reply = False
                    break
                if is_reply and self.cuts_reply_at is not None:
                    cut, self.cuts_reply_at = self.cuts_reply_at, None
                    sink.write(octets[:cut])
                    if cut < len(octets):
                        break
                    octets = b""
                self.last_reply = len(octets) if is_reply else self.last_reply
                sink.write(octets)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()
