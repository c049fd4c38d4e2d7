"""Ids: UUIDv7, sortable by time and safe across writers."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Return whether a text from outside is one, spelt as we do."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def born(id_: str) -> datetime:
    """Return when a UUIDv7 was made, to the millisecond."""
    return datetime.fromtimestamp(int(id_[:8] + id_[9:13], 16) / 1000, UTC)


def first_id(at: datetime) -> str:
    """Return the lowest UUIDv7 of a moment: ids made since then sort behind it."""
    ms = f"{int(at.timestamp() * 1000):012x}"
    return f"{ms[:8]}-{ms[8:]}-7000-8000-000000000000"
