"""Reading streams of Redis from where each was read to: at once, waiting, or ahead of need."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lease_core.log.decoding import Entries
from lease_core.log.held import HeldConnection
from lease_core.log.port import MAX_BLOCK_MS, MAX_COUNT
from lease_core.log.redis_client import READ_MARGIN_S, translated

After = Mapping[str, str]
"""Keys of streams, each with the id of the last entry that was read."""
Page = dict[str, Entries]
"""What came, under every key that was asked for."""


class Streams:
    """Reads that wait go over a connection of their own: nobody else may wait behind them."""

    def __init__(self, waiting: HeldConnection, calling: HeldConnection) -> None:
        self._waiting = waiting
        self._calling = calling

    async def read(self, after: After, count: int, block_ms: int) -> Page:
        """Entries behind these, so many of each stream, but no more than `MAX_COUNT`.

        Raises:
            LogUnavailableError: no reply, or one that refuses.
            ForeignLogError: a key holds something else.
        """
        connection = self._waiting if block_ms else self._calling
        block_ms = min(block_ms, MAX_BLOCK_MS)
        if block_ms:
            connection.leave_given_up()
        words = _words(after, count, "BLOCK", block_ms) if block_ms else _words(after, count)
        with translated():
            got = await connection.call(*words, limit_s=block_ms / 1000 + READ_MARGIN_S)
        return _page(after, got)

    def read_ahead(self, after: After, count: int) -> Callable[[], Awaitable[Page]] | None:
        """Ask for what is there behind a page that was waited for, without a pause for the reply.

        Returns how to get it, as `read` does; nobody has to. None = no connection is open.
        """
        reply = self._waiting.call_ahead(*_words(after, count), limit_s=READ_MARGIN_S)
        if reply is None:
            return None

        async def read() -> Page:
            with translated():
                return _page(after, await reply())

        return read


def ends_of(page: Page, after: After) -> After:
    """Where a page that was read behind `after` ends."""
    return {key: page[key][-1][0].decode() if page[key] else after[key] for key in after}


def _words(after: After, count: int, *block: str | int) -> list[str | int]:
    return ["XREAD", "COUNT", min(count, MAX_COUNT), *block, "STREAMS", *after, *after.values()]


def _page(after: After, got: Any) -> Page:
    """Streams without entries are not told; the others as the server's protocol has it."""
    streams = got.items() if isinstance(got, dict) else got or ()
    page: Page = dict.fromkeys(after, ())
    return page | {key.decode(): entries for key, entries in streams}
