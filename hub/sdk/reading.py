"""Reading what platforms send: whatever lies at a path, as what is wanted, and never an exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def dig(value: Any, *path: str | int) -> Any:
    """Return what lies at a path of keys and list positions, or None where nothing does."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: Any, *path: str | int) -> str:
    """Return the text at a path, empty where there is none or it is something else."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def id_at(value: Any, *path: str | int) -> str:
    """Return the id at a path as text, be it a number or text; empty where there is none."""
    found = dig(value, *path)
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else ""


def list_at(value: Any, *path: str | int) -> list[Any]:
    """Return the list at a path, empty where there is none."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []
