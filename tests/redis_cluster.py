"""A real cluster of redis-servers on loopback: three masters. A lost one stops its slots only."""

import subprocess
import time
from pathlib import Path
from typing import Any, Self

import redis

from lease_core.endpoint import Endpoint
from lease_core.log.keys import Keys
from tests.redis_server import RedisServer, free_port

MASTERS = 3
NODE_TIMEOUT_MS = 1000
START_TIMEOUT_S = 30.0


class RedisCluster:
    """`with RedisCluster(folder) as cluster:` is up when every node says so."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[RedisServer] = []
        for number in range(MASTERS):
            home = folder / f"node{number}"
            home.mkdir()
            settings = {
                "cluster-enabled": "yes",
                "cluster-port": str(free_port()),
                "cluster-node-timeout": str(NODE_TIMEOUT_MS),
                "cluster-require-full-coverage": "no",
            }
            words = [word for name, value in settings.items() for word in (f"--{name}", value)]
            self.nodes.append(RedisServer(home, *words))

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(nodes=tuple(f"127.0.0.1:{node.port}" for node in self.nodes))

    def __enter__(self) -> Self:
        for node in self.nodes:
            node.start()
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
            check=True, capture_output=True, timeout=START_TIMEOUT_S,
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(b"cluster_state:ok" in _ask(node, "CLUSTER INFO") for node in self.nodes):
            assert time.monotonic() < deadline, "the cluster does not come up"
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.kill()

    def owner(self, site: str) -> RedisServer:
        """The master of a site's slot; all nodes must be up."""
        slot = self._slot(site)
        for first, last, master, *_ in _ask(self.nodes[0], "CLUSTER SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError(f"nobody serves slot {slot}")

    def reshard(self, site: str) -> None:
        """Move the slot of a site, with all its keys, to another master, as redis-cli does."""
        slot, source = self._slot(site), self.owner(site)
        target = next(node for node in self.nodes if node is not source)
        names = {node.port: _ask(node, "CLUSTER MYID") for node in (source, target)}
        _ask(target, "CLUSTER SETSLOT", slot, "IMPORTING", names[source.port])
        _ask(source, "CLUSTER SETSLOT", slot, "MIGRATING", names[target.port])
        while keys := _ask(source, "CLUSTER GETKEYSINSLOT", slot, 10):
            _ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            _ask(node, "CLUSTER SETSLOT", slot, "NODE", names[target.port])

    def _slot(self, site: str) -> int:
        slot: int = _ask(self.nodes[0], "CLUSTER KEYSLOT", Keys(site).head)
        return slot


def _ask(node: RedisServer, *words: Any) -> Any:
    connection = redis.Connection(host="127.0.0.1", port=node.port, socket_timeout=5)
    try:
        connection.send_command(*words[0].split(), *words[1:])
        return connection.read_response()
    finally:
        connection.disconnect()
