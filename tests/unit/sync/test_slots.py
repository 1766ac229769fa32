"""Slots of promises: two live bindings never share one."""

import random

import numpy as np

from edge_agent.datapath.abi import SLOTS_PER_GROUP
from edge_agent.sync.slots import Slots
from lease_core.domain.mixing import mix64


def test_slots_are_given_once_until_they_come_back() -> None:
    """Whatever the order of taking and giving, no slot is taken twice at a time (I1)."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    slots, held = Slots(10, used=[3, 7]), {3, 7}
    for _ in range(2000):
        if chance.random() < 0.5:
            slot = slots.take()
            assert (slot is None) == (len(held) == 10)
            assert slot not in held
            held |= {slot} - {None}
        elif held:
            slot = chance.choice(sorted(held))
            held.discard(slot)
            slots.give(slot)


def test_a_slot_is_near_its_key_where_there_is_room() -> None:
    """Of a table two thirds full nearly all stand in one of the two groups of "Hash", and in a
    full one nobody is left without: one by one and many at a time.
    """
    size, count = 3000, 2000
    keys = np.arange(7, 7 + count, dtype=np.uint64)
    one_by_one, together = Slots(size), Slots(size)
    for taken in ([one_by_one.take(int(key)) for key in keys], together.take_many(keys).tolist()):
        assert len(set(taken)) == count
        assert sum(map(_is_near, taken, keys.tolist(), [size] * count)) > 0.97 * count
    rest = together.take_many(np.arange(size, dtype=np.uint64))
    assert len(set(rest.tolist())) == size - count
    assert together.is_full


def _is_near(slot: int, key: int, size: int) -> bool:
    mixed, groups = mix64(key), size // SLOTS_PER_GROUP
    near = {(mixed & 0xFFFFFFFF) * groups >> 32, (mixed >> 32) * groups >> 32}
    return slot // SLOTS_PER_GROUP in near


def test_a_slot_given_twice_is_free_once() -> None:
    """Giving back what is not taken changes nothing, nor does a number that is no slot."""
    slots = Slots(3)
    slot = slots.take()
    assert slot is not None
    for number in (slot, slot, 99, 0xFFFFFFFF):
        slots.give(number)

    taken = [slots.take() for _ in range(4)]
    assert sorted(taken[:3]) == [0, 1, 2]
    assert taken[3] is None


def test_what_a_former_process_used_is_taken() -> None:
    """Slots found in the tables are not given to others; numbers outside are no slots."""
    slots = Slots(4, used=[0, 2, 77, 0xFFFFFFFF])

    assert {slots.take(), slots.take()} == {1, 3}
    assert slots.take() is None
