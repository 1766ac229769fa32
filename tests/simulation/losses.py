"""Logs that lose events, and who remembers them: every allocator, or the edge (ADR 8)."""

from copy import deepcopy
from typing import TYPE_CHECKING

from edge_agent.sync.follower import Following
from lease_core.log.memory_store import Site
from lease_core.log.port import Batch
from tests.simulation.faults import Fault

if TYPE_CHECKING:
    from tests.simulation.world import World


def edge_remembers(world: "World", site: str) -> bool:
    """Whether the tables of a router that is up have every promise that may stand."""
    router = world.routers[site]
    kept = {entry.ip for _, entry in router.maps.entries()}
    return router.is_up and world.oracles[site].standing(world.loop.now_s) <= kept


def may_forget(world: "World") -> bool:
    """Whether an allocator may die or begin anew: of what is lost, edges remember enough."""
    lost = world.server.lost_at
    copies = [site for site in lost if world.server.store.sites[site].head]
    if not all(site in world.only_edge or edge_remembers(world, site) for site in copies):
        return False
    for site in copies:
        world.only_edge.setdefault(site, lost[site])
    return True


def notice_agreement(world: "World", site: str) -> None:
    """The edge went on beyond the fork: it had acted on nothing that was lost."""
    router, oracle = world.routers[site], world.oracles[site]
    goes_on = router.maps.state().cursor_lo > world.only_edge[site]
    is_live = router.agent and router.agent.edge.following is Following.LIVE
    if is_live and goes_on and oracle.branch_of(router) is oracle.records:
        told(world, site)


def told(world: "World", site: str) -> None:
    """The log tells of its loss, or nobody acted on what it lost."""
    world.server.recovers(site)
    world.only_edge.pop(site, None)


def old_copy(world: "World", fault: Fault) -> None:
    """A replica without the last events is promoted, for good; only the original has a gap."""
    if _may_lose(world, fault.target):
        copy = world.server.copy_of(fault.target)
        world.loop.later(fault.more["for_s"] / 3, _replace, world, fault, copy)


def lag(world: "World", fault: Fault) -> None:
    """A replica gets nothing for a while, then all of it at once."""
    site, server = fault.target, world.server
    if _may_lose(world, site):
        replica = world.rng.choice(server.replicas[site].each)
        replica.stall(server.store.sites[site], world.loop.now_s)
        world.loop.later(fault.more["for_s"], replica.go_on)


def promote(world: "World", fault: Fault) -> None:
    """The master is cut off from its replicas, and one takes its place with what it has.

    Where nobody waits for them, what it lacks may have been told (ADR 8); else it may not (ADR 9).
    """
    site, server = fault.target, world.server
    if _may_lose(world, site):
        server.replicas[site].stall(server.store.sites[site], world.loop.now_s)
        world.loop.later(fault.more["lag_s"], _promote, world, fault)


def _promote(world: "World", fault: Fault) -> None:
    site, server = fault.target, world.server
    replicas = server.replicas[site]
    if not _may_lose(world, site) or not (replicas.needed or edge_remembers(world, site)):
        replicas.go_on()
        return
    held = replicas.successor().held
    copy = deepcopy(held) if held else server.copy_of(site)
    links = [world.routers[site].link, *(host.link for host in world.allocators.values())]
    led_astray = [link for link in links if fault.more["goes_on"] and world.rng.random() < 0.5]
    world.note(f"{site} replica promoted at seq {_seq(copy)}")
    _note_lost(world, site, world.oracles[site].ledger.seq - _seq(copy))
    _go_back(world, site, copy, is_told=not replicas.needed)
    server.promote(site, copy, led_astray)
    if not replicas.needed:
        world.only_edge[site] = _seq(copy)
    world.loop.later(fault.more["for_s"], end_split, world, site)


def _go_back(world: "World", site: str, copy: Site, *, is_told: bool = True) -> None:
    """What the copy lacks is lost; unless it was told to nobody, somebody has to know."""
    if is_told:
        world.server.lost_at[site] = _seq(copy)
    h = copy.head.h if copy.head else ""
    world.oracles[site].went_back(_seq(copy), h, is_told=is_told)


def in_vain(world: "World", site: str, batch: Batch) -> None:
    """A deposed master took it; where nobody waits for replicas an edge that is led there acts."""
    _note_lost(world, site, len(batch.records))
    if not world.server.replicas[site].needed:
        world.oracles[site].appended_in_vain(batch, world.routers[site])


def _note_lost(world: "World", site: str, count: int) -> None:
    told = "untold" if world.server.replicas[site].needed else "told"
    world.tally[f"{told} events lost by a promotion"] += count


def end_split(world: "World", site: str) -> None:
    if world.server.is_split(site):
        world.note(f"{site} the deposed master is gone")
        machines = [world.routers[site], *world.allocators.values()]
        world.server.end_split(site, [machine.link for machine in machines])


def _seq(copy: Site) -> int:
    return copy.head.seq if copy.head else 0


def _may_lose(world: "World", site: str) -> bool:
    """One loss at a time, and none of a log that has a gap."""
    is_lost = world.server.is_replaced(site) or world.server.is_split(site)
    return world.loop.now_s < world.length.fault_s and not is_lost and not world.gaps[site]


def _replace(world: "World", fault: Fault, copy: Site | None) -> None:
    """Only where somebody remembers what is lost: every allocator, or the edge (ADR 8).

    Later the operator looks whether the plan names the log that stands there.
    """
    site, server = fault.target, world.server
    old_seq = copy.head.seq if copy and copy.head else -1
    seen = [
        host.leaders[site]._warm.position.seq for host in world.allocators.values() if host.leaders
    ]
    by_all = bool(seen) and all(seq > old_seq for seq in seen)
    if not _may_lose(world, site) or not (by_all or copy is None or edge_remembers(world, site)):
        return
    world.note(f"{site} log replaced by a copy at seq {old_seq}")
    if copy and not by_all:
        world.only_edge[site] = old_seq
    stands = copy or Site()
    server.replace(site, stands)
    _go_back(world, site, stands)
    world.loop.later(fault.more["for_s"], world.recreate, site)


def flush(world: "World", fault: Fault) -> None:
    _replace(world, fault, None)
