"""Slots of promises: two live bindings never share one."""

import random

from edge_agent.sync.slots import Slots


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
