"""Configuration of one edge agent."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lease_core.config import Name, Settings

BPFFS = Path("/sys/fs/bpf/lease")
Interface = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,15}$")]


class EdgeConfig(Settings):
    """`edgectl run`. `datapath` auto takes XDP where the kernel lets us, else user space."""

    site: Name
    edge: Name
    interfaces: tuple[Interface, ...] = Field(min_length=1, max_length=256)
    redis: str = Field("redis://127.0.0.1:6379/0", pattern=r"^(rediss?|unix)://")
    datapath: Literal["auto", "xdp", "user"] = "auto"
    pin_dir: Path | None = None
    max_subscribers: int = Field(1_000_000, ge=16, le=16_000_000)
    heartbeat_s: float = Field(60, ge=1, le=600)

    @model_validator(mode="after")
    def _interfaces_differ(self) -> Self:
        if len(set(self.interfaces)) != len(self.interfaces):
            raise ValueError("an interface is named twice; name each once")
        return self

    @property
    def pins(self) -> Path:
        """Where maps and program are pinned."""
        return self.pin_dir or BPFFS / self.site
