"""Who leads what: every site has one leader and one standby, and moves only when it must."""

import pytest

from lease_core.log.members import MemoryMembers
from lease_core.service.sharing import Duty, duty_of, ranked

SITES = [f"site{number}" for number in range(300)]
MEMBERS = [f"allocator-{number}#{number:08x}" for number in range(5)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_one_leads_and_one_stands_by(count: int) -> None:
    """However many live, and in whatever order they are known; the load is spread."""
    members = MEMBERS[:count]
    for site in SITES:
        duties = [duty_of(member, site, reversed(members)) for member in members]
        assert duties.count(Duty.LEAD) == 1
        assert duties.count(Duty.STAND_BY) == min(1, count - 1)
    led = [sum(ranked(site, members)[0] == member for site in SITES) for member in members]
    assert min(led) > len(SITES) / count / 2


def test_who_leaves_is_followed_by_the_standby_and_moves_no_other_site() -> None:
    """Sites of those who stay stay; sites of the lost one go to who stood by."""
    for lost in MEMBERS:
        left = [member for member in MEMBERS if member != lost]
        for site in SITES:
            first, second, *_ = ranked(site, MEMBERS)
            assert ranked(site, left)[0] == (second if first == lost else first)


def test_who_is_not_known_rests() -> None:
    """A process that nobody believes alive takes no site from the living."""
    assert duty_of("unknown", "ams01", MEMBERS) is Duty.REST
    assert duty_of("unknown", "ams01", []) is Duty.REST


async def test_members_in_memory() -> None:
    """Who leaves is forgotten at once."""
    members = MemoryMembers()
    await members.beat("a", 60_000)
    assert await members.beat("b", 60_000) == {"a", "b"}
    assert await members.beat("a", 0) == {"b"}
