"""The ceilings: the append script and XREAD with nothing around them.

One synchronous client with prepared arguments, and nobody who reads or checks what comes back.
"""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import redis

from lease_core.domain.events import LEASE_VERSION, LeaseAssigned, PoolAdded
from lease_core.domain.ledger import Binding, Ledger
from lease_core.domain.values import Ipv4, Mac
from lease_core.log.keys import Keys
from lease_core.log.port import MAX_ANSWERS, MAX_SKEW_MS, ZERO_HASH
from lease_core.log.redis_client import by_form
from lease_core.log.wire import EventEncoder
from tests.redis_server import RedisServer

LINE = "access0"
POOL = "res-1"
FIRST_ADDRESS = 0x64400002
FIRST_MAC = 0x02BE00000000


def assigned(number: int) -> LeaseAssigned:
    """The event that most of a log is made of."""
    return LeaseAssigned(
        mac=Mac(FIRST_MAC + number),
        ip=Ipv4(FIRST_ADDRESS + number),
        pool=POOL,
        line=LINE,
        cause="selecting",
        req=f"3f9a1c-{number}",
        host="subscriber",
    )


def pool_added(size: int) -> PoolAdded:
    """The pool of so many subscribers."""
    return PoolAdded(
        pool=POOL,
        number=1,
        network="100.64.0.0/10",
        first=Ipv4(FIRST_ADDRESS),
        last=Ipv4(FIRST_ADDRESS + size),
        gateway=Ipv4(FIRST_ADDRESS - 1),
        dns="192.0.2.53",
        lease_time_s=3600,
        cause="bench",
    )


def leased(leases: int, size: int) -> Ledger:
    """So many subscribers of a pool of `size` hold the address that `assigned` gives them."""
    ledger = Ledger()
    ledger.add_pool(pool_added(size), 1)
    for number in range(leases):
        mac, ip = Mac(FIRST_MAC + number), Ipv4(FIRST_ADDRESS + number)
        ledger.bind(Binding(mac, LINE, ip, POOL, number + 2))
    ledger.seq, ledger.epoch = leases + 1, 1
    return ledger


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """A server with the settings that the service rests on (appendfsync always)."""
    with (
        tempfile.TemporaryDirectory(prefix="lease-bench-") as folder,
        RedisServer(Path(folder)) as server,
    ):
        yield server


class BareAppend:
    """Calls append.lua in a loop. The script does not check hashes, so any will do."""

    def __init__(self, client: redis.Redis, site: str) -> None:
        """Begin a log of `site`."""
        keys = Keys(site)
        self._client = client
        self._keys = (keys.events, keys.head, keys.answers, keys.commands)
        self._script = client.script_load(_script("append"))
        self._genesis, self._seq = secrets.token_hex(16), 0
        create, claim = (client.script_load(_script(name)) for name in ("create", "claim"))
        client.evalsha(create, 2, keys.head, keys.events, self._genesis, ZERO_HASH)
        taken = (keys.leader, keys.head, keys.events, "bench", 60_000, self._genesis, 0, "", 0)
        _, self._epoch, _ = client.evalsha(claim, 3, *taken)

    def run(self, events: Sequence[LeaseAssigned], per_call: int) -> float:
        """Append events, so many a call; events per second."""
        encoder = EventEncoder(ZERO_HASH, epoch=1, by="", commit_ms=0, reads=LEASE_VERSION)
        entries = [encoder.encode(seq, event)[1] for seq, event in enumerate(events, 1)]
        calls = [by_form(entries[at : at + per_call]) for at in range(0, len(entries), per_call)]
        start = time.perf_counter()
        for number, arguments in enumerate(calls):
            count = min(per_call, len(events) - number * per_call)
            self._call(count, arguments)
        return len(events) / (time.perf_counter() - start)

    def _call(self, count: int, arguments: list[int | bytes]) -> None:
        reply = self._client.evalsha(
            self._script, 4, *self._keys, self._genesis, self._epoch, self._seq, ZERO_HASH,
            secrets.token_hex(8), "", time.time_ns() // 1_000_000, ZERO_HASH, MAX_SKEW_MS,
            MAX_ANSWERS, count, 0, *arguments,
        )  # fmt: skip
        assert reply[0] == b"OK", reply
        self._seq += count


def xread(client: redis.Redis, site: str, count: int = 1000) -> float:
    """Read a log from its beginning to its end; entries per second."""
    key, after, total = Keys(site).events, b"0-0", 0
    start = time.perf_counter()
    while got := client.xread({key: after}, count=count):
        entries = got[0][1]
        after = entries[-1][0]
        total += len(entries)
    return total / (time.perf_counter() - start)


def _script(name: str) -> str:
    return files("lease_core.log").joinpath(f"{name}.lua").read_text(encoding="utf-8")
