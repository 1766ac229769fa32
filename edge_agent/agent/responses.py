"""Responses: what the log says to clients that wait.

Flow: event or answer of the allocator -> the client that waits for it -> reply.
"""

from edge_agent.agent.answering import Answering, Now
from edge_agent.agent.waiting import Waiting
from edge_agent.dhcp import fastpath, reply
from edge_agent.dhcp.classify import RequestState, classify
from edge_agent.dhcp.codes import MessageType
from edge_agent.dhcp.tables import PoolOptions
from lease_core.domain.commands import Answer, Held, Offered, Refused
from lease_core.domain.values import Ipv4, Mac, ip_text
from lease_core.log.runs import Granted

_NAK_ALWAYS = {"in-use", "other-address"}
_NAK_STARTING = {"not-ours"}
_STARTING = {RequestState.SELECTING, RequestState.INIT_REBOOT}


class Responses:
    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._waiting = answering.waiting
        self._projection = answering.projection

    def granted(self, granted: Granted, now: Now) -> None:
        """Answer the client whose request caused this event, which is applied."""
        waiting = self._waiting.take(granted.req)
        if waiting:
            self._answer(waiting, now, granted.cause, granted.entry_id)

    def settle(self, applied_seq: int, now: Now) -> None:
        """Answer those who waited for the projection to reach an event."""
        for waiting in self._waiting.applied(applied_seq):
            self._answer(waiting, now, "held")

    def answered(self, answer: Answer, applied_seq: int, now: Now) -> None:
        """Act on an answer of the allocator, if its asker still waits here."""
        waiting = self._waiting.find(answer.req)
        if waiting is None:
            return
        match answer:
            case Held(seq=seq) if seq > applied_seq:
                self._waiting.hold(waiting, seq)
            case Held():
                self._waiting.take(answer.req)
                self._answer(waiting, now, "held")
            case Offered():
                self._waiting.take(answer.req)
                self._offer(waiting, answer, now)
            case Refused():
                self._waiting.take(answer.req)
                self._refuse(waiting, answer.reason, now)

    def _answer(self, waiting: Waiting, now: Now, cause: str, event_id: str = "") -> None:
        verdict = self._answering.judge_again(waiting, now)
        if verdict.frame is None:
            self._answering.drop(str(verdict.counter))
            return
        self._answering.reply(
            verdict.frame,
            waiting,
            waiting.line,
            str(verdict.counter),
            now,
            cause=cause,
            event_id=event_id,
            waited_us=_waited_us(waiting, now),
        )

    def _offer(self, waiting: Waiting, answer: Offered, now: Now) -> None:
        """An OFFER promises nothing, but says what an ACK would promise now."""
        pool = self._projection.pools.named(answer.pool)
        port_mac = self._answering.port_mac(waiting.line.ifindex)
        if pool is None or port_mac is None:
            self._answering.drop("pool_unknown")
            return
        frame = self._render_offer(waiting, answer.ip, pool, port_mac, now)
        if frame:
            self._answering.reply(
                frame,
                waiting.request,
                waiting.line,
                "offer",
                now,
                cause="reserved",
                ip=ip_text(answer.ip),
                waited_us=_waited_us(waiting, now),
            )

    def _render_offer(
        self, waiting: Waiting, ip: Ipv4, pool: PoolOptions, port_mac: Mac, now: Now
    ) -> bytes | None:
        state = self._answering.datapath.state()
        grant_s = fastpath.grant_s(pool.lease_time_s, state.horizon_boot_ns, now.boot_ns)
        if not grant_s or not state.gate:
            self._answering.drop("pass_horizon")
            return None
        return reply.offer(
            waiting.request,
            yiaddr=ip,
            pool=pool,
            grant_s=grant_s,
            mac_key=self._projection.key_for(waiting.request.message.mac, waiting.line),
            port_mac=port_mac,
        )

    def _refuse(self, waiting: Waiting, reason: str, now: Now) -> None:
        """Say NAK only about an address that we know to be wrong; otherwise stay silent."""
        self._answering.tally[f"refused_{reason}"] += 1
        message = waiting.request.message
        if message.options.message_type != MessageType.REQUEST:
            return
        is_starting = classify(message, waiting.request.frame.dst_ip) in _STARTING
        if reason in _NAK_ALWAYS or (reason in _NAK_STARTING and is_starting):
            self._answering.nak(waiting.request, waiting.line, reason, now)


def _waited_us(waiting: Waiting, now: Now) -> int:
    return (now.elapsed_ns - waiting.since_ns) // 1000
