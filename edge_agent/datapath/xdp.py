"""The datapath in the kernel: pinned maps that the XDP program answers from.

What is attached and pinned goes on answering when the agent dies, until the site's horizon or
the dead-man time has passed; the next agent opens the same directory and goes on.
"""

import os
import socket
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge_agent.datapath import abi, libbpf, pins
from edge_agent.datapath import attach as interfaces
from edge_agent.datapath.attach import Attached, Mode
from edge_agent.datapath.dry_run import XDP_TX, DryRun
from edge_agent.datapath.errors import AbiMismatchError, AttachError, FastPathError
from edge_agent.datapath.kernel_tables import KernelTables
from edge_agent.datapath.trial import Trial
from edge_agent.datapath.vlan_offload import keep_tags

_KINDS: Final = {Mode.NATIVE: "XDP native", Mode.GENERIC: "XDP generic"}


class XdpDatapath(KernelTables):
    """The tables of one site and the program that answers from them."""

    def __init__(
        self, directory: Path, maps: dict[str, int], program: int, *, read_only: bool
    ) -> None:
        """Take over file descriptors; `open` and `open_pinned` are the ways to get one."""
        super().__init__(maps, read_only=read_only)
        self.directory = directory
        self._maps = maps
        self._map_ids = frozenset(libbpf.map_info(fd).id for fd in maps.values())
        self._program = program
        self._run = DryRun(program)
        self._program_id = libbpf.program_info(program).id
        self.kind = self._kind()
        self.left: list[str] = []
        """Interfaces that were left when it was opened."""

    @classmethod
    def open(
        cls,
        directory: Path,
        max_subscribers: int = abi.MAX_SUBSCRIBERS,
        *,
        has_circuits: bool = False,
        only_on: Collection[str] | None = None,
    ) -> Self:
        """Open the site's tables for writing, or make them: gate closed, cursor 0.

        `has_circuits` asks for room for a circuit id with every subscriber, which ports in mode
        `CIRCUIT` need and which is fixed when the tables are made.

        A program that is attached already goes on answering, see `attach`; with `only_on` not on
        other interfaces than these, see `leave_others`.

        Raises:
            AbiMismatchError: what is pinned or attached does not fit this agent.
            LoadError: the object is missing or the verifier refused it.
            MissingToolError: bcc or libbpf is not installed.
            FastPathError: the kernel refused otherwise.
        """
        pins.prepare(directory)
        program = pins.load_program(
            directory, max_subscribers, max_subscribers if has_circuits else 1
        )
        datapath = cls(directory, pins.open_maps(directory), program, read_only=False)
        try:
            datapath.initialise()
            if only_on is not None:
                datapath.left = datapath.leave_others(only_on)
            datapath.check_attached()
        except FastPathError:
            datapath.close()
            raise
        return datapath

    @classmethod
    def open_pinned(cls, directory: Path) -> Self:
        """Open the site's tables for reading, beside the agent that writes them.

        Raises:
            AbiMismatchError: nothing is pinned there, or of another layout.
            MissingToolError: bcc or libbpf is not installed.
            FastPathError: the kernel refused otherwise.
        """
        maps = pins.open_maps(directory, read_only=True)
        pins.check_magic(directory, maps["site_state"])
        program = libbpf.open_pin(directory / pins.PROGRAM_PIN)
        return cls(directory, maps, program, read_only=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- interfaces ---

    def attach(self, device: str) -> Mode:
        """Let the program judge what comes in on an interface; it answers after `put_port`.

        Takes over from an older program on the same tables. Attached twice is no error.
        Turns receive VLAN offload of the interface off.

        Raises:
            AttachError: another program is there, or no mode works.
        """
        ifindex = _ifindex(device)
        found = interfaces.attached(ifindex)
        if found is None:
            keep_tags(device)
            mode = interfaces.attach(device, self._program)
        elif self._is_ours(found):
            mode = found.mode
            if found.program.id != self._program_id:
                interfaces.replace(device, self._program, mode)
        else:
            raise AttachError(
                device, found.mode, f"taken; free it with: ip link set dev {device} xdp off",
                str(found),
            )  # fmt: skip
        self.kind = self._kind(mode)
        return mode

    def detach(self, device: str) -> None:
        """Take the program off an interface and stop answering there; absent is no error.

        Raises:
            AttachError: another program is there, or the kernel refused.
        """
        ifindex = _ifindex(device)
        self.disable_port(ifindex)
        found = interfaces.attached(ifindex)
        if found is None:
            return
        if not self._is_ours(found):
            raise AttachError(device, found.mode, "is not ours to detach", str(found))
        interfaces.detach(device, found.mode)

    def leave_others(self, devices: Collection[str]) -> list[str]:
        """Serve no interface but these: close all other ports, and take the program off.

        Returns the names of what was left. A port whose interface has gone is closed as well, since
        its number may come to be another's.

        Raises:
            AttachError: the kernel refused.
        """
        names = dict(socket.if_nameindex())
        ports = {ifindex: names.get(ifindex, f"if{ifindex}") for ifindex, _ in self.ports()}
        closed = {ifindex: name for ifindex, name in ports.items() if name not in devices}
        for ifindex in closed:
            self.disable_port(ifindex)
        attached = [device for device in self.attachments() if device not in devices]
        for device in attached:
            self.detach(device)
        return sorted({*closed.values(), *attached})

    def attachments(self) -> dict[str, Attached]:
        """Interfaces of this host with a program on them that answers from these tables."""
        return {
            device: found
            for ifindex, device in socket.if_nameindex()
            if (found := interfaces.attached(ifindex)) and self._is_ours(found)
        }

    def check_attached(self) -> None:
        """Make sure that no port of ours is answered from other tables.

        Raises:
            AbiMismatchError: names the interface and the program on it.
        """
        for ifindex, device in socket.if_nameindex():
            if self.port_mac(ifindex) is None:
                continue
            found = interfaces.attached(ifindex)
            if found and found.program.name == interfaces.PROGRAM and not self._is_ours(found):
                raise AbiMismatchError(
                    f"{device}: {found} answers from other tables than {self.directory}; "
                    f"take it off with: ip link set dev {device} xdp off"
                )

    def _is_ours(self, found: Attached) -> bool:
        """Is it the pinned one, or does it use all of our maps, by the kernel's numbers?"""
        return found.program.id == self._program_id or self._map_ids <= found.program.map_ids

    def _kind(self, mode: Mode | None = None) -> str:
        modes = {found.mode for found in self.attachments().values()} | ({mode} if mode else set())
        return _KINDS[Mode.GENERIC if Mode.GENERIC in modes else Mode.NATIVE]

    def test_run(self, frame: bytes, ifindex: int) -> tuple[int, bytes]:
        """XDP action and frame as the program leaves it; counts and promises like a real one.

        Raises:
            FastPathError: there is no such interface, or the frame is shorter than 14 octets.
        """
        action, answer, _ = self._run(frame, ifindex)
        return action, answer

    def judge_again(self, frame: bytes, ifindex: int) -> bytes | None:
        try:
            action, answer = self.test_run(frame, ifindex)
        except FastPathError:  # the interface has gone: whoever sends there will say so
            return None
        return answer if action == XDP_TX else None

    def trial(self) -> Trial:
        """The program of this agent once more on these tables, to be closed by the caller.

        Raises:
            LoadError: the object is missing or was refused.
        """
        return Trial(self.directory, self.max_subscribers, self.max_circuits, self._stock.octets)

    def is_program_of(self, trial: Trial) -> bool:
        """Whether what is pinned has the same instructions."""
        return libbpf.program_info(self._program).tag == trial.tag

    def close(self) -> None:
        self.unmap()
        pins.close_all(self._maps)
        os.close(self._program)


def _ifindex(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise AttachError(device, "native and generic", "there is no such interface") from error
