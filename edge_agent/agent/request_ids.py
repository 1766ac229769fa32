"""Names of requests: each is used once, by this process and by those before and after it."""

import secrets
from collections.abc import Callable
from itertools import count

NewReq = Callable[[], str]
"""The name of the next request."""


def request_ids() -> NewReq:
    """Names that begin with what no other process of this edge's begin with."""
    life, numbers = secrets.token_hex(3), count(1)
    return lambda: f"{life}-{next(numbers)}"
