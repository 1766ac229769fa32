"""Creating a log and leading it."""

import asyncio
from dataclasses import replace

import pytest

from lease_core.log.errors import FencedError, ForeignLogError
from lease_core.log.port import ZERO_HASH, ZERO_ID, Claimed, Head, HeldBy, SiteLog
from tests.contract.backends import Backend
from tests.contract.story import GENESIS, LONG_MS, begun, known_head, lease, written


async def test_fresh_log(log: SiteLog) -> None:
    """Before create there is no head; after it the head stands before the first event."""
    assert await log.head() is None
    assert await log.create(GENESIS) == GENESIS
    assert await log.head() == Head(
        genesis=GENESIS,
        epoch=0,
        seq=0,
        h=ZERO_HASH,
        last_id=ZERO_ID,
        batch="",
        cursor=ZERO_ID,
        owner="",
    )


async def test_create_twice_keeps_the_first_genesis(backend: Backend, log: SiteLog) -> None:
    """A second create learns the genesis that stands and changes nothing."""
    await written(log, await begun(log), [lease(1)], "a")
    before = await backend.dump()

    assert await backend.client().create("another") == GENESIS
    assert before == await backend.dump()


async def test_create_refuses_events_without_head(backend: Backend, log: SiteLog) -> None:
    """Where a head was lost its events still bind addresses, so no new log begins over them."""
    await written(log, await begun(log), [lease(1)], "a")
    await backend.lose_head()

    with pytest.raises(ForeignLogError):
        await log.create("another")
    assert await log.head() is None


async def test_an_epoch_that_was_seen_elsewhere_is_outrun(log: SiteLog) -> None:
    """I5: whoever leads already, too, gets an epoch above one that the log does not know of."""
    await log.create(GENESIS)
    first = await log.claim("one", 10_000, GENESIS, above=7)
    again = await log.claim("one", 10_000, GENESIS, above=7)
    above = await log.claim("one", 10_000, GENESIS, above=8)

    assert first == Claimed(epoch=8, is_new=True)
    assert again == Claimed(epoch=8, is_new=False)
    assert above == Claimed(epoch=9, is_new=True)


async def test_first_claim_begins_epoch_one(log: SiteLog) -> None:
    """The first leader gets epoch 1, and the head shows it with its owner."""
    await log.create(GENESIS)

    assert Claimed(epoch=1, is_new=True) == await log.claim("a", LONG_MS, GENESIS)
    head = await known_head(log)
    assert (head.epoch, head.owner) == (1, "a")


async def test_renewal_keeps_the_epoch(log: SiteLog) -> None:
    """Renewing in time goes on under the same epoch."""
    await begun(log, "a")

    assert Claimed(epoch=1, is_new=False) == await log.claim("a", LONG_MS, GENESIS)
    assert Claimed(epoch=1, is_new=False) == await log.claim("a", LONG_MS, GENESIS)


async def test_second_claimant_learns_who_leads(backend: Backend, log: SiteLog) -> None:
    """While one leads, another is told who and for how long, and changes nothing."""
    await begun(log, "a")
    held = await backend.client().claim("b", LONG_MS, GENESIS)

    assert isinstance(held, HeldBy)
    assert held.owner == "a"
    assert 0 < held.ttl_ms <= LONG_MS
    assert (await known_head(log)).epoch == 1


async def test_takeover_after_expiry_begins_an_epoch(backend: Backend, log: SiteLog) -> None:
    """A lapsed leadership is free, and whoever takes it begins the next epoch."""
    await begun(log, "a")
    await log.claim("a", 20, GENESIS)
    await asyncio.sleep(0.04)

    assert Claimed(epoch=2, is_new=True) == await backend.client().claim("b", LONG_MS, GENESIS)
    assert isinstance(await log.claim("a", LONG_MS, GENESIS), HeldBy)


