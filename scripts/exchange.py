"""What happened on the wire while a client ran: each request, its answer, who gave it, how fast."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from scripts.lab import Home, Lab

REQUESTS = {"DISCOVER", "REQUEST", "INFORM"}
SETTLE_S = 0.1
"""The tap and the agent write their lines after the frame has left."""


@dataclass(frozen=True)
class Answer:
    """One answer; `by` is `kernel`, `agent` (from its tables) or `upstream` (the allocator)."""

    request: str
    reply: str
    ip: str
    lease_s: int
    by: str
    microseconds: int

    def __str__(self) -> str:
        took = f"{self.microseconds / 1000:.1f} ms"
        if self.microseconds < 1000:
            took = f"{self.microseconds} us"
        return f"{self.request} -> {self.reply} {self.ip} by {self.by}, {took}"


def watch(lab: Lab, home: Home, client: Callable[[], object]) -> list[Answer]:
    """Run a client and tell what it was answered; an unanswered request is not in the list."""
    time.sleep(SETTLE_S)
    seen = len(list(lab.tapped(home.site)))
    said = len(_said(lab, home))
    client()
    time.sleep(SETTLE_S)
    messages = [m for m in list(lab.tapped(home.site))[seen:] if m["mac"] == home.mac]
    lines = _said(lab, home)[said:]
    answers = []
    asked: dict[object, dict[str, object]] = {}
    for message in messages:
        if message["type"] in REQUESTS:
            asked[message["xid"]] = message
        elif message["xid"] in asked:
            request = asked.pop(message["xid"])
            answers.append(_answer(request, message, _by(lines, message)))
    return answers


def _said(lab: Lab, home: Home) -> list[dict[str, object]]:
    lines = lab.log_of(f"edge-{home.site.name}")
    return [x for x in lines if x["event"] == "client.answered" and x["mac"] == home.mac]


def _by(lines: list[dict[str, object]], reply: dict[str, object]) -> str:
    """The agent tells of every answer it gave; what it does not know of, the kernel gave."""
    for line in lines:
        if (line["message"], line["xid"]) == (str(reply["type"]).lower(), reply["xid"]):
            lines.remove(line)
            return "upstream" if line.get("waited_us") else "agent"
    return "kernel"


def _answer(request: dict[str, object], reply: dict[str, object], by: str) -> Answer:
    took_ns = int(str(reply["at_ns"])) - int(str(request["at_ns"]))
    return Answer(
        str(request["type"]),
        str(reply["type"]),
        str(reply["yiaddr"]),
        int(str(reply["lease_s"])),
        by,
        took_ns // 1000,
    )
