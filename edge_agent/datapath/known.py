"""Of which MACs anything was ever written into the tables: the map `known_macs`."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.datapath import abi
from lease_core.domain.mixing import MASK_64, Words
from lease_core.domain.values import Mac

OCTETS: Final = 1 << abi.KNOWN_BITS >> 3
_SPREAD: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: neighbours among MACs fall far apart."""


class KnownMacs:
    """Whether a MAC was ever written into the tables: "no" is certain, "yes" may be another's.

    Takes 2 MB, where a set of a million MACs takes a hundred. Where it is a map of the kernel's, it
    survives the agent with the tables that it tells of.
    """

    def __init__(self, octets: memoryview) -> None:
        """Read and write these `OCTETS`, which stay the caller's; a bit for each place."""
        self._octets = octets

    def __contains__(self, mac: Mac) -> bool:
        place = _place(mac)
        return bool(self._octets[place >> 3] >> (place & 7) & 1)

    def which(self, macs: Words) -> NDArray[np.bool_]:
        """`in`, for each."""
        places = _places(macs)
        octets = np.frombuffer(self._octets, np.uint8)[places >> np.uint64(3)]
        are: NDArray[np.bool_] = octets & _bits(places) != 0
        return are

    def add(self, mac: Mac) -> None:
        place = _place(mac)
        self._octets[place >> 3] |= 1 << (place & 7)

    def add_all(self, macs: Words) -> None:
        places = _places(macs)
        octets = np.frombuffer(self._octets, np.uint8)
        np.bitwise_or.at(octets, places >> np.uint64(3), _bits(places))


def _place(mac: Mac) -> int:
    return (mac * _SPREAD & MASK_64) >> 64 - abi.KNOWN_BITS


def _places(macs: Words) -> Words:
    return macs * np.uint64(_SPREAD) >> np.uint64(64 - abi.KNOWN_BITS)


def _bits(places: Words) -> NDArray[np.uint8]:
    """The bit of each place in its octet."""
    return np.uint8(1) << (places & np.uint64(7)).astype(np.uint8)
