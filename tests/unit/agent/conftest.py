"""Audit lines as they leave the program."""

import io
from collections.abc import Iterator

import pytest

from lease_core import audit


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The stream that audit lines are written to, one JSON object each."""
    stream = io.StringIO()
    audit.configure(stream)
    yield stream
    audit.configure(None)
