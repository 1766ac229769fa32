"""The plan: which site owns which prefix. Prefixes never overlap, whoever asks."""

import ipaddress
from dataclasses import dataclass, field

from lease_core.domain.events import Event, PrefixPlanned, SiteAdded
from lease_core.domain.ledger import LedgerError
from lease_core.domain.values import InvalidValueError, Ipv4, ip_from_text, name

LEASE_TIME_S = range(300, 86_401)
MAX_DNS = 8
"""More do not fit beside the other options of a reply."""
MIN_HORIZON_LEASES = 2


class PlanRefusedError(ValueError):
    """The plan cannot take the change; the message names what stands against it and a remedy."""


@dataclass(slots=True)
class Plan:
    seq: int = 0
    sites: dict[str, SiteAdded] = field(default_factory=dict)
    prefixes: list[PrefixPlanned] = field(default_factory=list)

    def evolve(self, seq: int, event: Event) -> None:
        """Apply one event of the plan log.

        Raises:
            LedgerError: it does not follow the ones before it, or is no event of a plan.
        """
        if seq != self.seq + 1:
            raise LedgerError(f"event {seq} of the plan comes after event {self.seq}: a gap")
        match event:
            case SiteAdded():
                self.sites[event.site] = event
            case PrefixPlanned():
                self.prefixes.append(event)
            case _:
                raise LedgerError(f"event {seq}: {type(event).__name__} is no event of a plan")
        self.seq = seq

    def prefixes_of(self, site: str) -> list[PrefixPlanned]:
        return [prefix for prefix in self.prefixes if prefix.site == site]


def add_site(
    plan: Plan, *, site: str, genesis: str, horizon_s: int, reuse_guard_s: int, cause: str
) -> SiteAdded:
    """Raises PlanRefusedError or InvalidValueError; both the operator's to mend."""
    if name(site) in plan.sites:
        raise PlanRefusedError(f"site {site} exists already; choose another name")
    if site == "plan":
        raise PlanRefusedError("'plan' names the plan log itself; choose another name")
    return SiteAdded(
        site=site, genesis=genesis, horizon_s=horizon_s, reuse_guard_s=reuse_guard_s, cause=cause
    )


def plan_prefix(
    plan: Plan,
    *,
    site: str,
    pool: str,
    network: str,
    gateway: str | None,
    dns: tuple[str, ...],
    lease_time_s: int,
    cause: str,
) -> PrefixPlanned:
    """Give a prefix to a site: all of it but network, broadcast and gateway is assignable.

    The gateway is the first address unless told, and must be the first or the last usable one so
    that the rest is one range. Raises PlanRefusedError or InvalidValueError.
    """
    if site not in plan.sites:
        raise PlanRefusedError(f"there is no site {site}; add it with: leasectl site add {site}")
    if any(prefix.site == site and prefix.pool == pool for prefix in plan.prefixes):
        raise PlanRefusedError(f"pool {site}/{pool} exists already; choose another name")
    if lease_time_s not in LEASE_TIME_S:
        raise PlanRefusedError(f"lease time {lease_time_s} s is not in 300..86400 s")
    if plan.sites[site].horizon_s < MIN_HORIZON_LEASES * lease_time_s:
        raise PlanRefusedError(
            f"lease time {lease_time_s} s is more than half of the site's horizon of "
            f"{plan.sites[site].horizon_s} s; shorten the lease or add the site with a longer one"
        )
    if len(dns) > MAX_DNS:
        raise PlanRefusedError(f"{len(dns)} DNS servers; name at most {MAX_DNS}")
    net = _network(network)
    _check_overlap(plan, net)
    gateway_ip, first, last = _range(net, gateway)
    return PrefixPlanned(
        site=site,
        pool=name(pool),
        network=str(net),
        first=first,
        last=last,
        gateway=gateway_ip,
        dns=",".join(str(ipaddress.IPv4Address(ip_from_text(server))) for server in dns),
        lease_time_s=lease_time_s,
        cause=cause,
    )


def _network(text: str) -> ipaddress.IPv4Network:
    try:
        net = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidValueError(f"{text!r} is no prefix; write it like 100.64.0.0/18") from error
    if not 8 <= net.prefixlen <= 29:
        raise InvalidValueError(f"prefix {net} has length /{net.prefixlen}; use /8 to /29")
    return net


def _check_overlap(plan: Plan, net: ipaddress.IPv4Network) -> None:
    for prefix in plan.prefixes:
        if net.overlaps(ipaddress.IPv4Network(prefix.network)):
            raise PlanRefusedError(
                f"{net} overlaps {prefix.network} of {prefix.site}/{prefix.pool}; prefixes never "
                "overlap"
            )


def _range(net: ipaddress.IPv4Network, gateway: str | None) -> tuple[Ipv4, Ipv4, Ipv4]:
    low, high = Ipv4(int(net.network_address) + 1), Ipv4(int(net.broadcast_address) - 1)
    router = ip_from_text(gateway) if gateway else low
    if router == low:
        return router, Ipv4(low + 1), high
    if router == high:
        return router, low, Ipv4(high - 1)
    raise PlanRefusedError(
        f"gateway {gateway} must be the first or the last usable address of {net}"
    )
