"""The in-memory datapath keeps the limits and the manners of the kernel's maps."""

from dataclasses import replace

import pytest

from edge_agent.datapath.memory import MemoryDatapath
from edge_agent.datapath.port import Datapath, TableFullError
from edge_agent.dhcp.counters import Counter
from edge_agent.dhcp.tables import subscriber_key
from lease_core.domain.values import Mac
from tests.unit.dhcp.clients import ASSIGNMENT, MAC, tables

KEY = subscriber_key(MAC)


def test_it_is_a_datapath() -> None:
    """The twin implements the whole port, so the agent does not know the difference."""
    datapath: Datapath = MemoryDatapath()
    assert datapath.kind == "user space"


def test_a_full_table_refuses_newcomers_only() -> None:
    """At the limit a new subscriber is refused, and a known one can still be changed."""
    made = MemoryDatapath(max_entries=1)
    made.put(KEY, ASSIGNMENT)
    with pytest.raises(TableFullError, match="raise max_entries"):
        made.put(subscriber_key(Mac(MAC + 1)), ASSIGNMENT)
    made.put(KEY, replace(ASSIGNMENT, seq=42))
    assert list(made.entries()) == [(KEY, replace(ASSIGNMENT, seq=42))]
    made.remove(KEY)
    made.put(subscriber_key(Mac(MAC + 1)), ASSIGNMENT)


def test_removing_twice_is_no_error() -> None:
    """An event that is applied again finds the binding gone and goes on."""
    made = tables()
    made.remove(KEY)
    made.remove(KEY)
    assert made.lookup(KEY) is None


def test_bindings_may_go_while_they_are_listed() -> None:
    """Reconciliation deletes what it lists."""
    made = tables()
    for key, _ in made.entries():
        made.remove(key)
    assert list(made.entries()) == []


@pytest.mark.parametrize("slot", [-1, 8, 2**32 - 1])
def test_a_slot_outside_the_array_promises_nothing(slot: int) -> None:
    """A promise that cannot be recorded is not made."""
    made = tables()
    assert not made.raise_promise(slot, 1)
    assert made.promise(slot) == 0


def test_counters_have_every_name() -> None:
    """All counters are there from the start, by the names of `bpf/maps.h`."""
    made = MemoryDatapath()
    made.count(Counter.ACK)
    made.count(Counter.ACK)
    assert made.counters() == {counter.value: 2 * (counter == "ack") for counter in Counter}
