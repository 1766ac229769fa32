"""Numbers of the protocol: ports, the magic cookie, message types and option codes."""

from enum import IntEnum
from typing import Final

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68

BOOT_REQUEST: Final = 1
BOOT_REPLY: Final = 2
HTYPE_ETHERNET: Final = 1
HLEN_ETHERNET: Final = 6
FLAG_BROADCAST: Final = 0x8000
"""Bit 15 of `flags`: the client cannot take unicast before it has an address (RFC 2131 2)."""

MAGIC_COOKIE: Final = 0x63825363
"""99.130.83.99 before the first option (RFC 2131 3)."""


class MessageType(IntEnum):
    """Values of option 53 (RFC 2132 9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


PAD: Final = 0  # RFC 2132 3.1
END: Final = 255  # RFC 2132 3.2
SUBNET_MASK: Final = 1  # RFC 2132 3.3
ROUTER: Final = 3  # RFC 2132 3.5
DNS_SERVER: Final = 6  # RFC 2132 3.8
HOST_NAME: Final = 12  # RFC 2132 3.14
REQUESTED_IP: Final = 50  # RFC 2132 9.1
LEASE_TIME: Final = 51  # RFC 2132 9.2
OVERLOAD: Final = 52  # RFC 2132 9.3
MESSAGE_TYPE: Final = 53  # RFC 2132 9.6
SERVER_ID: Final = 54  # RFC 2132 9.7
PARAMETERS: Final = 55  # RFC 2132 9.8
MESSAGE: Final = 56  # RFC 2132 9.9
MAX_SIZE: Final = 57  # RFC 2132 9.10
RENEWAL_TIME: Final = 58  # RFC 2132 9.11, T1
REBINDING_TIME: Final = 59  # RFC 2132 9.12, T2
CLIENT_ID: Final = 61  # RFC 2132 9.14
RELAY_INFO: Final = 82  # RFC 3046 2.0
CLASSLESS_ROUTES: Final = 121  # RFC 3442
