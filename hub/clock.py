"""Time, passed in: a test or a replay brings its own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as aware UTC."""


def system_clock() -> datetime:
    """Return the present by this machine."""
    return datetime.now(UTC)
