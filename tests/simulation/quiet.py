"""After the last fault (I13): edges agree, newcomers are served, and every address comes back."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_agent.sync.follower import Following
from lease_core.domain.values import Mac
from tests.simulation import losses
from tests.simulation.checker import Violation
from tests.simulation.client import Client

if TYPE_CHECKING:
    from tests.simulation.world import World

AGREE_S = 30.0
LOOK_S = 6.0
SEEN_S = 2.0
SERVED_S = 5.0
DRAIN_S = 160.0
"""L, its expiry, a former life's horizon, W, the longest quarantine of a declined address, Q."""
ENOUGH_FREE = 5


def heal(world: "World") -> None:
    """The last fault is over."""
    world.note("healed")
    world.server.store.is_down, world.server.crash_next = False, ""
    world.server.is_disk_full = False
    world.replaying.clear()
    for mend in world.menders:
        mend()
    for site in world.oracles:
        _heal_site(world, site)
    for host in world.allocators.values():
        host.link.mode, host.link.lose_replies = "ok", 0.0
        host.clock.go_on()
        if host.process:
            host.process.resume()
        host.start()
    for client in world.clients:
        client.is_calm = True


def _heal_site(world: "World", site: str) -> None:
    router = world.routers[site]
    losses.end_split(world, site)
    world.server.replicas[site].go_on()
    world.recreate(site)
    world.air[site].update(drop=0.0, twice=0.0, late_s=0.0)
    router.link.mode, router.link.lose_replies, router.link.is_mute = "ok", 0.0, False
    router.boot()
    router.wake()
    router.unpause()
    router.configure(set())
    router.maps.fuse = 0
    router.clock.set_slew(1.0)
    router.start_agent()


def quiet_phase(world: "World") -> None:
    """A long schedule waits for all of the time allowed, a short one until the edges agree."""
    end_s = world.loop.now_s + AGREE_S
    while world.loop.now_s < end_s:
        wait_s = AGREE_S if world.length.has_drain else LOOK_S
        world.run_to(world.loop.now_s + wait_s - SEEN_S)
        ends = {site: oracle.ledger.seq for site, oracle in world.oracles.items()}
        world.run_to(world.loop.now_s + SEEN_S)
        doubts = list(_doubts(world, ends))
        if not doubts:
            break
    if doubts:
        raise Violation(f"I13: {AGREE_S} s after the last fault: {'; '.join(doubts)}")
    _serve_newcomers(world, [site for site in world.oracles if _has_room(world, site)], 1)


def _doubts(world: "World", ends: dict[str, int]) -> Iterator[str]:
    """Who does not follow its log, or has not applied what it held `SEEN_S` ago."""
    for site, end in ends.items():
        agent = world.routers[site].agent
        following = agent.edge.following if agent else "no agent"
        if not _is_known(world, site):
            continue
        if following is not Following.LIVE:
            yield f"{site} is {following}"
        if world.routers[site].maps.state().cursor_lo < end:
            yield f"{site}: the tables are behind the log"


def _has_room(world: "World", site: str) -> bool:
    """Enough is free, nobody waits for it, and the router may serve.

    One of another name gets no horizon before its predecessor's promises have passed.
    """
    is_known = _is_known(world, site) and world.oracles[site].ledger.recovery is None
    waiting = any(c.place[0] == site and c.state not in {"off", "bound"} for c in world.clients)
    return is_known and not waiting and _free(world, site) >= ENOUGH_FREE


def _is_known(world: "World", site: str) -> bool:
    life = world.oracles[site].ledger.edge
    return life is not None and life.edge == world.routers[site].config.edge


def _free(world: "World", site: str) -> int:
    ledger = world.oracles[site].ledger
    total = sum(pool.last - pool.first + 1 for pool in ledger.pools.values())
    return total - len(ledger.bound) - len(ledger.removed)


def _serve_newcomers(world: "World", sites: list[str], count: int) -> None:
    newcomers = []
    for site in sites:
        for _ in range(count):
            mac = Mac(0x0200_0100_0000 + len(world.clients))
            place = (site, world.rng.choice(("access0", "access1")))
            made = Client(world.loop, world.rng, mac, place, [place], world.uplink, world.bound)
            made.is_calm = True
            world.clients.append(made)
            newcomers.append(made)
            made.power_on()
    world.run_to(world.loop.now_s + SERVED_S)
    for made in newcomers:
        if made.state != "bound":
            raise Violation(f"I13: {made.key} is {made.state}, {SERVED_S} s after it came")


def drain(world: "World") -> None:
    """All clients leave; no address is stuck, and the whole pool can be given again."""
    for client in world.clients:
        client.power_off()
        client.is_gone = True
    world.run_to(world.loop.now_s + DRAIN_S)
    for site, oracle in world.oracles.items():
        ledger = oracle.ledger
        if ledger.bound or ledger.removed:
            raise Violation(
                f"I13: {site}: {DRAIN_S} s after all left, bound {list(ledger.bound.values())}, "
                f"removed {list(ledger.removed.values())}"
            )
    for site in world.oracles:
        _serve_newcomers(world, [site], _free(world, site))
