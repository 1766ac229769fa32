"""Configuration of one edge agent."""

from collections.abc import Hashable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from edge_agent.datapath import abi
from edge_agent.dhcp.tables import KeyMode, Limit, Port
from lease_core.config import Name, Settings
from lease_core.domain.values import Ipv4, Mac
from lease_core.endpoint import DEFAULT_URL, Endpoint

BPFFS = Path("/sys/fs/bpf/lease")
RUN = Path("/run/lease")
MAX_PORTS = 256
SUBSCRIBERS_PER_LINE = 8
MAX_RATE = 30_000
"""Above it an interval in nanoseconds tells the rate no more."""
SHARED_LINE_LIMIT = Limit(abi.SHARED_RATE, abi.SHARED_BURST)
"""About what the agent takes: a whole segment may come back at once."""
OWN_LINE_LIMIT = Limit(50, 100)
MAC_LIMIT = Limit(5, 20)
Interface = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]{1,15}$")]


def _each_once(named: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    if len(set(named)) != len(named):
        raise ValueError("one is named twice; name each once")
    return named


def _station(address: IPv4Address) -> IPv4Address:
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        raise ValueError("no address of a relay; name what it writes as giaddr")
    return address


Relay = Annotated[IPv4Address, AfterValidator(_station)]


def _limit(rate_per_s: int | None, usual: Limit) -> Limit:
    """The usual limit, or another rate with a burst as many times as large."""
    if rate_per_s is None:
        return usual
    return Limit(rate_per_s, rate_per_s * usual.burst // usual.rate_per_s)


class PortConfig(Settings):
    """`[[port]]`: one access interface, and who speaks there."""

    interface: Interface
    relays: Annotated[tuple[Relay, ...], AfterValidator(_each_once)] = Field(
        (), max_length=abi.MAX_RELAYS
    )
    """giaddr of each relay that hands requests on here; none = clients themselves."""
    trusted: bool = False
    """An access node (DSLAM, OLT) writes option 82 into clients' frames, and lets no client do so
    (TR-101, a layer-2 relay: giaddr stays 0); not beside relays."""
    key: Literal["mac", "line", "circuit"] = "mac"
    """What tells bindings apart: a MAC (one line of it in the kernel), MAC and VLANs, or MAC,
    relay (none behind an access node) and circuit id."""

    subscribers_per_line: int | None = Field(None, ge=1, le=65_536)
    """How many a line may have; unless told 8 where each line is a subscriber's own, any number
    where many share it."""

    line_rate: int | None = Field(None, ge=0, le=MAX_RATE)
    mac_rate: int | None = Field(None, ge=0, le=MAX_RATE)
    """Messages a second that the kernel passes up from a line and of a MAC, with bursts of as many
    seconds as usual; 0 = no limit."""

    @model_validator(mode="after")
    def _circuits_come_from_somebody(self) -> Self:
        if self.trusted and self.relays:
            raise ValueError("trusted is for clients' frames; relays are trusted by their names")
        if self.key == "circuit" and not (self.relays or self.trusted):
            raise ValueError(
                'key = "circuit" needs relays, who say the circuit; name them, '
                "or set trusted for an access node that does"
            )
        return self

    @property
    def is_shared(self) -> bool:
        """Whether many share a line: by MAC nobody says otherwise, and who stands behind a relay
        without circuits is on the relay's line."""
        return self.key == "mac" or (self.key == "line" and bool(self.relays))

    @property
    def per_line(self) -> int | None:
        """The limit of subscribers on a line; None = no limit."""
        return self.subscribers_per_line or (None if self.is_shared else SUBSCRIBERS_PER_LINE)

    @property
    def offers_stock(self) -> bool:
        """Whether strangers are offered addresses that were set aside; not where each counts."""
        return self.per_line is None

    @property
    def key_mode(self) -> KeyMode:
        return KeyMode[self.key.upper()]

    def as_port(self, mac: Mac) -> Port:
        """What the fast path is told of it; a shared line has room for all who share it."""
        return Port(
            mac,
            relays=tuple(Ipv4(int(relay)) for relay in self.relays),
            key=self.key_mode,
            line_limit=_limit(
                self.line_rate, SHARED_LINE_LIMIT if self.is_shared else OWN_LINE_LIMIT
            ),
            mac_limit=_limit(self.mac_rate, MAC_LIMIT),
            trusted=self.trusted,
            offers_stock=self.offers_stock,
        )


class EdgeConfig(Settings):
    """`edgectl run`. `datapath` auto takes XDP where the kernel lets us, else user space."""

    site: Name
    edge: Name
    interfaces: Annotated[tuple[Interface, ...], AfterValidator(_each_once)] = Field(
        (), max_length=MAX_PORTS
    )
    """Short for a `[[port]]` with nothing but its name."""
    port: tuple[PortConfig, ...] = Field((), max_length=MAX_PORTS)
    redis: Endpoint = Endpoint(url=DEFAULT_URL)
    datapath: Literal["auto", "xdp", "user"] = "auto"
    pin_dir: Path | None = None
    max_subscribers: int = Field(1_000_000, ge=16, le=16_000_000)
    heartbeat_s: float = Field(60, ge=1, le=600)
    status_file: Path | None = None

    @model_validator(mode="after")
    def _interfaces_differ(self) -> Self:
        names = [port.interface for port in self.ports]
        if not names:
            raise ValueError('no interface; add interfaces = ["..."] or a [[port]]')
        if len(set(names)) != len(names):
            raise ValueError("an interface is named twice; name each once")
        return self

    @property
    def ports(self) -> tuple[PortConfig, ...]:
        """All access interfaces."""
        return (*(PortConfig(interface=name) for name in self.interfaces), *self.port)

    @property
    def has_circuits(self) -> bool:
        """Whether the tables need room for circuit ids."""
        return any(port.key_mode is KeyMode.CIRCUIT for port in self.ports)

    @property
    def status(self) -> Path:
        """Where the agent says how it fares, so that it can be asked without Redis."""
        return self.status_file or RUN / f"{self.edge}.json"

    @property
    def pins(self) -> Path:
        """Where maps and program are pinned."""
        return self.pin_dir or BPFFS / self.site
