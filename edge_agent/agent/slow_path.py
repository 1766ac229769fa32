"""The slow path: what the kernel passed up, and what the allocator said to it.

No input or output: frames and commands leave through the two functions it is given.
"""

from collections.abc import Mapping

from edge_agent.agent.answering import Answering, Now, SendCommand, SendFrame
from edge_agent.agent.guard import Guard
from edge_agent.agent.request_ids import NewReq
from edge_agent.agent.requests import Requests
from edge_agent.agent.responses import Responses
from edge_agent.agent.stock import Stock
from edge_agent.datapath.port import Datapath
from edge_agent.sync.projection import Projection

__all__ = ["Now", "SendCommand", "SendFrame", "SlowPath"]


class SlowPath:
    def __init__(
        self,
        site: str,
        datapath: Datapath,
        projection: Projection,
        *,
        send_frame: SendFrame,
        send_command: SendCommand,
        stock: Stock,
        new_req: NewReq,
        per_line: Mapping[int, int],
    ) -> None:
        """`per_line` limits how many subscribers a line may have, by ifindex."""
        answering = Answering(site, datapath, projection, send_frame=send_frame)
        guard = Guard(
            per_line,
            projection.census.occupancy.of,
            lambda mac, line: projection.find(mac, line) is not None,
        )
        requests = Requests(answering, send_command, guard, stock, new_req)
        responses = Responses(answering)
        self.waiting = answering.waiting
        self.tally = answering.tally
        self.receive = requests.receive
        self.asked = requests.asked
        self.granted = responses.granted
        self.settle = responses.settle
        self.answered = responses.answered
