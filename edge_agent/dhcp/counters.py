"""What became of a packet, by the names of `DHCP_COUNTERS` in `bpf/maps.h`."""

from enum import StrEnum, auto


class Counter(StrEnum):
    """A verdict of `docs/replies.md`: answered, or passed up by the first reason that applied.

    Only the kernel program drops, where too much would be passed up.
    """

    OFFER = auto()
    ACK = auto()
    PASS_PORT_UNKNOWN = auto()
    PASS_IP_HEADER = auto()
    PASS_FRAGMENT = auto()
    PASS_LENGTH = auto()
    PASS_BOOTP_HEADER = auto()
    PASS_OPTIONS = auto()
    PASS_MESSAGE_TYPE = auto()
    PASS_RELAYED = auto()
    PASS_SOURCE_MAC = auto()
    PASS_NOT_ADDRESSED = auto()
    PASS_ABI = auto()
    PASS_GATE_CLOSED = auto()
    PASS_AGENT_SILENT = auto()
    PASS_HORIZON = auto()
    PASS_UNKNOWN_CLIENT = auto()
    PASS_CHECK_WORD = auto()
    PASS_OTHER_LINE = auto()
    PASS_UNKNOWN_POOL = auto()
    PASS_OTHER_SERVER = auto()
    PASS_OTHER_ADDRESS = auto()
    PASS_REPLY_SPACE = auto()
    PASS_PROMISE = auto()
    PASS_VLAN_TAGS = auto()
    PASS_UNTRUSTED_RELAY = auto()
    PASS_RELAY_UNKNOWN = auto()
    PASS_CIRCUIT = auto()
    DROP_LINE_RATE = auto()
    DROP_MAC_RATE = auto()
    PASS_CHECKSUM = auto()
    PASS_ETHERNET = auto()
    INFORM_ACK = auto()
    NAK = auto()
    ASKED = auto()
