"""Configuration: one TOML file, checked as a whole. All faults come in one message."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from lease_core.domain import values

_SECRET = re.compile(r"//[^/\s]*@")


class ConfigError(Exception):
    """The configuration cannot be used; the text lists every fault with path, value and remedy."""


def without_secret(text: str) -> str:
    """The text with user and password of every address in it left out."""
    return _SECRET.sub("//***@", text)


def _redis_url(text: str) -> str:
    if not re.match(r"(rediss?|unix)://.", text):
        raise ValueError("no address of a Redis; write it like redis://127.0.0.1:6379/0")
    return text


Name = Annotated[str, AfterValidator(values.name)]
"""A name of a site, an edge, an allocator or a pool."""

RedisUrl = Annotated[str, AfterValidator(_redis_url)]
"""Where the logs are."""


class Settings(BaseModel):
    """Base of all configuration: unknown keys are faults, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AllocatorConfig(Settings):
    """`leasectl allocator`."""

    redis: RedisUrl = "redis://127.0.0.1:6379/0"
    name: Name = "allocator"
    replica_lag_max_s: int = Field(0, ge=0, le=3600)
    """Largest replica lag; 0 with a single Redis. W is this plus 5 s (DESIGN section 2)."""

    snapshot_events: int = Field(20_000, ge=100, le=10_000_000)
    """A site's state is written beside its log after so many events ..."""
    snapshot_minutes: int = Field(10, ge=1, le=1440)
    """... and not more often than this."""

    @property
    def deposed_writer_s(self) -> int:
        return self.replica_lag_max_s + 5 if self.replica_lag_max_s else 0


S = TypeVar("S", bound=Settings)


def load(path: Path, kind: type[S]) -> S:
    """Read and check a configuration file.

    Raises:
        ConfigError: the operator's to mend; nothing was started.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give another path with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}; mend the TOML there") from error
    return check(raw, kind, str(path))


def check(raw: dict[str, object], kind: type[S], origin: str) -> S:
    """Check values that came from `origin`. Raises ConfigError as `load`."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        faults = error.errors()
        lines = "\n".join(f"  {_sentence(fault)}" for fault in faults)
        raise ConfigError(f"{origin}: {len(faults)} fault(s)\n{lines}") from None


def _sentence(fault: ErrorDetails) -> str:
    """Path, value and remedy of one fault."""
    path = ".".join(map(str, fault["loc"]))
    text = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{path}: required; add it"
    if not path:  # several settings together; their values stand in the file
        return text
    shown = f"{path} = {without_secret(repr(fault['input']))}"
    if fault["type"] == "extra_forbidden":
        return f"{shown}: no such setting; remove it or correct its name"
    return f"{shown}: {text}"
