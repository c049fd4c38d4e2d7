"""Ids: UUIDv7, sortable by time and safe across writers."""

from __future__ import annotations

import uuid

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
