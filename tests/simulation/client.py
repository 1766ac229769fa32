"""A DHCP client by RFC 2131, figure 5, with a clock of its own, and a person who pulls its plug."""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.dhcp import codes, frame, options
from edge_agent.dhcp.codes import MessageType
from lease_core.domain.values import NO_IP, Ipv4, Mac
from tests.simulation.loop import SimLoop

AT_BOOTP = frame.HEADERS_LEN
_REPLY = struct.Struct("!4xI8xI")
_HEADER = struct.Struct("!BBBBIHHIIII6s202xI")
_NEED_SERVER = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client reads of a frame; times are 0 in a NAK."""

    kind: int
    xid: int
    mac: Mac
    ip: Ipv4
    server: Ipv4
    lease_s: int = 0
    t1_s: int = 0
    t2_s: int = 0


def read_reply(octets: bytes) -> Reply:
    """Read a reply of the product; its fixed options stand in a fixed order."""
    xid, ip = _REPLY.unpack_from(octets, AT_BOOTP)
    mac = Mac(int.from_bytes(octets[AT_BOOTP + 28 : AT_BOOTP + 34], "big"))
    area = octets[AT_BOOTP + 240 :]
    kind, server = area[2], Ipv4(int.from_bytes(area[5:9], "big"))
    if kind == MessageType.NAK:
        return Reply(kind, xid, mac, NO_IP, server)
    assert area[9] == codes.LEASE_TIME, "the order of options changed"
    times = (int.from_bytes(area[at : at + 4], "big") for at in (11, 17, 23))
    return Reply(kind, xid, mac, ip, server, *times)


def message(
    kind: MessageType, mac: Mac, xid: int, *, ciaddr: int, wanted: int, server: int, to: int
) -> bytes:
    """A client's frame, 300 octets of BOOTP; `to` 0 = broadcast."""
    fields = options.option(codes.MESSAGE_TYPE, bytes([kind]))
    for code, ip in ((codes.REQUESTED_IP, wanted), (codes.SERVER_ID, server)):
        if ip:
            fields += options.option(code, ip.to_bytes(4, "big"))
    header = _HEADER.pack(1, 1, 6, 0, xid, 0, 0, ciaddr, 0, 0, 0, mac.to_bytes(6, "big"),
                          codes.MAGIC_COOKIE)  # fmt: skip
    return frame.build(
        dst_mac=frame.BROADCAST_MAC,
        src_mac=mac,
        src_ip=Ipv4(ciaddr),
        dst_ip=Ipv4(to) if to else frame.BROADCAST_IP,
        dst_port=codes.SERVER_PORT,
        payload=(header + fields + options.END).ljust(300, b"\0"),
    )


