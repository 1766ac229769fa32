"""The plan: which site owns which prefix. Prefixes never overlap, whoever asks."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lease_core.domain.dhcp_options import (
    ALWAYS,
    DNS,
    MAX_ALWAYS_OCTETS,
    MAX_OCTETS,
    MAX_OWN,
    ROUTERS,
    SUBNET_MASK,
    code_of,
    read_options,
    show_options,
    size_of,
)
from lease_core.domain.events import (
    Event,
    OptionsPlanned,
    PlanEvent,
    PoolAdded,
    PrefixPlanned,
    SiteAdded,
)
from lease_core.domain.ledger import LedgerError
from lease_core.domain.values import InvalidValueError, Ipv4, ip_from_text, name

LEASE_TIME_S = range(300, 86_401)
MIN_HORIZON_LEASES = 2


class PlanRefusedError(ValueError):
    """The plan cannot take the change; the message names what stands against it and a remedy."""


@dataclass(slots=True)
class Plan:
    seq: int = 0
    sites: dict[str, SiteAdded] = field(default_factory=dict)
    prefixes: list[PrefixPlanned] = field(default_factory=list)
    events: list[PlanEvent] = field(default_factory=list)
    """All that was applied."""

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
            case OptionsPlanned():
                self._set_options(seq, event)
            case _:
                raise LedgerError(f"event {seq}: {type(event).__name__} is no event of a plan")
        self.events.append(event)
        self.seq = seq

    def _set_options(self, seq: int, event: OptionsPlanned) -> None:
        for at, prefix in enumerate(self.prefixes):
            if (prefix.site, prefix.pool) == (event.site, event.pool):
                self.prefixes[at] = replace(prefix, dns=event.dns, options=event.options)
                return
        raise LedgerError(f"event {seq} sets options of pool {event.site}/{event.pool}: none such")

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


def replace_log(plan: Plan, *, site: str, genesis: str) -> SiteAdded:
    """Give a site a new log in the place of one that is lost. Raises PlanRefusedError."""
    if site not in plan.sites:
        raise PlanRefusedError(f"there is no site {site}; see: leasectl site list")
    if plan.sites[site].genesis == genesis:
        raise PlanRefusedError(f"the log of {site} is there; nothing is to be replaced")
    return replace(plan.sites[site], genesis=genesis, cause="recreated")


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
    options: Iterable[str] = (),
) -> PrefixPlanned:
    """Give a prefix to a site: all of it but network, broadcast and gateway is assignable.

    The gateway is the first address unless told, and must be the first or the last usable one so
    that the rest is one range. `options` are `name=value` each, see `dhcp_options`. Raises
    PlanRefusedError or InvalidValueError.
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
    told = (*options, f"dns={','.join(dns)}") if dns else options
    shown_dns, shown_options = _shown(read_options("; ".join(told)))
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
        dns=shown_dns,
        lease_time_s=lease_time_s,
        cause=cause,
        options=shown_options,
    )


def plan_options(
    plan: Plan, *, site: str, pool: str, changed: Iterable[str], unset: Iterable[str], cause: str
) -> OptionsPlanned:
    """Change what clients of a pool are told: `changed` are `name=value` each, `unset` names.

    Raises PlanRefusedError or InvalidValueError; both the operator's to mend.
    """
    prefix = next((p for p in plan.prefixes_of(site) if p.pool == pool), None)
    if prefix is None:
        raise PlanRefusedError(f"there is no pool {site}/{pool}; see: leasectl pool list")
    values = options_of(prefix) | read_options("; ".join(changed))
    for name_or_code in unset:
        if values.pop(code_of(name_or_code), None) is None:
            raise PlanRefusedError(f"option {name_or_code} of {site}/{pool} is not set")
    shown_dns, shown_options = _shown(values)
    return OptionsPlanned(site=site, pool=pool, cause=cause, dns=shown_dns, options=shown_options)


def options_of(pool: PrefixPlanned | PoolAdded | OptionsPlanned) -> dict[int, bytes]:
    """All that an operator set for a pool, code to value.

    Raises:
        InvalidValueError: the event holds what no operator could set; the fault of its writer.
    """
    return read_options(f"dns={pool.dns}; {pool.options}" if pool.dns else pool.options)


def _shown(values: dict[int, bytes]) -> tuple[str, str]:
    """DNS servers, which have a field of their own, and the other options, as events tell them."""
    room = {SUBNET_MASK: bytes(4), ROUTERS: bytes(4)} | values
    always = {code: value for code, value in room.items() if code in ALWAYS}
    for what, size, limit in (
        ("mask, routers and dns take", size_of(always), MAX_ALWAYS_OCTETS),
        ("the pool's options take", size_of(room), MAX_OCTETS),
    ):
        if size > limit:
            raise PlanRefusedError(
                f"{what} {size} octets of a reply, at most {limit} are sent; shorten or unset one"
            )
    if len(room) - len(always) > MAX_OWN:
        raise PlanRefusedError(f"{len(room) - len(always)} own options; at most {MAX_OWN} fit")
    dns = show_options({DNS: values[DNS]}).removeprefix("dns=") if DNS in values else ""
    return dns, show_options({code: values[code] for code in values if code != DNS})


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
