"""Key names."""

import pytest

from lease_core.domain.values import InvalidValueError
from lease_core.log.keys import PLAN, Keys


def test_names_share_the_site_as_hash_tag() -> None:
    """All keys of a site lie in one cluster slot, under names that operators know."""
    keys = Keys("ams01")

    assert keys.events == "lease:{ams01}:events"
    assert keys.commands == "lease:{ams01}:commands"
    assert keys.answers == "lease:{ams01}:answers"
    assert keys.head == "lease:{ams01}:head"
    assert keys.leader == "lease:{ams01}:leader"
    assert keys.edges == "lease:{ams01}:edges"
    assert keys.edge("bng1") == "lease:{ams01}:edge:bng1"
    assert Keys(PLAN).events == "lease:{plan}:events"


@pytest.mark.parametrize("name", ["", "a}b", "ams01:events", "Ä", "*"])
def test_names_that_could_reach_other_keys_are_refused(name: str) -> None:
    """A site or edge cannot be called so that its keys collide with others."""
    with pytest.raises(InvalidValueError):
        Keys(name)
    with pytest.raises(InvalidValueError):
        Keys("ams01").edge(name)