async def test_own_lapsed_leadership_begins_an_epoch_too(log: SiteLog) -> None:
    """Between lapse and return another may have led, so the same owner gets a new epoch."""
    await begun(log, "a")
    await log.claim("a", 20, GENESIS)
    await asyncio.sleep(0.04)

    assert Claimed(epoch=2, is_new=True) == await log.claim("a", LONG_MS, GENESIS)


async def test_a_dead_leader_is_replaced_at_once(backend: Backend, log: SiteLog) -> None:
    """I5: nobody waits for a leadership whose holder is dead; should it live, it is fenced."""
    await begun(log, "a")
    other = backend.client()

    assert isinstance(await other.claim("b", LONG_MS, GENESIS, dead="c"), HeldBy)
    claimed = await other.claim("b", LONG_MS, GENESIS, dead="a")
    assert claimed == Claimed(epoch=2, is_new=True)
    assert isinstance(await log.claim("a", LONG_MS, GENESIS), HeldBy)
    assert claimed.epoch == (await known_head(log)).epoch


async def test_a_leadership_ends_with_its_server(backend: Backend, log: SiteLog) -> None:
    """I5, I6: on a promoted replica whoever led goes on in no epoch that another may have been led
    past on the old master: nothing is appended before somebody claimed anew."""
    head = (await written(log, await begun(log, "a"), [lease(1)], "x")).after
    await backend.move()
    before = await backend.dump()
    log = backend.client()
    with pytest.raises(FencedError):
        await written(log, head, [lease(2)], "y")
    assert before == await backend.dump()

    assert await log.claim("a", LONG_MS, GENESIS) == Claimed(epoch=2, is_new=True)
    assert await log.claim("a", LONG_MS, GENESIS) == Claimed(epoch=2, is_new=False)
    assert isinstance(await log.claim("b", LONG_MS, GENESIS), HeldBy)
    await written(log, await known_head(log), [lease(2)], "y")

    await backend.move()
    assert await backend.client().claim("b", LONG_MS, GENESIS) == Claimed(epoch=3, is_new=True)


async def test_claim_keeps_the_end_of_the_log(log: SiteLog) -> None:
    """A new epoch changes who may write, not what was written."""
    head = (await written(log, await begun(log, "a"), [lease(1)], "x")).after
    await log.claim("a", 1, GENESIS)
    await asyncio.sleep(0.02)
    await log.claim("b", LONG_MS, GENESIS)

    assert replace(head, epoch=2, owner="b") == await known_head(log)


async def test_claim_of_a_foreign_log_is_refused(log: SiteLog) -> None:
    """Without the log that the claimant means there is nothing to lead."""
    with pytest.raises(ForeignLogError):
        await log.claim("a", LONG_MS, GENESIS)
    await log.create(GENESIS)
    with pytest.raises(ForeignLogError):
        await log.claim("a", LONG_MS, "another")
    assert (await known_head(log)).epoch == 0


@pytest.mark.parametrize("gone", [{2}, {1, 2}])
async def test_a_log_without_its_last_event_is_led_by_nobody(
    backend: Backend, log: SiteLog, gone: set[int]
) -> None:
    """I3: a leader that can append nothing would keep the others from saying what is wrong."""
    await written(log, await begun(log, "a"), [lease(1), lease(2)], "x")
    await backend.drop_events(gone)

    for owner in ("a", "b"):
        with pytest.raises(ForeignLogError, match="event"):
            await log.claim(owner, LONG_MS, GENESIS, dead="a")
    head = await known_head(log)
    assert (head.epoch, head.owner) == (1, "a")


async def test_many_claimants_one_leader(backend: Backend, log: SiteLog) -> None:
    """Of many that claim at once exactly one leads, under exactly one epoch."""
    await log.create(GENESIS)
    clients = [backend.client() for _ in range(8)]
    results = await asyncio.gather(
        *(client.claim(f"a{i}", LONG_MS, GENESIS) for i, client in enumerate(clients))
    )

    assert [Claimed(epoch=1, is_new=True)] == [r for r in results if isinstance(r, Claimed)]
    assert (await known_head(log)).epoch == 1
