"""What can go wrong with the kernel's fast path, by who has to act."""


class FastPathError(Exception):
    """The kernel refused an operation on the fast path; the base of the others."""


class MissingToolError(FastPathError):
    """Something that the host has to provide is not there; the message says how to get it."""


class LoadError(FastPathError):
    """The object or the verifier's answer to it is at fault; `log` is libbpf's own text."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(f"{message}\n{log}" if log else message)
        self.log = log


class AbiMismatchError(FastPathError):
    """What is pinned or attached does not fit this agent; using it could break a promise."""


class AttachError(FastPathError):
    """An interface did not take the program.

    `device` and `mode` say where, `occupant` names the program that is there already, if any.
    """

    def __init__(self, device: str, mode: str, reason: str, occupant: str = "") -> None:
        taken = f"; occupied by {occupant}" if occupant else ""
        super().__init__(f"{device}: XDP {mode}: {reason}{taken}")
        self.device = device
        self.mode = mode
        self.occupant = occupant
