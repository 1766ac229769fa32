"""Configuration of one edge agent."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from lease_core.config import Name, RedisUrl, Settings

BPFFS = Path("/sys/fs/bpf/lease")
Interface = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,15}$")]


def _each_once(interfaces: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(interfaces)) != len(interfaces):
        raise ValueError("an interface is named twice; name each once")
    return interfaces


class EdgeConfig(Settings):
    """`edgectl run`. `datapath` auto takes XDP where the kernel lets us, else user space."""

    site: Name
    edge: Name
    interfaces: Annotated[
        tuple[Interface, ...], Field(min_length=1, max_length=256), AfterValidator(_each_once)
    ]
    redis: RedisUrl = "redis://127.0.0.1:6379/0"
    datapath: Literal["auto", "xdp", "user"] = "auto"
    pin_dir: Path | None = None
    max_subscribers: int = Field(1_000_000, ge=16, le=16_000_000)
    heartbeat_s: float = Field(60, ge=1, le=600)

    @property
    def pins(self) -> Path:
        """Where maps and program are pinned."""
        return self.pin_dir or BPFFS / self.site
