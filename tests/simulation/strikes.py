"""How each kind of fault strikes, and how it ends."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from lease_core.domain.commands import AckRemoval, RevokeLease
from lease_core.log.errors import TrimRefusedError
from lease_core.log.snapshot_port import Archived
from lease_core.log.trim import find_cut
from tests.simulation import losses
from tests.simulation.faults import Fault
from tests.simulation.loop import Process
from tests.simulation.server import COMMANDS, EVENTS, Link, settled

if TYPE_CHECKING:
    from tests.simulation.router import Router
    from tests.simulation.world import AllocatorHost, World

BEHIND_S = 8.0


def strike(world: "World", fault: Fault) -> None:
    _STRIKES[fault.kind](world, fault)


def _after(world: "World", fault: Fault, end: Callable[[], object]) -> None:
    world.loop.later(fault.more["for_s"], end)


def _router(world: "World", fault: Fault) -> "Router":
    return world.routers[fault.target]


def _host(world: "World", fault: Fault) -> "AllocatorHost":
    return world.allocators[fault.target]


# --- wires ---


def _frames(world: "World", fault: Fault) -> None:
    air = world.air[fault.target]
    air.update((name, fault.more[name]) for name in air)
    _after(world, fault, lambda: air.update(drop=0.0, twice=0.0, late_s=0.0))


def _link(world: "World", fault: Fault) -> None:
    link = _link_of(world, fault)
    link.mode = fault.more["mode"]
    _after(world, fault, lambda: setattr(link, "mode", "ok"))


def _lossy(world: "World", fault: Fault) -> None:
    link = _link_of(world, fault)
    link.lose_replies = fault.more["share"]
    _after(world, fault, lambda: setattr(link, "lose_replies", 0.0))


def _mute(world: "World", fault: Fault) -> None:
    link = _link_of(world, fault)
    link.is_mute = True
    _after(world, fault, lambda: setattr(link, "is_mute", False))


def _link_of(world: "World", fault: Fault) -> Link:
    machines = {**world.routers, **world.allocators}
    return machines[fault.target].link


# --- processes and machines ---


def _kill_agent(world: "World", fault: Fault) -> None:
    router = _router(world, fault)
    router.kill_agent()
    _after(world, fault, router.start_agent)


def _fuse(world: "World", fault: Fault) -> None:
    router = _router(world, fault)
    if router.agent:
        router.maps.fuse = fault.more["writes"]


def _stop_agent(world: "World", fault: Fault) -> None:
    agent = _router(world, fault).agent
    if agent:
        _stop(world, fault, agent.process)


def _reboot(world: "World", fault: Fault) -> None:
    router = _router(world, fault)
    if router.is_up and fault.target not in world.only_edge:
        mute_s = fault.more["mute_s"]
        if mute_s:  # the first heartbeats of the new life are lost
            link = router.link
            link.is_mute = True
            world.loop.later(fault.more["for_s"] + mute_s, setattr, link, "is_mute", False)
        router.reboot(fault.more["for_s"], renumber=fault.more["renumber"])


def _replace_router(world: "World", fault: Fault) -> None:
    router = _router(world, fault)
    if router.is_up and fault.target not in world.only_edge:
        router.replace(fault.more["for_s"])


def _drop_port(world: "World", fault: Fault) -> None:
    router = _router(world, fault)
    router.configure({world.rng.choice(("access0", "access1"))})
    _after(world, fault, lambda: router.configure(set()))


def _kill_allocator(world: "World", fault: Fault) -> None:
    host = _host(world, fault)
    if not losses.may_forget(world):
        return
    host.kill()
    _after(world, fault, host.start)


def _stop_allocator(world: "World", fault: Fault) -> None:
    process = _host(world, fault).process
    if process:
        _stop(world, fault, process)


def _stop(world: "World", fault: Fault, process: Process) -> None:
    process.stop()
    _after(world, fault, process.resume)


def _suspend(world: "World", fault: Fault) -> None:
    router = _router(world, fault)
    router.suspend()
    _after(world, fault, router.wake)


def _pause_router(world: "World", fault: Fault) -> None:
    """No longer than Q: whoever sleeps longer while A + Q passes may answer (docs/safety.md)."""
    router = _router(world, fault)
    router.pause()
    world.loop.later(world.rng.choice((1.0, 5.0, 11.0)), router.unpause)


def _pause_allocator(world: "World", fault: Fault) -> None:
    """A virtual machine is stopped with its clocks, which say nothing of it afterwards."""
    host = _host(world, fault)
    process = host.process
    host.clock.stop()
    if process:
        process.stop()

    def go_on() -> None:
        host.clock.go_on()
        if process:
            process.resume()

    _after(world, fault, go_on)


def _replay(world: "World", fault: Fault) -> None:
    """Old commands of the edge come again, at the worst moment: see `World._appended`."""
    world.replaying.add(fault.target)
    _after(world, fault, lambda: world.replaying.discard(fault.target))


def replay_for(world: "World", site: str, ip: int) -> None:
    """Every acknowledgement that was ever sent for an address arrives once more."""
    old = [c for c in world.server.sent.get(site, ()) if isinstance(c, AckRemoval) and c.ip == ip]
    if old and not world.server.store.is_down and not world.server.is_replaced(site):
        settled(world.auditor(site).send_many(old, f"{site}-bng1"))
        world.server.wake(site, COMMANDS)


# --- clocks ---


def _slew(world: "World", fault: Fault) -> None:
    clock = _router(world, fault).clock
    clock.set_slew(fault.more["slew"])
    _after(world, fault, lambda: clock.set_slew(1.0))


def _boot_step(world: "World", fault: Fault) -> None:
    """Ahead, so that promises look shorter than they are; back, they would look longer."""
    _router(world, fault).clock.step_boot(world.rng.choice((4.0, 25.0, 200.0)))


def _wall(world: "World", fault: Fault) -> None:
    machines = {**world.routers, **world.allocators}
    clock = world.server.clock if fault.kind == "wall-redis" else machines[fault.target].clock
    clock.wall_step_s += fault.more["by_s"]


# --- the operator ---


def _pool(world: "World", fault: Fault) -> None:
    world.add_pool(fault.target)


def _revoke(world: "World", fault: Fault) -> None:
    bound = sorted(world.oracles[fault.target].ledger.bound)
    if not bound or world.server.store.is_down or world.server.is_replaced(fault.target):
        return
    chosen = world.rng.sample(bound, min(fault.more["count"], len(bound)))
    commands = [
        RevokeLease(req=f"op-{ip}-{world.loop.steps}", ip=ip, cause="test") for ip in chosen
    ]
    settled(world.auditor(fault.target).send_many(commands, "operator:test"))
    world.server.wake(fault.target, COMMANDS)


# --- Redis ---


def _redis_crash(world: "World", fault: Fault) -> None:
    world.server.crash_next = fault.more["when"]


def _redis_down(world: "World", fault: Fault) -> None:
    store = world.server.store
    store.is_down = True
    _after(world, fault, lambda: setattr(store, "is_down", False))


def _disk_full(world: "World", fault: Fault) -> None:
    server = world.server
    server.is_disk_full = True
    _after(world, fault, lambda: setattr(server, "is_disk_full", False))


def _cut(world: "World", fault: Fault) -> None:
    """The operator archives and trims; an edge that is given up for lost may come back."""
    site = fault.target
    if fault.more["lost"]:
        _leave_behind(world, site, lambda: _archive_and_trim(world, site, lost=True))
    else:
        _archive_and_trim(world, site, lost=False)


def _leave_behind(world: "World", site: str, then: Callable[[], None]) -> None:
    """While an edge hears nothing, its log goes on and loses what it has not read."""
    link = world.routers[site].link
    link.mode = "refused"

    def overtake() -> None:
        if world.loop.now_s < world.length.fault_s:
            then()
        link.mode = "ok"

    world.loop.later(BEHIND_S, overtake)


def _archive_and_trim(world: "World", site: str, *, lost: bool) -> None:
    if world.server.store.is_down or world.server.is_replaced(site) or world.gaps[site]:
        return
    log = world.auditor(site)
    head = settled(log.head())
    mark = Archived(genesis=head.genesis, seq=head.seq, h=head.h, by="operator")
    settled(log.set_archived(mark))
    given_up = list(settled(log.reports())) if lost else []
    with contextlib.suppress(TrimRefusedError):
        cut = settled(find_cut(log))
        gone = settled(log.trim(cut, given_up))
        world.note(f"{site} log cut below seq {cut.seq}: {gone} events went")
        world.tally["events cut"] += gone


def _trim(world: "World", fault: Fault) -> None:
    """XTRIM under a slow reader: all but the last few events are gone for a while."""

    def trim() -> None:
        stream = world.server.store.sites[fault.target].events
        _take_away(world, fault, max(0, len(stream.ids) - world.rng.randint(1, 4)), 0)

    _leave_behind(world, fault.target, trim)


def _hole(world: "World", fault: Fault) -> None:
    """Exactly one event is gone for a while."""
    stream = world.server.store.sites[fault.target].events
    if stream.ids:
        at = len(stream.ids) - world.rng.randint(1, min(3, len(stream.ids)))
        _take_away(world, fault, 1, at)


def _take_away(world: "World", fault: Fault, count: int, at: int) -> None:
    site = fault.target
    if world.server.is_replaced(site):
        return
    stream = world.server.store.sites[site].events
    gone = list(zip(stream.ids[at : at + count], stream.entries[at : at + count], strict=True))
    world.gaps[site] += bool(gone)
    del stream.ids[at : at + count], stream.entries[at : at + count]

    def bring_back() -> None:
        world.gaps[site] -= bool(gone)
        kept = dict(zip(stream.ids, stream.entries, strict=True)) | dict(gone)
        order = sorted(kept, key=lambda entry_id: entry_id[1])
        stream.ids[:] = order
        stream.entries[:] = [kept[entry_id] for entry_id in order]
        gone.clear()
        world.server.wake(site, EVENTS)

    world.menders.append(bring_back)
    _after(world, fault, bring_back)


_STRIKES: dict[str, Callable[["World", Fault], None]] = {
    "frames": _frames,
    "edge-link": _link,
    "edge-lossy": _lossy,
    "allocator-link": _link,
    "allocator-lossy": _lossy,
    "kill-agent": _kill_agent,
    "fuse": _fuse,
    "stop-agent": _stop_agent,
    "reboot": _reboot,
    "replay": _replay,
    "mute": _mute,
    "replace": _replace_router,
    "drop-port": _drop_port,
    "pause-router": _pause_router,
    "slew": _slew,
    "pool": _pool,
    "revoke": _revoke,
    "old-copy": losses.old_copy,
    "lag": losses.lag,
    "promote": losses.promote,
    "flush": losses.flush,
    "trim": _trim,
    "cut": _cut,
    "hole": _hole,
    "boot-step": _boot_step,
    "wall-edge": _wall,
    "wall-allocator": _wall,
    "wall-redis": _wall,
    "kill-allocator": _kill_allocator,
    "stop-allocator": _stop_allocator,
    "pause-allocator": _pause_allocator,
    "suspend": _suspend,
    "redis-crash": _redis_crash,
    "redis-down": _redis_down,
    "disk-full": _disk_full,
}
