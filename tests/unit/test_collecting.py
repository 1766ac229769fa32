"""The collector of cycles stops nobody for long."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from lease_core.collecting import OLDER_EVERY, YOUNG, spare_the_old


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_stands_is_not_looked_at_again() -> None:
    """A hundred thousand objects more bring no look at all of them, and what stood is no part of
    any."""
    spare_the_old()
    looks = gc.get_stats()[2]["collections"]
    kept = [[number] for number in range(100_000)]

    assert len(kept) == 100_000
    assert gc.get_stats()[2]["collections"] == looks
    assert gc.get_freeze_count() > 10_000


def test_what_dies_young_is_still_found() -> None:
    """A cycle is freed by and by, without anybody asking for it."""
    spare_the_old()
    found = weakref.ref(Cycle())
    kept = [[number] for number in range(YOUNG * (OLDER_EVERY + 2))]

    assert kept
    assert found() is None
