"""The packets that the kernel program is measured on, and the entries that they meet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge_agent.datapath.dry_run import XDP_PASS, XDP_TX
from edge_agent.dhcp.tables import (
    Assignment,
    KeyMode,
    Line,
    SubscriberKey,
    key_of,
    subscriber_key,
)
from edge_agent.sync.slots import Slots
from lease_core.domain.values import Ipv4
from scripts.benchmark.harness import (
    FIRST_ADDRESS,
    IFINDEX,
    POOL,
    POOL_ON_REQUEST,
    SERVER,
    address_of,
    entries,
    mac_of,
)
from tests.packets import (
    CIRCUIT,
    DISCOVER,
    RELAY,
    REQUEST,
    Client,
    dhclient,
    ip,
    relayed,
    udhcpc,
)

SUBSCRIBERS: Final = 1_000_000
HOT: Final = 17
PICKY: Final = SUBSCRIBERS
"""The client whose pool has options on request."""
UNKNOWN: Final = SUBSCRIBERS + 1
TABLE_ENTRIES: Final = SUBSCRIBERS + 2
"""PICKY has one more, and so has the circuit of HOT; buckets are as many as for a million."""

BARE_HOT: Final = "bare hash hit, hot"
BARE_RANDOM: Final = "bare hash hit, random key of 1 M"
STRANGER: Final = "OFFER to a stranger, from the stock"


def bindings() -> Iterator[tuple[SubscriberKey, Assignment]]:
    """One for every client."""
    yield from entries(SUBSCRIBERS, Slots(TABLE_ENTRIES, used=(PICKY, PICKY + 1)))
    line = Line(IFINDEX)
    binding = Assignment(address_of(PICKY), POOL_ON_REQUEST, PICKY, line, seq=PICKY + 1)
    yield subscriber_key(mac_of(PICKY)), binding


def circuit_binding() -> tuple[SubscriberKey, Assignment]:
    """HOT has another one by its circuit."""
    line = Line(IFINDEX, giaddr=Ipv4(RELAY), circuit=CIRCUIT[2:])
    slot, mac = PICKY + 1, mac_of(HOT)
    binding = Assignment(address_of(HOT), POOL, slot, line, seq=slot + 1, mac=mac)
    return key_of(mac, line, KeyMode.CIRCUIT), binding


@dataclass(frozen=True, slots=True)
class Answered:
    """A frame that is answered: on what port, of one client or of random ones."""

    frame: bytes
    relays: tuple[Ipv4, ...] = ()
    key: KeyMode = KeyMode.MAC
    is_random: bool = False
    first_address: int = 0
    """Not 0: ciaddr becomes the random client's."""
    offers_stock: bool = False
    """The client is a stranger, and the port offers what was set aside for such."""
    program: str = "dhcp_fastpath"
    action: int = XDP_TX


def _discover(number: int) -> Client:
    return dhclient(DISCOVER, mac=mac_of(number))


def _request(number: int) -> Client:
    """SELECTING, with option 61."""
    taken = ((50, ip(address_of(number))), (54, ip(SERVER)))
    return udhcpc(REQUEST, *taken, mac=mac_of(number))


def _hot(client: Client) -> Answered:
    return Answered(client.frame())


def _relayed(client: Client, key: KeyMode = KeyMode.MAC) -> Answered:
    """With option 82 behind the client's own options."""
    return Answered(relayed(client).frame(), (Ipv4(RELAY),), key)


def _random(client: Client, first_address: int = 0) -> Answered:
    return Answered(client.frame(), is_random=True, first_address=first_address)


UNKNOWN_FRAME: Final = _discover(UNKNOWN).frame()
_RENEWAL: Final = dhclient(REQUEST, mac=mac_of(HOT)).but(ciaddr=address_of(HOT))

ANSWERED: Final = {
    "OFFER, hot": _hot(_discover(HOT)),
    "ACK with option 61, hot": _hot(_request(HOT)),
    "OFFER with options 61 and 82, hot": _relayed(udhcpc(DISCOVER, mac=mac_of(HOT))),
    "ACK with options 61 and 82, hot": _relayed(_request(HOT)),
    "ACK with 61 and 82, found by its circuit, hot": _relayed(_request(HOT), KeyMode.CIRCUIT),
    "ACK with 61 and 3 of 5 options on request, hot": _hot(_request(PICKY)),
    "ACK with 61 and all options on request, hot": _hot(_request(PICKY).without_option(55)),
    STRANGER: Answered(UNKNOWN_FRAME, offers_stock=True),
    "OFFER, random key": _random(_discover(HOT)),
    "ACK, random key": _random(_RENEWAL, FIRST_ADDRESS),
}
BARE: Final = {
    BARE_HOT: Answered(_discover(HOT).frame(), program="bench_lookup", action=XDP_PASS),
    BARE_RANDOM: Answered(
        _discover(HOT).frame(), is_random=True, program="bench_lookup", action=XDP_PASS
    ),
}
BARE_FRAME: Final = _discover(HOT).frame()

_HEADERS: Final = Client().frame()[:34]
_TCP: Final = (_HEADERS[:23] + b"\x06" + _HEADERS[24:]).ljust(66, b"\0")

NOT_DHCP: Final = {
    "TCP": _TCP,
    "TCP in a VLAN": _TCP[:12] + bytes((0x81, 0, 0, 7)) + _TCP[12:],
    "ARP": (_HEADERS[:12] + bytes((8, 6, 0, 1, 8, 0, 6, 4, 0, 1))).ljust(60, b"\0"),
    "other UDP": Client(dst_port=53).frame(),
}