class Client:
    """`until_s` is the real time at which its own clock says that the lease is over."""

    def __init__(
        self,
        loop: SimLoop,
        rng: random.Random,
        mac: Mac,
        place: tuple[str, str],
        places: list[tuple[str, str]],
        send: Callable[["Client", bytes], None],
        on_bound: Callable[["Client"], None],
    ) -> None:
        self.loop, self.rng, self.mac = loop, rng, mac
        self.place, self.places = place, places
        self.rate = rng.uniform(0.976, 1.024)
        self.state = "off"
        self.ip = self.server = NO_IP
        self.until_s = 0.0
        self.acks = 0
        self.is_calm = self.is_gone = False
        self._send_frame, self._on_bound = send, on_bound
        self._xid = self._tries = 0
        self._sent_s = self._t1_s = self._t2_s = 0.0
        self._timer: Any = None

    @property
    def key(self) -> tuple[str, str, Mac]:
        return (*self.place, self.mac)

    def holds(self, now_s: float) -> bool:
        return self.state in {"bound", "renewing", "rebinding"} and self.until_s > now_s

    # --- what the person does ---

    def power_on(self) -> None:
        """INIT, or INIT-REBOOT where it remembers an address of this place."""
        if self.state != "off" or self.is_gone:
            return
        if self.ip and self.rng.random() < 0.6:
            self._enter("rebooting")
        else:
            self._enter("init")

    def power_off(self) -> None:
        """Leave without a word."""
        self.state = "off"
        self._cancel()

    def release(self) -> None:
        if self.state == "bound":
            self._send(MessageType.RELEASE, ciaddr=self.ip, server=self.server, to=self.server)
            self.power_off()

    def move(self) -> None:
        self.power_off()
        self.place, self.ip = self.rng.choice(self.places), NO_IP

    # --- the protocol ---

    def _enter(self, state: str) -> None:
        self.state, self._tries = state, 0
        if state in {"init", "rebooting", "renewing", "rebinding"}:
            self._xid = self.rng.getrandbits(32)
        self._go()

    def _go(self) -> None:
        """Send what the state sends, and again if nothing comes."""
        now_s, ip = self.loop.now_s, self.ip
        self._tries += 1
        match self.state:
            case "init":
                wanted = ip if self._tries % 2 else 0
                self._send(MessageType.DISCOVER, wanted=wanted)
            case "requesting" | "rebooting":
                if self._tries > 4:
                    self.ip = self.ip if self.state == "rebooting" else NO_IP
                    self._enter("init")
                    return
                server = self.server if self.state == "requesting" else 0
                self._send(MessageType.REQUEST, wanted=ip, server=server)
            case "renewing" | "rebinding" if now_s >= self.until_s:
                self._lose()
                return
            case "renewing" if now_s >= self._t2_s:
                self._enter("rebinding")
                return
            case "renewing":
                self._send(MessageType.REQUEST, ciaddr=ip, to=self.server)
            case "rebinding":
                self._send(MessageType.REQUEST, ciaddr=ip)
        self._again(min(1.0 * 2 ** (self._tries - 1), 8.0) * self.rng.uniform(0.8, 1.2))

    def _again(self, wait_s: float) -> None:
        self._cancel()
        if self.state in {"renewing", "rebinding"}:
            wait_s = min(wait_s, max(0.01, self.until_s - self.loop.now_s))
        self._timer = self.loop.later(wait_s, self._go)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _lose(self) -> None:
        """The lease is over by its own clock."""
        self.ip = NO_IP
        self._enter("init")

    def _send(
        self, kind: MessageType, *, ciaddr: int = 0, wanted: int = 0, server: int = 0, to: int = 0
    ) -> None:
        self._sent_s = self.loop.now_s
        self._send_frame(
            self,
            message(kind, self.mac, self._xid, ciaddr=ciaddr, wanted=wanted, server=server, to=to),
        )

    def receive(self, reply: Reply) -> None:
        if reply.xid != self._xid or reply.mac != self.mac:
            return
        match reply.kind, self.state:
            case MessageType.OFFER, "init":
                self.ip, self.server = reply.ip, reply.server
                self._enter("requesting")
            case MessageType.ACK, "requesting" | "rebooting" | "renewing" | "rebinding":
                self._bind(reply)
            case MessageType.NAK, "requesting" | "rebooting" | "renewing" | "rebinding":
                self._lose()

    def _bind(self, reply: Reply) -> None:
        if reply.ip != self.ip:
            return
        self.server = reply.server
        self.acks += 1
        self.until_s = self._sent_s + reply.lease_s / self.rate
        self._t1_s = self._sent_s + reply.t1_s / self.rate
        self._t2_s = self._sent_s + reply.t2_s / self.rate
        was_new = self.state in {"requesting", "rebooting"}
        self.state = "bound"
        self._cancel()
        if self.until_s <= self.loop.now_s:
            self._lose()
            return
        self._on_bound(self)
        if was_new and not self.is_calm and self.rng.random() < 0.04:
            self._send(MessageType.DECLINE, wanted=self.ip, server=self.server)
            self.state = "declined"
            self._timer = self.loop.later(self.rng.uniform(1, 4), self._lose)
            return
        self._timer = self.loop.later(max(0.0, self._t1_s - self.loop.now_s), self._renew)

    def _renew(self) -> None:
        self._enter("renewing")
