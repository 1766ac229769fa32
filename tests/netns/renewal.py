"""Renew an address by unicast from this network namespace, and tell what came back as JSON.

    python -m tests.netns.renewal INTERFACE SERVER MAC ADDRESS [BOOTP_LEN]

The namespace is the router before the client: what it sends has its own hardware address, and
ADDRESS, which the client has, is added to INTERFACE so that it takes the reply.
"""

import json
import socket
import subprocess
import sys

from scripts.wiretap import options_of
from tests.packets import REQUEST, dhclient

TIMEOUT_S = 5


def main() -> None:
    interface, server, mac, address, *length = sys.argv[1:]
    words = ("ip", "addr", "replace", f"{address}/32", "dev", interface)
    subprocess.run(words, check=True)
    ciaddr = int.from_bytes(socket.inet_aton(address), "big")
    client = dhclient(REQUEST, mac=int(mac.replace(":", ""), 16)).but(ciaddr=ciaddr)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.settimeout(TIMEOUT_S)
        port.bind((address, 68))
        port.sendto(client.but(bootp_len=int(*length or (300,))).payload(), (server, 67))
        reply, sender = port.recvfrom(2048)
    kind = options_of(reply[240:])[53][0]
    ciaddr, yiaddr = (socket.inet_ntoa(reply[at : at + 4]) for at in (12, 16))
    mac = reply[28:34].hex(":")
    print(json.dumps([kind, mac, ciaddr, yiaddr, *sender, reply.hex()]))


if __name__ == "__main__":
    main()
