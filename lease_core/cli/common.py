"""What every command needs: the log's address, exit codes, plain and JSON output."""

import asyncio
import getpass
import json
import os
import re
import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from pydantic import BaseModel

from lease_core.config import ConfigError, check, load, without_secret
from lease_core.domain.ledger import LedgerError
from lease_core.domain.plan import PlanRefusedError
from lease_core.domain.values import InvalidValueError, name
from lease_core.endpoint import DEFAULT_URL, Endpoint
from lease_core.log.connecting import connect
from lease_core.log.port import ForeignLogError, LogError, LogUnavailableError, SiteLog
from lease_core.log.reader import BrokenChainError, GapError

EXIT_NOT_FOUND = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 69
EXIT_DATA = 65
EXIT_CONFIG = 78

AT_ONCE = 32
"""Sites that are asked side by side: where some do not answer, the others are heard soon."""

LOG_ERRORS = (LogError, GapError, BrokenChainError, LedgerError)
"""Why a log could not be read, or not be understood."""

T = TypeVar("T")

redis_help = "Where the logs are: a URL, or a TOML file with a setting `redis`."
redis_option = click.option(
    "--redis",
    "url",
    envvar="LEASE_REDIS",
    default=DEFAULT_URL,
    show_default=True,
    help=redis_help,
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


class _AnyFile(BaseModel):
    """What every configuration file of ours may have."""

    redis: Endpoint


def endpoint(text: str) -> Endpoint:
    """What `--redis` says.

    Raises:
        ConfigError: it is no address of a Redis, and no file that has one.
    """
    if "://" in text:
        return check({"redis": text}, _AnyFile, "--redis").redis
    return load(Path(text), _AnyFile).redis


def open_log(url: str, site: str) -> SiteLog:
    """The log of a site; it connects with the first call.

    Raises:
        ConfigError: `url` is no address of a Redis.
        InvalidValueError: `site` is no name.
    """
    name(site)
    try:
        return connect(endpoint(url), site)
    except ValueError as error:
        shown = without_secret(repr(url))
        raise ConfigError(f"{shown} is no address of a Redis: {error}") from error


@asynccontextmanager
async def opened(url: str, site: str) -> AsyncIterator[SiteLog]:
    """The log of a site, closed at the end. Raises as `open_log`."""
    log = open_log(url, site)
    try:
        yield log
    finally:
        await log.close()


def user() -> str:
    """Who asks; a user without a name goes by number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; turn errors into a sentence on standard error and an exit code."""
    try:
        return asyncio.run(work)
    except LogUnavailableError as error:
        fail(str(error), exit_code(error))
    except ForeignLogError as error:
        fail(f"this log is not ours to use: {error}", exit_code(error))
    except LOG_ERRORS as error:
        fail(f"the log cannot be used: {error}", exit_code(error))
    except ConfigError as error:
        fail(str(error), EXIT_CONFIG)
    except (PlanRefusedError, InvalidValueError) as error:
        fail(str(error), EXIT_USAGE)


async def side_by_side(work: Callable[[str], Awaitable[T]], sites: Iterable[str]) -> list[T]:
    """Do it for many sites, AT_ONCE at a time; results are in the order of the sites."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(site: str) -> T:
        async with gate:
            return await work(site)

    return await asyncio.gather(*map(one, sites))


def exit_code(error: Exception) -> int:
    """Of a log that could not be used."""
    return EXIT_UNAVAILABLE if isinstance(error, LogUnavailableError) else EXIT_DATA


def say(text: str) -> None:
    """A sentence for people, beside what is printed."""
    click.echo(f"{click.get_current_context().info_name}: {text}", err=True)


def fail(text: str, code: int) -> NoReturn:
    """End the program with a sentence for people."""
    say(text)
    sys.exit(code)


def time_text(ms: int | None) -> str:
    """Unix milliseconds as ISO 8601 in UTC; "" for none."""
    if ms is None:
        return ""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def plain(value: object) -> str:
    """A value for a terminal: what a log says must not steer it, so controls show as `\\xNN`."""
    return re.sub(r"[^ -~]", lambda found: repr(found[0])[1:-1], str(value))


def show(rows: Iterable[Mapping[str, object]], columns: Sequence[str], *, as_json: bool) -> int:
    """Print rows as an aligned table or as JSON; return how many there were."""
    found = list(rows)
    if as_json:
        for row in found:
            click.echo(json.dumps(row))
        return len(found)
    texts = [[plain(row.get(column, "")) for column in columns] for row in found]
    widths = [max(map(len, cells)) for cells in zip(columns, *texts, strict=True)]
    for cells in ([column.upper() for column in columns], *texts) if texts else ():
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo(line.rstrip())
    return len(found)
