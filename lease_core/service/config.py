"""Configuration of an allocator process."""

from pydantic import Field

from lease_core.config import Name, Settings
from lease_core.endpoint import DEFAULT_URL, Endpoint

REPLICA_LAG_S = 15
"""As long as a cluster's node timeout, by default the longest that a deposed master is heard."""


class AllocatorConfig(Settings):
    """`leasectl allocator`."""

    redis: Endpoint = Endpoint(url=DEFAULT_URL)
    name: Name = "allocator"
    replica_lag_max_s: int | None = Field(None, ge=0, le=3600)
    """Largest replica lag; unless told 0 with a single Redis, else `REPLICA_LAG_S`."""

    replicas: int = Field(0, ge=0, le=8)
    """So many replicas must hold an event before anybody is told of it."""

    allow_unsafe_redis_settings: bool = False
    """Lead although the server's settings may lose leases that clients were told of."""

    snapshot_events: int = Field(20_000, ge=100, le=10_000_000)
    """A site's state is written beside its log after so many events ..."""
    snapshot_minutes: int = Field(10, ge=1, le=1440)
    """... and not more often than this."""

    @property
    def deposed_writer_s(self) -> int:
        """W (DESIGN section 2): the lag plus 5 s; 0 where there is nobody to depose."""
        lag_s = self.replica_lag_max_s
        if lag_s is None:
            lag_s = REPLICA_LAG_S if self.redis.has_replicas or self.replicas else 0
        return lag_s + 5 if lag_s else 0
