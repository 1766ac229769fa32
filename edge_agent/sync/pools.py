"""Pools: what the log says of them, rendered once for every reply."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network

from edge_agent.datapath.port import Datapath
from edge_agent.dhcp.pool_options import render_pool_options
from edge_agent.dhcp.tables import PoolOptions
from lease_core.domain.dhcp_options import ROUTERS, SUBNET_MASK, read_options
from lease_core.domain.events import PoolAdded, PoolOptionsSet
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

    def find(self, name: str) -> int | None:
        """The pool's number in the datapath; None where the log never told of it."""
        found = self._found.get(name)
        return found[0] if found else None

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
            network = IPv4Network(event.network)
        except ValueError as error:
            raise LedgerError(f"pool {event.pool!r}: {error}") from error
        first, mask = Ipv4(int(network.network_address)), Ipv4(int(network.netmask))
        pool = PoolOptions(first, mask, event.gateway, event.lease_time_s, b"", event.pool)
        self._write(event.number, _told(pool, event))

    def set_options(self, event: PoolOptionsSet) -> None:
        """Tell clients of a pool something else from now on. Raises LedgerError as `put`."""
        number = self.number(event.pool)
        self._write(number, _told(self._found[event.pool][1], event))

    def _write(self, number: int, pool: PoolOptions) -> None:
        if self._found.get(pool.name) != (number, pool):
            self._datapath.put_pool(number, pool)
            self._found[pool.name] = (number, pool)
            self._names[number] = pool.name


def _told(pool: PoolOptions, event: PoolAdded | PoolOptionsSet) -> PoolOptions:
    """The pool with what the event says rendered for replies."""
    try:
        dns = [ip_from_text(server) for server in event.dns.split(",") if server]
        extra = read_options(event.options)
        mask = _addresses(extra.pop(SUBNET_MASK, b"")) or [pool.netmask]
        routers = _addresses(extra.pop(ROUTERS, b"")) or [pool.server_id]
        rendered = render_pool_options(pool.server_id, mask[0], routers, dns, extra)
    except ValueError as error:
        raise LedgerError(f"pool {event.pool!r} cannot be rendered: {error}") from error
    return replace(pool, options=rendered.always, on_request=rendered.on_request)


def _addresses(value: bytes) -> list[Ipv4]:
    """The addresses in an option's value."""
    return [Ipv4(int.from_bytes(value[at : at + 4], "big")) for at in range(0, len(value), 4)]
