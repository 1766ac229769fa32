"""What strangers send: nothing crashes, nothing grows, nothing forges a line."""

import io
import json
import os
import random
import re
import tracemalloc

import pytest

from edge_agent.dhcp import codes, options
from lease_core import audit
from lease_core.domain.events import LeaseAssigned
from lease_core.domain.values import Ipv4
from lease_core.rationing import EventLines, Quota
from tests.kernel.mutators import mutant
from tests.unit.agent.town import (
    FIRST,
    SECOND,
    SERVER,
    Town,
    decline,
    discover,
    inform,
    init_reboot,
    rebinding,
    release,
    renewing,
    selecting,
)
from tests.unit.dhcp.clients import requested, server

PIECES = (
    b"\n", b"\r\n", b"\x1b[2J", b"\x1b]0;owned\x07", b"\0", b"\xff\xfe", b"\xc3\x28",
    b"\xed\xa0\x80",
    b'"', b"'", b"{", b"}", b"\\", b"%s%n", b'","event":"lease.revoked', b"\xe2\x80\xae", b"\x7f",
    b"\x9b31m", b"a", b" ", b"${jndi}", b"<script>",
)  # fmt: skip
CONTROL = re.compile(r"[^ -~]")


FRAMES = 3_000_000 if os.environ.get("LEASE_FULL") else 200_000
CORPUS_MAX = 300


def some_frames(ip: Ipv4) -> list[bytes]:
    """What the holder of `ip` and strangers may say."""
    kinds = [
        discover(1), discover(2), selecting(1, ip), selecting(2, ip), init_reboot(1, ip),
        renewing(1, ip), rebinding(2, ip), release(3, ip), decline(3, ip), inform(1, ip),
    ]  # fmt: skip
    return [kind.octets for kind in kinds]


def hostile(chance: random.Random) -> bytes:
    return b"".join(chance.choice(PIECES) for _ in range(chance.randint(1, 40)))[:250]


class TestNames:
    async def test_no_hostname_forges_a_line(
        self, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """500 hostile host names: every audit line is one JSON object without control octets,
        and the event carries printable ASCII."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        names = [hostile(chance) for _ in range(500)]
        monkeypatch.setattr(audit, "EVENT_LINES", EventLines(Quota(10_000)))
        town = await Town(size=250, subscribers=256).begin()
        for number, name in enumerate(names, 1):
            area = options.option(codes.HOST_NAME, name)
            await town.send(discover(1 + number % 240, area=area))
            ip = Ipv4(FIRST + number % 240)
            await town.send(selecting(1 + number % 240, ip, area=area))
            town.ns += 2 * SECOND
        await town.wait(1)

        shown = lines.getvalue()
        assert CONTROL.search(shown.replace("\n", "")) is None
        parsed = [json.loads(line) for line in shown.splitlines()]
        assert all(isinstance(line, dict) and "event" in line for line in parsed)
        assigned = await town.events(LeaseAssigned)
        assert len(assigned) > 100
        for event in assigned:
            assert isinstance(event, LeaseAssigned)
            assert re.fullmatch(r"[!-~]{1,64}", event.host)
        named = {line["host"] for line in parsed if line.get("host")}
        assert named == {event.host for event in assigned if isinstance(event, LeaseAssigned)}


class TestFrames:
    @pytest.mark.timeout(60 + FRAMES // 1000)
    async def test_no_frame_crashes_the_agent(self) -> None:
        """Neighbours of frames of every kind, and of theirs that were answered: never an
        exception, nor an end of the work in sight."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        town = await Town(size=50).begin()
        frames = some_frames(await town.lease(1))
        for _ in range(FRAMES):
            octets = mutant(chance, frames)
            town.frames.clear()
            town.edge.receive(octets, chance.choice((7, 8, 9)), town.now)
            town.ns += SECOND // 50
            if town.frames and len(frames) < CORPUS_MAX:
                frames.append(octets)
            if chance.random() < 0.01:
                await town.settle()
                town.edge.touch(town.now)
        await town.settle()

        assert len(frames) == CORPUS_MAX
        assert len(town.edge.slow_path.waiting) <= 8192
        assert len(town.edge.slow_path.tally) < 100

    async def test_no_frame_takes_much_memory(self) -> None:
        """However long its options say they are, less than 1 MiB is needed to read a frame."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        town = await Town(size=50).begin()
        frames = some_frames(await town.lease(1))
        tracemalloc.start()
        try:
            for _ in range(3000):
                octets = mutant(chance, frames)
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                town.edge.receive(octets, 7, town.now)
                assert tracemalloc.get_traced_memory()[1] - before < 1 << 20, octets.hex()
        finally:
            tracemalloc.stop()

    async def test_random_options_do_not_crash_the_agent(self) -> None:
        """Option areas of any octets behind a right header: never an exception."""
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        town = await Town(size=50).begin()
        for _ in range(3000):
            area = chance.randbytes(chance.randrange(200))
            make = chance.choice((discover(1, area=area), selecting(2, FIRST, area=area)))
            town.edge.receive(make.octets, 7, town.now)
        await town.settle()

    @pytest.mark.parametrize("ifindex", [0, 9, 99])
    async def test_an_unknown_interface_is_answered_nothing(self, ifindex: int) -> None:
        """I8: what comes in elsewhere is not served, whatever it says."""
        town = await Town().begin()
        ip = await town.lease(1)
        for make in (
            discover(2),
            renewing(1, ip),
            inform(1, ip),
            release(1, ip),
            init_reboot(1, ip),
        ):
            assert await town.send(make, ifindex) == []
        assert len(await town.events(LeaseAssigned)) == 1


class TestFloods:
    async def test_a_flood_of_newcomers_is_bounded(self) -> None:
        """I12: a hundred thousand random MACs wait in a bounded table while the site is cut off;
        a holder is answered all the same."""
        town = await Town().begin()
        ip = await town.lease(1)
        town.is_cut = True
        for number in range(2, 20_000):
            town.edge.receive(discover(number).octets, 7, town.now)

        assert len(town.edge.slow_path.waiting) == 8192
        assert len(town.commands) == 8192
        assert len(await town.send(renewing(1, ip))) == 1

    async def test_a_repeating_client_asks_once_a_second(self) -> None:
        """One client's frames become at most one command a second."""
        town = await Town().begin()
        town.is_cut = True
        for number in range(1000):
            town.ns += SECOND // 100
            town.edge.receive(discover(1).octets, 7, town.now)
            if number % 100 == 0:
                town.edge.slow_path.waiting.drop_stale(town.ns)

        assert len(town.commands) <= 11

    async def test_who_turns_to_another_server_is_found_at_once(self) -> None:
        """Forgetting one client costs the same however many wait."""
        town = await Town().begin()
        town.is_cut = True
        for number in range(2, 8000):
            town.edge.receive(discover(number).octets, 7, town.now)
        other = Ipv4(SERVER + (9 << 8))
        for number in range(2, 8000):
            town.edge.receive(selecting(number, FIRST, other).octets, 7, town.now)

        assert len(town.edge.slow_path.waiting) == 0


def test_the_helpers_say_what_they_mean() -> None:
    """The frames of these tests carry the options they are named for."""
    area = selecting(1, FIRST).area

    assert area == requested(FIRST) + server(SERVER)
