"""Names of the Redis keys of one site, in one place.

All keys of a site carry its name in braces, Redis Cluster's hash tag: one site is one slot, so a
script may touch them all, and sites scale out.
"""

from dataclasses import dataclass

from lease_core.domain import values

PLAN = "plan"
"""The site name under which the plan log lives; no real site may carry it."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of `site`.

    Raises:
        InvalidValueError: `site` is no name; the fault of the configuration.
    """

    site: str

    def __post_init__(self) -> None:
        values.name(self.site)

    @property
    def events(self) -> str:
        """Stream: the log itself."""
        return f"lease:{{{self.site}}}:events"

    @property
    def commands(self) -> str:
        """Stream: what edges and operators ask of the allocator."""
        return f"lease:{{{self.site}}}:commands"

    @property
    def answers(self) -> str:
        """Stream, capped: offers and refusals; no state."""
        return f"lease:{{{self.site}}}:answers"

    @property
    def head(self) -> str:
        """Hash: where the log ends and who may write it."""
        return f"lease:{{{self.site}}}:head"

    @property
    def leader(self) -> str:
        """String with a time to live: the allocator that works now."""
        return f"lease:{{{self.site}}}:leader"

    @property
    def status(self) -> str:
        """Hash with a time to live: how the site fares at its allocator, for people."""
        return f"lease:{{{self.site}}}:status"

    @property
    def edges(self) -> str:
        """Set: names of the edges that ever reported."""
        return f"lease:{{{self.site}}}:edges"

    def edge(self, name: str) -> str:
        """Hash: the last report of one edge."""
        return f"lease:{{{self.site}}}:edge:{values.name(name)}"

    @property
    def snapshots(self) -> str:
        """Set: seqs of the snapshots that stand or are being written."""
        return f"lease:{{{self.site}}}:snapshots"

    def snapshot(self, seq: int) -> str:
        """Hash: one snapshot, its chunks by number and, written last, what it is of."""
        return f"lease:{{{self.site}}}:snapshot:{seq}"

    @property
    def archive(self) -> str:
        """Hash: how far the history outside of Redis has come."""
        return f"lease:{{{self.site}}}:archive"

    @property
    def members(self) -> str:
        """Sorted set, of the plan only: allocator processes and until when they are alive."""
        return f"lease:{{{self.site}}}:members"
