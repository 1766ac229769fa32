"""Who to connect to, where that can change: a sentinel's master, or the owner of a cluster's slot.

A site is one slot, so its client needs one node at a time, as it needs one master. It is asked for
each time a connection opens; between, only the node itself says that it is the wrong one.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.crc import key_slot
from redis.exceptions import RedisError

Address = tuple[str, int]
Ask = Callable[[Address, Sequence[str]], Awaitable[Any]]
"""Sends one command to a node that nobody else talks to, and returns the reply."""


def parse(text: str) -> Address:
    """`host:port`, an IPv6 host in brackets."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Locator:
    """Asks one after the other; who answered is asked first the next time.

    Raises (when called):
        ConnectionRefusedError: nobody knows, so nothing was sent to anybody.
    """

    def __init__(self, known: Sequence[Address], what: str, ask: Ask) -> None:
        self._known = list(known)
        self._what = what
        self._ask = ask
        self._told: Address | None = None

    def moved(self, address: Address) -> None:
        """The node that was asked says who serves; believed once."""
        self._told = address

    def distrust(self) -> None:
        """What the first one said was wrong: it is asked last the next time."""
        self._known.append(self._known.pop(0))

    async def __call__(self) -> Address:
        told, self._told = self._told, None
        if told:
            return told
        for asked in list(self._known):
            try:
                found = self._found(asked, await self._ask(asked, self._question()))
            except (RedisError, OSError):
                continue
            if found:
                self._known.remove(asked)
                self._known.insert(0, asked)
                return found
        raise ConnectionRefusedError(
            f"none of {len(self._known)} nodes tells who serves {self._what}"
        )

    def _question(self) -> Sequence[str]:
        raise NotImplementedError

    def _found(self, asked: Address, reply: Any) -> Address | None:
        raise NotImplementedError


class SentinelMaster(Locator):
    """The server that sentinels call the master of `name`."""

    def __init__(self, sentinels: Sequence[Address], name: str, ask: Ask) -> None:
        super().__init__(sentinels, name, ask)
        self._name = name

    def _question(self) -> Sequence[str]:
        return ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)

    def _found(self, asked: Address, reply: Any) -> Address | None:  # noqa: ARG002  (as above)
        return (reply[0].decode(), int(reply[1])) if reply else None


class SlotOwner(Locator):
    """The node of a cluster that serves the slot of `key`."""

    def __init__(self, nodes: Sequence[Address], key: str, ask: Ask) -> None:
        self._slot = key_slot(key.encode())
        super().__init__(nodes, f"slot {self._slot}", ask)

    def _question(self) -> Sequence[str]:
        return ("CLUSTER", "SLOTS")

    def _found(self, asked: Address, reply: Any) -> Address | None:
        for first, last, (host, port, *_), *_ in reply:
            if first <= self._slot <= last:
                return host.decode() or asked[0], int(port)
        return None
