"""The outlet of audit lines: in order, never blocking, bounded."""

import json
import os
import threading

from lease_core import audit
from lease_core.outlet import MAX_QUEUED, Outlet


def read_all(fd: int) -> str:
    found = b""
    while octets := os.read(fd, 1 << 16):
        found += octets
    return found.decode()


def test_lines_come_out_whole_and_in_order() -> None:
    """What was written before the end is there after it."""
    reading, writing = os.pipe()
    with Outlet(writing) as outlet:
        for number in range(100):
            outlet.write(f"{number}\n")
    os.close(writing)

    assert read_all(reading).splitlines() == [str(number) for number in range(100)]
    os.close(reading)


def test_a_pipe_that_nobody_reads_blocks_nobody() -> None:
    """F14, I12: lines beyond the queue are dropped, counted and told when somebody reads again."""
    reading, writing = os.pipe()
    line = "x" * 9_999 + "\n"
    before = audit.SINK.stream
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(read_all(reading)))
    with Outlet(writing) as outlet:
        audit.SINK.stream = outlet
        try:
            for _ in range(2 * MAX_QUEUED // len(line)):
                audit.SINK.msg(line[:-1])
        finally:
            audit.SINK.stream = before
        assert outlet._size <= MAX_QUEUED
        assert outlet.dropped > 0
        reader.start()
    os.close(writing)
    reader.join()
    os.close(reading)
    lines = found[0].splitlines()
    told = [json.loads(each) for each in lines if each.startswith("{")]

    assert set(lines) - {line[:-1]} == {json.dumps(each) for each in told}
    assert told[-1]["dropped"] == outlet.dropped
    assert len(lines) - len(told) + outlet.dropped == 2 * MAX_QUEUED // len(line)


def test_a_closed_pipe_costs_lines() -> None:
    """A reader that went away ends nothing; what cannot be written is counted."""
    reading, writing = os.pipe()
    os.close(reading)
    with Outlet(writing) as outlet:
        outlet.write("lost\n")
    os.close(writing)

    assert outlet.dropped >= 1
