"""What the kernel program noticed: told in audit lines, and counted for operators."""

from collections import Counter as Tally

import structlog

from edge_agent.agent.answering import Now
from edge_agent.datapath.notices import Notice, NoticeKind
from edge_agent.datapath.port import Datapath
from edge_agent.sync.lines import Lines
from lease_core.domain.values import ip_text, mac_text
from lease_core.rationing import Quota

NOTICES_A_MINUTE = 600
"""Lines about notices of one kind; all are counted."""
TAKEN_AT_ONCE = 1024
"""Some ten milliseconds; a full ring has little more."""

NAMES = {
    NoticeKind.FIRST_ACK: "binding.first-ack",
    NoticeKind.SHORT_GRANT: "horizon.short",
    NoticeKind.SUSPECT: "sender.suspicious",
}


class KernelNotices:
    """The one consumer of the ring."""

    def __init__(
        self, datapath: Datapath, lines: Lines, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._datapath = datapath
        self._lines = lines
        self._audit = log
        self._tally: Tally[NoticeKind] = Tally()
        self._quota = Quota(NOTICES_A_MINUTE)

    def tell(self, now: Now) -> None:
        """Take what came since the last time; the rest, if there is more, next time."""
        for notice in self._datapath.take_notices(TAKEN_AT_ONCE):
            self._tally[notice.kind] += 1
            if self._quota.allows(NAMES[notice.kind], now.elapsed_ns):
                self._write(notice, now)

    def report(self) -> dict[str, str]:
        """How many of each kind this process took."""
        return {f"noticed_{kind.name.lower()}": str(self._tally[kind]) for kind in NoticeKind}

    def _write(self, notice: Notice, now: Now) -> None:
        is_usual = notice.kind is NoticeKind.FIRST_ACK
        write = self._audit.info if is_usual else self._audit.warning
        fields = {
            "stage": "kernel",
            "verdict": notice.verdict,
            "mac": mac_text(notice.mac),
            "line": self._lines.text(notice.line),
            "ago_ms": max(0, now.boot_ns - notice.at_boot_ns) // 1_000_000,
        }
        if notice.kind is NoticeKind.SUSPECT:
            fields["sender"] = mac_text(notice.sender)
        else:
            fields |= {"ip": ip_text(notice.ip), "seq": notice.seq}
        write(NAMES[notice.kind], **fields)
