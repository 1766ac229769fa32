"""The load generator of the benchmarks: new clients are new."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scripts.benchmark.perfdhcp import Perfdhcp

REPORT = """
sent packets: 10
received packets: 10
avg delay: 1.5 ms
sent packets: 10
received packets: 10
avg delay: 2.5 ms
"""


def test_no_run_of_newcomers_meets_those_of_another() -> None:
    """Whatever their numbers; only those who stay are the ones of the run before.

    perfdhcp adds a client's number to its base octet by octet, and carries nothing.
    """
    runs: list[set[bytes]] = []

    def added(base: bytes, number: int) -> bytes:
        octets = zip(base, number.to_bytes(6, "big"), strict=True)
        return bytes((one + other) % 256 for one, other in octets)

    def run(*words: Any, **_: Any) -> str:
        if "-R" in words:
            text = " ".join(map(str, words))
            mac, count = re.search(r"mac=([0-9a-f:]+)", text), words[words.index("-R") + 1]
            assert mac
            base = bytes.fromhex(mac[1].replace(":", ""))
            runs.append({added(base, number) for number in range(count)})
        return REPORT

    host = SimpleNamespace(run=run)
    server = SimpleNamespace(run=lambda *_: '[{"address": "02:00:00:00:00:01"}]')
    wire: Any = SimpleNamespace(server=server, clients=host, interface="a0")
    load = Perfdhcp(wire, "192.0.2.9/24", "192.0.2.1", Path("roomy.so"))
    for clients in (62_700, 27_000, 6_000):
        load.run(1000, clients)
    found = load.run(1000, 6_000, stay=True)

    assert found.delays_ms == (1.5, 2.5)
    assert len(set().union(*runs)) == 62_700 + 27_000 + 6_000
    assert runs[3] == runs[2]
