"""What can go wrong with a log, and whose fault it is."""


class LogError(Exception):
    """Base of all of them; never raised itself."""


class FencedError(LogError):
    """A newer epoch began, or this one did on another server (I5): this writer must stop deciding.

    Nothing was written.
    """

    def __init__(self, current_epoch: int) -> None:
        super().__init__(f"the log is written under epoch {current_epoch} here; claim anew")
        self.current_epoch = current_epoch


class ConflictError(LogError):
    """The log ends elsewhere than the writer believed: re-read it, decide anew.

    Nothing was written.
    """

    def __init__(self, seq: int, h: str) -> None:
        super().__init__(f"the log ends at seq {seq} with hash {h}; read up to it first")
        self.seq = seq
        self.h = h


class ClockError(LogError):
    """The batch's commit time is off the log's clock: build it again with `commit_ms`.

    Nothing was written. The time is part of each entry's hash, so only the writer can mend it.
    """

    def __init__(self, commit_ms: int) -> None:
        super().__init__(f"commit time is off the log's clock; use {commit_ms} ms")
        self.commit_ms = commit_ms


class ForeignLogError(LogError):
    """The keys hold no log, another log, or were changed past the writer; an operator decides.

    Never start over on such a log: it may be an old copy or a flushed server.
    """


class LostLogError(ForeignLogError):
    """The log does not hold any more what was read from it: it went back, or has another past."""


class LogUnavailableError(LogError):
    """The log gives no service now, and the call had no effect or may be repeated safely."""


class UnsafeSettingsError(LogError):
    """The server may lose what it acknowledges; `faults` say by which setting, and the remedy.

    The operator's to mend. Nothing was written.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class OutcomeUnknownError(LogError):
    """An append was sent and its reply was lost: it may have happened, or may still happen.

    Re-read the head: `head.batch == batch.batch_id` says that it happened. Otherwise append the
    very same batch again (same id, same expected seq): it is written at most once.
    """


class NotReplicatedError(OutcomeUnknownError):
    """The server wrote the append, but fewer replicas hold it than must: it may still get lost."""


class SnapshotError(LogError):
    """A snapshot that cannot be used: half gone, damaged, or not of this log. Try another."""


class TrimRefusedError(LogError):
    """The log may not be cut there; `reasons` are all that stand against it."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class UnreadableEntryError(LogError):
    """An entry of the log that this program cannot read: halt, alarm, never skip.

    The writer is newer than this reader, or the entry was damaged.
    """

    def __init__(self, entry_id: str, kind: str, version: str, reason: str) -> None:
        super().__init__(f"entry {entry_id} (type {kind}, version {version}): {reason}")
        self.entry_id = entry_id
        self.kind = kind
        self.version = version
        self.reason = reason
