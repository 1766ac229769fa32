"""Where Redis is: one server, the master that sentinels name, or a cluster; plain or over TLS."""

import re
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from lease_core.config import Settings

DEFAULT_URL = "redis://127.0.0.1:6379/0"

Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+):[0-9]{1,5}$")]
"""`host:port`; an IPv6 address in brackets."""


def _readable(path: Path) -> Path:
    try:
        path.read_bytes()
    except OSError as error:
        raise ValueError(f"{error.strerror}; name a file that this process may read") from error
    return path


File = Annotated[Path, AfterValidator(_readable)]


class Endpoint(Settings):
    """The setting `redis`: a URL, or a table with exactly one of `url`, `sentinels`, `nodes`.

    A password belongs into `password_file`, so that no configuration holds it.
    """

    url: str = Field("", repr=False)
    sentinels: tuple[Address, ...] = ()
    master: str = ""
    """The name under which the sentinels know it."""
    nodes: tuple[Address, ...] = ()
    """Some nodes of a cluster; the others are learned from them."""
    username: str = ""
    password_file: File | None = None
    tls: bool = False
    """For sentinels and nodes; a URL says it by `rediss://`."""
    ca: File | None = None
    cert: File | None = None
    key: File | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_url(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        _check_url(value)
        return {"url": value}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if sum(map(bool, (self.url, self.sentinels, self.nodes))) != 1:
            raise ValueError("give exactly one of url, sentinels and nodes")
        if self.url:
            _check_url(self.url)
        if bool(self.sentinels) != bool(self.master):
            raise ValueError("sentinels and master go together; name both")
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key go together; name both")
        if self.tls and self.url:
            raise ValueError("tls is for sentinels and nodes; write the url as rediss://")
        if (self.ca or self.cert) and not self.is_tls:
            raise ValueError("ca, cert and key need TLS: rediss://, or tls = true")
        return self

    @property
    def is_tls(self) -> bool:
        return self.tls or self.url.startswith("rediss://")

    @property
    def has_replicas(self) -> bool:
        """Whether another server may take over, so that a deposed one can still be heard."""
        return not self.url

    def password(self) -> str:
        """What stands in `password_file` now, "" without one."""
        return self.password_file.read_text().strip() if self.password_file else ""


def _check_url(text: str) -> None:
    if not re.match(r"(rediss?|unix)://.", text):
        raise ValueError(f"no address of a Redis; write it like {DEFAULT_URL}")
    if urlsplit(text).port == 0:  # reading it refuses what is no port
        raise ValueError("port 0 is no port")
