"""Reading the times platforms send."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

TimeUnit = Literal["iso", "s", "ms"]
"""ISO 8601 text with an offset, or Unix time in seconds or milliseconds."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_time(value: Any, otherwise: datetime, unit: TimeUnit = "iso") -> datetime:
    """Return `value` as aware UTC; `otherwise` where it is no time, or has no offset."""
    try:
        if unit == "iso":
            at = datetime.fromisoformat(value)
            return at.astimezone(UTC) if at.tzinfo else otherwise
        return EPOCH + timedelta(**{"seconds" if unit == "s" else "milliseconds": int(value)})
    except (TypeError, ValueError, OverflowError):
        return otherwise
