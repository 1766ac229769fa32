"""The allocator's clock beside ours: the only one who can tell that all of ours stood still.

A virtual machine that is paused, or comes back from a snapshot, goes on as if no time had passed.
"""

from edge_agent.sync import horizon

TOLERANCE_NS = 2_000_000_000


class FarClock:
    """How far our elapsed clock is ahead of the allocator's; times in nanoseconds.

    It was read there between two of our readings, so it is known within these.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._read_ns = self._ahead_ns = 0

    def stood_still_ns(self, epoch: int, far_ns: int, sent_ns: int, now_ns: int) -> int:
        """For how long ours stood still at least since a former reading; 0 = not that one knows.

        What is shorter than the way there and back and `TOLERANCE_NS` does not show. `epoch` is
        of one allocator; another has another clock, and comparing begins anew.
        """
        if epoch == self._epoch:
            drift_ns = int(abs(far_ns - self._read_ns) * 2 * horizon.RATE_ERROR)
            ahead_ns = self._ahead_ns - drift_ns
        else:
            ahead_ns = sent_ns - far_ns
        stood_ns = ahead_ns - (now_ns - far_ns)
        if stood_ns > TOLERANCE_NS:
            self._epoch = 0
            return stood_ns
        self._epoch, self._read_ns = epoch, far_ns
        self._ahead_ns = max(ahead_ns, sent_ns - far_ns)
        return 0
