"""Requests in the shape of clients that do not run here: Windows, telephones, CPE, cable modems.

Made from what is publicly known of them: the order of their options, parameter lists, vendor
classes, kinds of client id, lengths. Names and serial numbers are nobody's.
"""

import struct
from typing import Final, NamedTuple

from tests.kernel.lab import ADDRESS
from tests.packets import BROADCAST_IP, CLIENT_MAC, DISCOVER, REQUEST, SERVER, Client, Option, ip

MAC: Final = CLIENT_MAC.to_bytes(6, "big")
ETHERNET_ID: Final = (61, b"\x01" + MAC)
DUID_ID: Final = (61, b"\xff" + MAC[2:] + b"\x00\x03\x00\x01" + MAC)
ADDRESSES: Final = (0, 0)
"""Stands in a shape where options 50 and 54 come."""


class Shape(NamedTuple):
    """What a kind of client sends behind the message type."""

    options: tuple[Option | tuple[int, int], ...]
    bootp_len: int = 300
    flags: int = 0
    secs: int = 0


def _list(*codes: int) -> Option:
    return 55, bytes(codes)


def _size(octets: int) -> Option:
    return 57, struct.pack("!H", octets)


KINDS: Final = {
    "windows 11": Shape((
        ETHERNET_ID, ADDRESSES, (12, b"DESKTOP-4711"), (81, b"\0\0\0DESKTOP-4711"),
        (60, b"MSFT 5.0"), _list(1, 3, 6, 15, 31, 33, 43, 44, 46, 47, 119, 121, 249, 252),
    ), bootp_len=0),
    "windows 7": Shape((
        ETHERNET_ID, ADDRESSES, (12, b"PC-4711"), (60, b"MSFT 5.0"),
        _list(1, 15, 3, 6, 44, 46, 47, 31, 33, 121, 249, 43),
    ), flags=0x8000),
    "windows xp": Shape((
        (116, b"\x01"), ETHERNET_ID, ADDRESSES, (12, b"PC-4711"), (60, b"MSFT 5.0"),
        _list(1, 15, 3, 6, 44, 46, 47, 31, 33, 249, 43), (43, b"\xdc\x00"),
    ), flags=0x8000),
    "android": Shape((
        ETHERNET_ID, ADDRESSES, _size(1500), (60, b"android-dhcp-13"), (80, b""),
        _list(1, 3, 6, 15, 26, 28, 51, 58, 59, 43, 114, 108),
    ), bootp_len=0, secs=1),
    "apple": Shape((
        _list(1, 121, 3, 6, 15, 108, 114, 119, 252, 95, 44, 46), _size(1500), ETHERNET_ID,
        ADDRESSES, (51, b"\x00\x76\xa7\x00"), (12, b"phone"),
    )),
    "home router": Shape((
        ETHERNET_ID, ADDRESSES, _size(576), (12, b"router"), (60, b"gateway.example"),
        _list(1, 3, 6, 12, 15, 28, 33, 42, 43, 51, 54, 58, 59, 121, 125, 212),
    ), bootp_len=548),
    "managed cpe": Shape((
        (60, b"dslforum.org"), _list(1, 3, 6, 15, 42, 43, 120, 121, 125), ADDRESSES,
        (125, struct.pack("!IB", 3561, 24) + b"\x01\x06020000\x02\x08SERIAL01\x03\x04HG-1"),
        DUID_ID, (77, b"\x07gateway"),
    )),
    "cable modem": Shape((
        ETHERNET_ID, _size(1500), (60, b"docsis3.0:" + b"0501010102010303010104010105010106"),
        ADDRESSES, _list(1, 2, 3, 4, 6, 7, 51, 54, 66, 67, 122, 125),
        (43, b"\x02\x03ECM\x04\x08SERIAL01\x05\x011\x06\x042.10\x08\x06\x02\x00\x00\x00\x00\x17"),
        (125, struct.pack("!IB", 4491, 4) + b"\x05\x02\x00\x01"),
    ), bootp_len=548),
    "access router": Shape((
        _size(1152), (61, b"\0cisco-0200.0000.0017-Gi0/0"), ADDRESSES, (12, b"Router"),
        _list(1, 6, 15, 44, 3, 33, 150, 43),
    ), flags=0x8000),
    "small router": Shape((
        ETHERNET_ID, ADDRESSES, _list(1, 3, 6, 33, 42, 121, 138), (12, b"router"),
    ), bootp_len=0),
    "network boot": Shape((
        _list(1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59,
              60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135),
        _size(1472), ADDRESSES, (97, b"\0" + bytes(range(16))), (94, b"\x01\x03\x10"),
        (93, b"\0\x07"), (60, b"PXEClient:Arch:00007:UNDI:003016"),
    ), secs=4, flags=0x8000),
    "tiny stack": Shape((_size(1500), ADDRESSES, _list(1, 3, 28, 6)), bootp_len=308),
    "printer": Shape((
        ADDRESSES, ETHERNET_ID, (60, b"Printer JetDirect"), (12, b"PRN0017"),
        _list(6, 3, 1, 15, 66, 67, 13, 44, 119, 12, 81, 252),
    ), secs=10),
    "set-top box": Shape((
        DUID_ID, _size(576), ADDRESSES, (60, b"stb"), (124, b"\0\0\x0d\xe9\x04test"),
        _list(1, 3, 6, 43, 60, 72, 125),
    ), bootp_len=576),
}  # fmt: skip

STATES: Final[dict[str, tuple[int, dict[int, bytes], dict[str, int]]]] = {
    "discovers": (DISCOVER, {}, {}),
    "discovers anew": (DISCOVER, {50: ip(ADDRESS)}, {}),
    "selects": (REQUEST, {50: ip(ADDRESS), 54: ip(SERVER)}, {}),
    "reboots": (REQUEST, {50: ip(ADDRESS)}, {}),
    "renews": (REQUEST, {}, {"ciaddr": ADDRESS, "src_ip": ADDRESS, "dst_ip": SERVER, "flags": 0}),
    "rebinds": (REQUEST, {}, {"ciaddr": ADDRESS, "src_ip": ADDRESS, "dst_ip": BROADCAST_IP}),
}
"""Message type, options 50 and 54, and fields of RFC 2131 table 5."""


def _client(shape: Shape, state: str) -> Client:
    kind, addresses, fields = STATES[state]
    options: list[Option] = [(53, bytes((kind,)))]
    for option in shape.options:
        if option is ADDRESSES:
            options += addresses.items()
        else:
            options.append(option)  # type: ignore[arg-type]
    client = Client(
        options=tuple(options), bootp_len=shape.bootp_len, flags=shape.flags, secs=shape.secs
    )
    return client.but(**fields)


SHAPES: Final = {
    f"{name} {state}": _client(shape, state) for name, shape in KINDS.items() for state in STATES
}
