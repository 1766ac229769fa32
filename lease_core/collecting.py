"""Python's collector of reference cycles, which stops a process while it looks at every object.

A service is made of a hundred thousand objects that stay to its end, and an allocator of two more
for every lease. Looking at all of them takes from a tenth of a second to a second, and nobody is
answered meanwhile. What dies young is still looked for all the time, and that is nearly everything.
"""

import gc
from typing import Final

YOUNG: Final = 700
"""So many more objects than before, and the youngest are looked at."""
OLDER_EVERY: Final = 10
ALL_EVERY: Final = 1000
"""Every so many looks at the older ones, so after seven million objects more."""


def spare_the_old() -> None:
    """Call it when everything stands that will stay: that is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER_EVERY, ALL_EVERY)
