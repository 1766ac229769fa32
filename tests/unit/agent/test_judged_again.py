"""Who waited is answered by the program of the tables, or by the agent where that passes him."""

from dataclasses import replace

import pytest

from edge_agent.dhcp import fastpath
from edge_agent.dhcp.codes import MessageType
from tests.unit.agent.town import Town, discover, selecting

TAGGED = bytes.fromhex("8100 0064")


def with_program(town: Town) -> list[bytes]:
    """Give the tables a program, which is the twin; returns what is put to it again."""
    put: list[bytes] = []

    def judge_again(frame: bytes, ifindex: int) -> bytes | None:
        put.append(frame)
        return fastpath.judge(frame, ifindex, town.datapath, town.now.boot_ns).frame

    town.datapath.judge_again = judge_again  # type: ignore[method-assign,assignment]
    return put


async def requested(town: Town, number: int, tags: bytes) -> tuple[bytes, bytes]:
    """A newcomer's REQUEST and the ACK of it."""
    [offer] = await town.send(replace(discover(number), tags=tags))
    sent = replace(selecting(number, offer.yiaddr), tags=tags)
    [ack] = await town.send(sent)
    assert ack.kind is MessageType.ACK
    [(_, frame)] = town.frames
    return sent.octets, frame


@pytest.mark.parametrize("tags", [b"", TAGGED], ids=["untagged", "tagged"])
async def test_the_reply_is_the_same(tags: bytes) -> None:
    """A newcomer hears, octet for octet, what the agent would say, and the agent knows what."""
    alone, beside = await Town().begin(), await Town().begin()
    put = with_program(beside)
    request, ack = await requested(beside, 1, tags)

    assert (request, ack) == await requested(alone, 1, tags)
    assert put == [request]
    assert beside.edge.slow_path.tally == alone.edge.slow_path.tally


async def test_whom_the_program_passes_the_agent_answers() -> None:
    """A MAC's second line, which the kernel does not find, gets its lease all the same."""
    town = await Town().begin()
    put = with_program(town)
    await town.lease(1)
    await town.lease(1, ifindex=8)

    assert len(put) == 2
    assert town.edge.slow_path.tally["ack"] == 2
