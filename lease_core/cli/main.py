"""leasectl: the operator's view of sites, pools, leases and their history."""

import click

from lease_core.cli.acl import acl
from lease_core.cli.allocator import allocator
from lease_core.cli.events import events
from lease_core.cli.history import history, who
from lease_core.cli.lease import lease
from lease_core.cli.plan import plan, pool, site
from lease_core.cli.recovery import recovery
from lease_core.cli.status import status
from lease_core.cli.trim import archive, trim
from lease_core.cli.verify import verify_site


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Operate the lease service: plan sites and pools, run the allocator, ask the log."""


COMMANDS = (
    *(status, plan, site, pool, allocator, lease, who, history, events),
    *(verify_site, archive, trim, recovery, acl),
)

for command in COMMANDS:
    main.add_command(command)
