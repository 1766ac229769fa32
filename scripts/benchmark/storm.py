"""After a power cut: every known subscriber comes back at once, and new ones among them."""

from scripts.benchmark.measure import Series, Table, at_most, run_rounds
from scripts.benchmark.network import BenchLab, Blast, require
from scripts.benchmark.peers import add_edge

KNOWN = 50_000
NEW = KNOWN // 10
SECONDS = 10.0
WINDOW = 4096


def measure(rounds: int) -> list[Table]:
    """Once: making the subscribers known takes longer than the storm."""
    del rounds
    require("redis-server", "cc")
    with BenchLab("xdp") as lab:
        wire = add_edge(lab).wire
        found: list[Blast] = []

        def storm() -> float:
            found.append(lab.blast(wire, "storm", clients=KNOWN, window=WINDOW, seconds=SECONDS))
            return found[-1].per_s

        per_s = run_rounds({"storm": storm}, 1)["storm"]
    return [_table(found[-1], per_s)]


def _table(found: Blast, per_s: Series) -> Table:
    late = KNOWN - (found.done - found.new_done) + (found.resent - found.new_resent)
    title = f"{KNOWN:,} known and {NEW:,} new subscribers in {SECONDS:.0f} s"
    table = Table(title, "subscribers")
    note = f"{per_s.median:,.0f} exchanges/s, {found.mean_us:,.0f} us on average"
    goal = at_most(KNOWN / 1000, "of them")
    table.add("known ones not answered at once", Series((late,)), "", goal, note=note)
    unserved = Series((NEW - found.new_done,))
    note = f"{found.new_resent:,} requests of theirs were repeated"
    table.add("new ones not served", unserved, "", at_most(0, "of them"), note=note)
    return table
