"""leasectl acl: the lines of Redis' ACL file, by what the service really needs."""

from pathlib import Path

import click

from lease_core.cli.common import EXIT_USAGE, fail
from lease_core.domain.values import InvalidValueError
from lease_core.log.acl import NOBODY_ELSE, Secret, allocator, auditor, edge

password_option = click.option(
    "--password-file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Holds the user's password; what is printed holds its SHA-256.",
)


@click.group()
def acl() -> None:
    """Lines for the ACL file of Redis."""


@acl.command("allocator")
@password_option
def for_allocator(path: Path) -> None:
    """User `allocator`, and the default user turned off."""
    click.echo(NOBODY_ELSE)
    click.echo(allocator(_secret(path)))


@acl.command("edge")
@click.argument("site")
@click.argument("name")
@password_option
def for_edge(site: str, name: str, path: Path) -> None:
    """User `edge-NAME` of the edge NAME of SITE."""
    try:
        click.echo(edge(site, name, _secret(path)))
    except InvalidValueError as error:
        fail(str(error), EXIT_USAGE)


@acl.command("auditor")
@password_option
def for_auditor(path: Path) -> None:
    """User `auditor`, who reads and changes nothing."""
    click.echo(auditor(_secret(path)))


def _secret(path: Path) -> Secret:
    try:
        return Secret.of(path)
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}; put the password alone into this file", EXIT_USAGE)
