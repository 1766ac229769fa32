"""Former layouts of commands and what each means today: an edge may be older than its allocator.

A class here has the name and the version of what it reads; `today` makes the present one of it.
"""

from typing import ClassVar, Final

from lease_core.domain import commands
from lease_core.domain.values import Ipv4, Mac, value

UNSAID: Final = "unsaid"
"""A life that no edge has. What a former version says of its promises is refused, because it may
speak for another life than the present one (I7); its successor says it again."""


@value
class ReportExpiry:
    VERSION: ClassVar[int] = 1
    req: str
    mac: Mac
    line: str
    ip: Ipv4
    ref: int

    def today(self) -> commands.ReportExpiry:
        return commands.ReportExpiry(
            req=self.req,
            mac=self.mac,
            line=self.line,
            ip=self.ip,
            ref=self.ref,
            incarnation=UNSAID,
        )


@value
class AckRemoval:
    VERSION: ClassVar[int] = 1
    req: str
    ip: Ipv4
    ref: int
    remaining_s: int

    def today(self) -> commands.AckRemoval:
        return commands.AckRemoval(
            req=self.req,
            ip=self.ip,
            ref=self.ref,
            remaining_s=self.remaining_s,
            incarnation=UNSAID,
        )


@value
class Heartbeat:
    """`epoch` and `genesis` came without a new version."""

    VERSION: ClassVar[int] = 1
    edge: str
    incarnation: str
    nonce: str
    applied: int
    epoch: int = 0
    genesis: str = ""

    def today(self) -> commands.Heartbeat:
        return commands.Heartbeat(
            edge=self.edge,
            incarnation=self.incarnation,
            nonce=self.nonce,
            applied=self.applied,
            epoch=self.epoch,
            genesis=self.genesis,
        )


COMMANDS: Final = (ReportExpiry, AckRemoval, Heartbeat)
