"""The scripts themselves: calls that no writer of ours makes, and edges that come in between."""

from collections.abc import Collection
from typing import Any

import pytest

from lease_core.log.errors import TrimRefusedError
from lease_core.log.keys import Keys
from lease_core.log.redis_client import load_script
from lease_core.log.redis_log import _append_arguments
from tests.contract.backends import SITE, FakeBackend
from tests.contract.story import batch_of, begun, lease
from tests.contract.test_trim import site

KEYS = Keys(SITE)


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


COUNTS: dict[str, Any] = {
    "too few": lambda words: [*words[:10], 1, *words[11:]],
    "too many": lambda words: [*words[:10], 3, *words[11:]],
    "a name more": lambda words: [*words[:13], int(words[13]) + 1, *words[14:]],
    "a form more": lambda words: [*words[:12], 2, *words[13:]],
    "one word over": lambda words: [*words, "more"],
    "one word short": lambda words: words[:-1],
}


@pytest.mark.parametrize("what", sorted(COUNTS))
async def test_counts_that_do_not_add_up_write_nothing(backend: FakeBackend, what: str) -> None:
    """I4: a script is not rolled back, so a call whose words do not add up is refused before the
    first write."""
    log = backend.client()
    batch = await batch_of(log, await begun(log), [lease(1), lease(2)], "a")
    before = await backend.dump()
    append = load_script(backend.raw, "append")
    status, _ = await append(
        [KEYS.events, KEYS.head, KEYS.answers, KEYS.commands],
        COUNTS[what](list(_append_arguments(batch))),
    )

    assert status == b"INVALID"
    assert before == await backend.dump()


async def test_an_edge_that_comes_while_a_cut_is_asked_for_is_heeded(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: whoever asks knows only the edges of a moment ago; a newer one may need every event."""
    log = backend.client()
    ready = await site(backend, log)
    cut = await ready.cut()
    edges: Collection[bytes] = await log._writer.smembers(KEYS.edges)
    await backend.client().report("bng3", {"applied": "1", "following": "live"})

    async def as_before(_: object) -> Collection[bytes]:
        return edges

    monkeypatch.setattr(log._writer, "smembers", as_before)
    with pytest.raises(TrimRefusedError, match="bng3 has just come"):
        await log.trim(cut)
