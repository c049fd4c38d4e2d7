"""Ids: UUIDv7, sortable by time and safe across writers."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """Return a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())
