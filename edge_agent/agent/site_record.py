"""The site's record: what the tables are a projection of, and whether they may be answered from.

It is pinned with the tables, so the next process goes on where this one ended, wherever that was:
every change is written at once.
"""

import secrets
from dataclasses import replace
from typing import Any

from edge_agent.agent.answering import Now
from edge_agent.datapath.port import Datapath
from lease_core.log.reader import Position

CURRENT_NS = 5_000_000_000
"""How long after a touch the tables still count as what the log says."""


class SiteRecord:
    """The one writer of the record in a datapath."""

    def __init__(self, datapath: Datapath, lines: int) -> None:
        """Take the record as it is found; `lines` tells apart the interfaces that are served."""
        self._datapath = datapath
        self._lines = lines
        self._is_live = False
        self.state = datapath.state()

    def take_over(self) -> None:
        """Go on with the tables; close the gate while they may say what is not so."""
        state = self.state
        is_whole = state.cursor_lo == state.cursor_hi and not self.needs_rebuild
        self._write(
            incarnation=state.incarnation or secrets.randbits(63) | 1,
            gate=state.gate and is_whole,
            abi_ok=True,
        )

    def _write(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self._datapath.set_state(self.state)

    # --- what the tables are a projection of ---

    def position(self) -> Position | None:
        """None = of nothing yet."""
        state = self.state
        if not any(state.genesis):
            return None
        return Position(
            state.genesis.hex(),
            state.cursor_lo,
            state.cursor_hash.hex(),
            state.cursor_commit_ms,
            state.epoch,
        )

    @property
    def needs_rebuild(self) -> bool:
        """The tables were made for other interfaces: an entry may name another's line (I8).

        Or somebody died while he made them anew.
        """
        return any(self.state.genesis) and self.state.lines != self._lines

    def begin_anew(self) -> None:
        """Until `adopt` the tables are a projection of nothing: whoever finds them rebuilds."""
        self._write(lines=0)

    def adopt(self, position: Position) -> None:
        """The tables, new or rebuilt, hold exactly what the log says up to `position`."""
        self.state = replace(self.state, lines=self._lines)
        self.move_to(position)

    def begin_to(self, seq: int) -> None:
        """From now on the tables may hold any of the events up to `seq` (I4)."""
        self._write(cursor_hi=seq)

    def move_to(self, position: Position) -> None:
        """They hold all of them."""
        self._write(
            genesis=bytes.fromhex(position.genesis),
            cursor_lo=position.seq,
            cursor_hi=position.seq,
            cursor_hash=bytes.fromhex(position.h),
            cursor_commit_ms=position.commit_ms,
            epoch=position.epoch,
        )

    # --- whether they may be answered from ---

    @property
    def may_answer(self) -> bool:
        return self.state.gate and self.state.horizon_boot_ns > self.state.touched_boot_ns

    def follows(self, *, is_live: bool) -> None:
        """The gate opens for good once the tables have been up to date."""
        self._is_live = is_live
        self._write_current(gate=self.state.gate or (is_live and not self.needs_rebuild))

    def recovers(self, *, is_so: bool) -> None:
        """Whether the log lost events and may not know yet all that was promised."""
        self._write_current(recovering=is_so)

    def touch(self, now: Now, horizon_boot_ns: int) -> None:
        """Tell the kernel program that we are alive, and E on its clock."""
        self._write_current(
            touched_boot_ns=now.boot_ns,
            touched_elapsed_ns=now.elapsed_ns,
            horizon_boot_ns=horizon_boot_ns,
        )

    def hold(self, until_elapsed_ns: int) -> None:
        """Say nothing of promises until then, for they may look shorter than they are (I7)."""
        self._write(held_until_elapsed_ns=max(self.state.held_until_elapsed_ns, until_elapsed_ns))

    def _write_current(self, **changes: Any) -> None:
        """The tables are what the log says for a while, or from now on not."""
        self.state = replace(self.state, **changes)
        is_current = self._is_live and not self.state.recovering
        until_ns = self.state.touched_boot_ns + CURRENT_NS if is_current else 0
        self._write(current_until_boot_ns=until_ns)
