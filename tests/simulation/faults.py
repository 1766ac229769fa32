"""What goes wrong, when and for how long: a list drawn from the seed before anything runs."""

import random
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.seams import DEPOSED_WRITER_S

MAX_LAG_S = 6.0
"""From when a master is cut off from its replicas until one of them is promoted."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long faults strike, how many at most, and whether everybody leaves in the end."""

    name: str
    fault_s: float
    densities: tuple[int, ...]
    has_drain: bool


SHORT = Length("short", 50.0, (0, 2, 5, 9), has_drain=False)
LONG = Length("long", 240.0, (0, 3, 8, 15, 25), has_drain=True)


@dataclass(frozen=True, slots=True)
class Fault:
    """At `at_s` of real time, `kind` strikes `target`; see `World.strike`."""

    at_s: float
    kind: str
    target: str
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{name}={_short(value)}" for name, value in self.more.items())
        return f"{self.at_s:8.2f} s  {self.kind:<16} {self.target:<8} {words}".rstrip()


def _short(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


SITE_KINDS = (
    "frames", "edge-link", "edge-lossy", "kill-agent", "fuse", "stop-agent", "reboot", "slew",
    "pool", "revoke", "old-copy", "flush", "trim", "hole", "wall-edge", "replay",
    "replace", "mute", "suspend", "cut", "drop-port",
    "boot-step", "pause-router", "lag", "promote",
)  # fmt: skip
OTHER_KINDS = (
    "kill-allocator", "stop-allocator", "allocator-link", "allocator-lossy", "redis-crash",
    "redis-down", "wall-allocator", "wall-redis", "pause-allocator", "disk-full",
)  # fmt: skip


def draw(
    rng: random.Random,
    sites: list[str],
    allocators: list[str],
    length: Length,
    only: tuple[str, ...] = (),
) -> list[Fault]:
    """A swarm: each schedule has a few kinds of fault, and a density of its own."""
    kinds = only or [kind for kind in (*SITE_KINDS, *OTHER_KINDS) if rng.random() < 0.4]
    if not kinds:
        return []
    count = length.densities[-1] if only else rng.choice(length.densities)
    faults = []
    for _ in range(count):
        kind = rng.choice(kinds)
        target = rng.choice(sites if kind in SITE_KINDS else allocators)
        faults.append(Fault(rng.uniform(3.0, length.fault_s), kind, target, _more(rng, kind)))
    return sorted(faults, key=lambda fault: fault.at_s)


LASTING = {
    "kill-agent", "kill-allocator", "stop-agent", "stop-allocator", "redis-down", "replay", "mute",
    "suspend", "pause-allocator", "disk-full", "drop-port", "lag",
}  # fmt: skip
"""Kinds that have nothing more to say than how long."""


def _more(rng: random.Random, kind: str) -> dict[str, Any]:
    lasting = {"for_s": rng.choice((1.0, 5.0, 20.0, 60.0, 110.0)) * rng.uniform(0.7, 1.3)}
    match kind:
        case "frames":
            return lasting | {"drop": rng.uniform(0, 0.6), "twice": rng.uniform(0, 0.4),
                              "late_s": rng.uniform(0, 3.0)}  # fmt: skip
        case "edge-link" | "allocator-link":
            return lasting | {"mode": rng.choice(("refused", "silent", "slow"))}
        case "edge-lossy" | "allocator-lossy":
            return lasting | {"share": rng.uniform(0.05, 0.7)}
        case "reboot":
            dark_s = rng.choice((2.0, 40.0)) * rng.uniform(0.2, 1.0)
            mute_s = rng.choice((0.0, 4.0, 8.0))
            return {"for_s": dark_s, "renumber": rng.random() < 0.3, "mute_s": mute_s}
        case "promote":
            lag_s = rng.choice((0.0, MAX_LAG_S)) * rng.random()
            for_s = rng.uniform(1, DEPOSED_WRITER_S)
            return {"lag_s": lag_s, "for_s": for_s, "goes_on": rng.random() < 0.6}
        case "old-copy" | "flush" | "trim" | "hole" | "replace":
            return {"for_s": rng.uniform(2, 40)}
        case "slew":
            return {"for_s": rng.uniform(5, 200), "slew": rng.choice((0.917, 1.083))}
        case "redis-crash":
            return {"when": rng.choice(("before-fsync", "behind-fsync"))}
        case "wall-edge" | "wall-allocator" | "wall-redis":
            back_s = -4.0 if kind == "wall-redis" else -3600.0  # Redis: see `SiteLog.claim`, a TTL
            return {"by_s": rng.choice((back_s, -2.0, 3.0, 3600.0, 3e7))}
        case _:
            return lasting if kind in LASTING else _single(rng, kind)


def _single(rng: random.Random, kind: str) -> dict[str, Any]:
    """Of what happens at one moment."""
    match kind:
        case "cut":
            return {"lost": rng.random() < 0.5}
        case "revoke":
            return {"count": rng.choice((1, 1, 4))}
        case "fuse":
            return {"writes": rng.randint(1, 12)}
        case _:
            return {}
