"""Pools: what the log says of them, rendered once for every reply."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from edge_agent.datapath.port import Datapath
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import PoolOptions
from lease_core.domain.events import PoolAdded
from lease_core.domain.ledger import LedgerError
from lease_core.domain.values import Ipv4, ip_from_text


class Pools:
    """The pools in a datapath, by name: looked through for frames, so kept in memory too."""

    def __init__(self, datapath: Datapath) -> None:
        """Take the pools as they are found: none, or left by a former process."""
        self._datapath = datapath
        self._found = {pool.name: (number, pool) for number, pool in datapath.pools()}
        self._names = {number: name for name, (number, _) in self._found.items()}

    def __iter__(self) -> Iterator[PoolOptions]:
        return (pool for _, pool in self._found.values())

    def named(self, name: str) -> PoolOptions | None:
        found = self._found.get(name)
        return found[1] if found else None

    def number(self, name: str) -> int:
        """The pool's number in the datapath.

        Raises:
            LedgerError: the log never told of such a pool.
        """
        found = self._found.get(name)
        if found is None:
            raise LedgerError(f"there is no pool {name!r}")
        return found[0]

    def name_of(self, number: int) -> str:
        """The name of the pool with a number, "" where there is none."""
        return self._names.get(number, "")

    def put(self, event: PoolAdded) -> None:
        """Write a pool.

        Raises:
            LedgerError: it cannot be told to clients; the fault of whoever wrote the event.
        """
        try:
            pool = _rendered(event)
        except ValueError as error:
            raise LedgerError(f"pool {event.pool!r} cannot be rendered: {error}") from error
        if self._found.get(event.pool) != (event.number, pool):
            self._datapath.put_pool(event.number, pool)
            self._found[event.pool] = (event.number, pool)
            self._names[event.number] = event.pool


def _rendered(event: PoolAdded) -> PoolOptions:
    network = IPv4Network(event.network)
    netmask = Ipv4(int(network.netmask))
    dns = [ip_from_text(server) for server in event.dns.split(",") if server]
    return PoolOptions(
        Ipv4(int(network.network_address)),
        netmask,
        event.gateway,
        event.lease_time_s,
        render_pool_options(event.gateway, netmask, [event.gateway], dns),
        event.pool,
    )
