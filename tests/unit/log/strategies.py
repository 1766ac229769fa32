"""Random values of every class that goes over the wire, made from their type hints."""

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from hypothesis import strategies as st

from lease_core.domain.commands import Answer, Command
from lease_core.domain.events import Event
from lease_core.domain.stock import MAX_RUNS
from lease_core.domain.values import Ipv4, Mac

TEXT = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=1), max_size=100)
_OF_TYPE: dict[object, st.SearchStrategy[Any]] = {
    Mac: st.integers(0, (1 << 48) - 1),
    Ipv4: st.integers(0, (1 << 32) - 1),
    tuple[Ipv4, ...]: st.sets(st.integers(0, 2000), min_size=1, max_size=MAX_RUNS).map(
        lambda ips: tuple(sorted(ips))
    ),
    int: st.integers(0, 10**18 - 1),
    str: TEXT,
}


def classes_of(union: Any) -> tuple[type[Any], ...]:
    return get_args(union)


EVENT_CLASSES = classes_of(Event)
COMMAND_CLASSES = classes_of(Command)
ANSWER_CLASSES = classes_of(Answer)


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    return st.builds(cls, **{field.name: _OF_TYPE[hints[field.name]] for field in fields(cls)})


def any_of(classes: tuple[type[Any], ...]) -> st.SearchStrategy[Any]:
    return st.one_of(*map(instances, classes))
