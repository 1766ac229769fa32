"""What strangers call themselves stays text, in every line that we write."""

import json
import os
import re
import sys

import pytest

from scripts.lab import Lab, Site, wait_until
from tests.faults.checker import events_of
from tests.faults.hostile import text_of
from tests.faults.service import acked

pytestmark = pytest.mark.net

TEXTS = 500 if os.environ.get("LEASE_FULL") else 100


def octets_of(shown: str) -> bytes:
    """The inverse of what we show; what was cut off at its end may be half an escape."""
    whole = re.sub(r"\\(x[0-9a-f]?)?$", "", shown)
    found = re.sub(r"\\x([0-9a-f]{2})", lambda pair: chr(int(pair[1], 16)), whole)
    return found.encode("latin-1")


def test_no_text_forges_a_line(lab: Lab, site: Site) -> None:
    """Each line of log files is one JSON object without control octets, each value of the stream
    printable, and what was kept of a client's name can be read back octet by octet."""
    lab.start_allocator()
    lab.start_edge(site)
    words = (sys.executable, "-m", "tests.faults.hostile", "wire0", 30)
    lab.spawn(site.homes.words(*words), "hostile")
    wait_until(lambda: len(acked(lab, site)) >= TEXTS, f"{TEXTS} clients", 120)

    for name in ("allocator", f"edge-{site.name}"):
        octets = (lab.directory / f"{name}.log").read_bytes()
        whole = octets[: octets.rindex(b"\n")]
        assert not re.search(rb"[^\n -~]", whole)
        assert all(isinstance(json.loads(line), dict) for line in whole.splitlines())
    named = [event for event in events_of(lab, site) if event.get("host")]
    assert len(named) >= TEXTS
    for event in named:
        text = text_of(int(str(event["mac"]).replace(":", ""), 16))
        read = octets_of(str(event["host"]))
        assert read
        assert text.startswith(read)
    raw = lab.redis_cli("XRANGE", f"lease:{{{site.name}}}:events", "-", "+")
    assert not re.search(r"[^\n -~]", raw)
