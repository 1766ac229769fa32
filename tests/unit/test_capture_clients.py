"""The responder that real clients are captured with."""

import pytest

from edge_agent.dhcp.fastpath import judge
from scripts.capture_clients import IFINDEX, short_lived, tables
from tests.kernel.corpus import captured

ASKING = ("discover", "selecting", "init-reboot", "renewing", "rebinding")


@pytest.mark.parametrize("name", [n for n in captured() if n.endswith(ASKING)])
def test_it_answers_clients(name: str) -> None:
    """Whatever a client asked when it was captured is answered, with times to wait for."""
    reply = judge(captured()[name], IFINDEX, tables(), 0).frame

    assert reply is not None
    assert short_lived(reply)[42 + 249 : 42 + 255] == b"\x33\x04" + (30).to_bytes(4, "big")
