"""Configuration: one TOML file, checked as a whole. All faults come in one message."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from lease_core.domain import values

_SECRET = re.compile(r"//[^/\s]*@")


class ConfigError(Exception):
    """The configuration cannot be used; the text lists every fault with path, value and remedy."""


def without_secret(text: str) -> str:
    """The text with user and password of every address in it left out."""
    return _SECRET.sub("//***@", text)


Name = Annotated[str, AfterValidator(values.name)]
"""A name of a site, an edge, an allocator or a pool."""


class Settings(BaseModel):
    """Base of all configuration: unknown keys are faults, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=BaseModel)


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
