"""The horizon: until when an edge may promise anything (I6)."""

import random

from edge_agent.sync.horizon import MAX_PENDING, Horizon
from lease_core.domain.events import HorizonGranted

SECOND = 10**9


def granted(nonce: str, horizon_s: int = 1000) -> HorizonGranted:
    return HorizonGranted(edge="bng1", incarnation="a", nonce=nonce, horizon_s=horizon_s)


def test_it_counts_from_the_moment_of_sending() -> None:
    """However late the grant comes, E is the send moment plus H(1-rho)."""
    horizon = Horizon()
    horizon.beat("n1", 100 * SECOND)

    assert horizon.grant(granted("n1"))
    assert horizon.remaining_s(100 * SECOND) == 999.0
    assert horizon.remaining_s(600 * SECOND) == 499.0


def test_a_grant_to_somebody_elses_heartbeat_is_ignored() -> None:
    """A nonce that this process did not send, or sent and had answered, raises nothing."""
    horizon = Horizon()
    horizon.beat("n1", 0)
    assert horizon.grant(granted("n1"))

    assert not horizon.grant(granted("other", 50_000))
    assert not horizon.grant(granted("n1", 50_000)), "once only"
    assert horizon.remaining_s(0) == 999.0


def test_it_is_never_lowered() -> None:
    """Grants in any order leave E at the largest of them (E = max)."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    horizon, ends = Horizon(), [0]
    for number in range(200):
        sent, length = chance.randrange(10_000) * SECOND, chance.randrange(100, 5000)
        horizon.beat(str(number), sent)
        horizon.grant(granted(str(number), length))
        ends.append(sent + int(length * SECOND * 0.999))
        assert horizon.end_boot_ns(0, 0) == max(ends)


def test_the_kernels_clock_is_followed() -> None:
    """E is told anew on CLOCK_BOOTTIME as the two clocks stand, so slewing cannot stretch it."""
    horizon = Horizon()
    horizon.beat("n1", 0)
    horizon.grant(granted("n1"))

    assert horizon.end_boot_ns(boot_ns=5000 * SECOND, elapsed_ns=0) == 5999 * SECOND
    slewed = horizon.end_boot_ns(boot_ns=5400 * SECOND, elapsed_ns=500 * SECOND)
    assert slewed == 5899 * SECOND, "the boot clock lost 100 s: less of it is left"
    assert horizon.end_boot_ns(boot_ns=0, elapsed_ns=5000 * SECOND) == 0, "over"


def test_a_restarted_agent_resumes_what_the_tables_say() -> None:
    """E outlives the process, but what has passed is not brought back."""
    horizon = Horizon()
    horizon.resume(900 * SECOND, touched_boot_ns=500 * SECOND, touched_elapsed_ns=70 * SECOND)
    assert horizon.end_boot_ns(500 * SECOND, 70 * SECOND) == 900 * SECOND
    assert horizon.remaining_s(470 * SECOND) == 0


def test_a_long_dead_agent_cannot_have_stretched_its_horizon() -> None:
    """Whatever became of the kernel's clock while no agent looked, E is where it was (I6)."""
    horizon = Horizon()
    horizon.resume(3400 * SECOND, touched_boot_ns=1000 * SECOND, touched_elapsed_ns=70 * SECOND)

    assert horizon.remaining_s(1270 * SECOND) == 1200
    slowed = horizon.end_boot_ns(boot_ns=2100 * SECOND, elapsed_ns=1270 * SECOND)
    assert slowed == 3300 * SECOND


def test_heartbeats_without_answer_are_bounded() -> None:
    """Only the last nonces are remembered (I12)."""
    horizon = Horizon()
    for number in range(MAX_PENDING + 5):
        horizon.beat(str(number), 0)

    assert not horizon.grant(granted("4"))
    assert horizon.grant(granted("5"))


def test_a_grant_under_way_does_not_bring_back_what_was_forfeited() -> None:
    """I1: an edge that another life replaced takes no grant for a heartbeat of before."""
    horizon = Horizon()
    horizon.beat("n", 0)
    horizon.forfeit()

    assert not horizon.grant(granted("n"))
    assert horizon.remaining_s(0) == 0
