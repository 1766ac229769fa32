"""Who of the living leads a site: rendezvous hashing, so that one who comes or goes moves only
the sites that are its own. Pure; a wrong answer costs work and nothing else.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum


class Duty(Enum):
    """What one process does for one site."""

    LEAD = "lead"
    STAND_BY = "stand by"  # follows the log, so that it takes over warm
    REST = "rest"


def ranked(site: str, members: Iterable[str]) -> list[str]:
    """Members by their claim on the site; the same everywhere, whatever their order."""
    return sorted(
        members,
        key=lambda member: hashlib.blake2b(f"{member} {site}".encode(), digest_size=8).digest(),
    )


def duty_of(member: str, site: str, members: Iterable[str]) -> Duty:
    """The first leads, the second stands by, all others rest."""
    for who, duty in zip(ranked(site, members), (Duty.LEAD, Duty.STAND_BY), strict=False):
        if who == member:
            return duty
    return Duty.REST
