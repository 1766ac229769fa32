"""What `edgectl metrics` and `edgectl watch` make of counters."""

from edge_agent.cli.metrics import rendered
from edge_agent.cli.watch import rates
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import SiteState

SECOND = 10**9
STATE = SiteState(
    gate=True, horizon_boot_ns=100 * SECOND, touched_boot_ns=39 * SECOND, epoch=3, cursor_lo=1 << 60
)


def lines(state: SiteState = STATE, now_boot_ns: int = 40 * SECOND) -> list[str]:
    counters = {name.value: at for at, name in enumerate(Counter)}
    return list(rendered({"site": "ams01"}, counters, state, (70, 3), now_boot_ns))


def test_every_counter_is_a_sample() -> None:
    """Each verdict is a sample of one metric, those that never happened, too."""
    found = [line for line in lines() if line.startswith("lease_edge_messages_total")]
    assert found[0] == 'lease_edge_messages_total{site="ams01",verdict="offer"} 0'
    assert len(found) == len(Counter)


def test_notices_are_samples() -> None:
    """What the kernel told is counted, and what of it nobody has heard."""
    assert 'lease_edge_notices_total{site="ams01"} 70' in lines()
    assert 'lease_edge_notices_untaken{site="ams01"} 3' in lines()


def test_state_is_told_in_seconds_and_whole_numbers() -> None:
    """Gauges say what the tables say; a horizon that has passed is 0 and a seq is not rounded."""
    assert 'lease_edge_horizon_left_seconds{site="ams01"} 60.0' in lines()
    assert 'lease_edge_agent_silent_seconds{site="ams01"} 1.0' in lines()
    assert f'lease_edge_applied_seq{{site="ams01"}} {1 << 60}' in lines()
    assert 'lease_edge_horizon_left_seconds{site="ams01"} 0.0' in lines(now_boot_ns=200 * SECOND)


def test_each_metric_has_its_type_before_its_samples() -> None:
    """Prometheus reads HELP and TYPE of a metric once, before its samples."""
    typed: set[str] = set()
    for line in lines():
        name = line.split("{")[0] if line[0] != "#" else line.split()[2]
        if line.startswith("# TYPE"):
            assert name not in typed
            typed.add(name)
        elif line[0] != "#":
            assert name in typed


def test_rates_name_what_moved() -> None:
    """Counters that stand still are left out, the busiest stands first."""
    before, after = {"offer": 5, "ack": 7, "nak": 1}, {"offer": 7, "ack": 17, "nak": 1}
    assert rates(before, after, 2.0) == "ack 5.0/s  offer 1.0/s"
    assert rates(before, before, 2.0) == "-"
