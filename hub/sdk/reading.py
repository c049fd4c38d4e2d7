"""Reading what platforms send: whatever lies at a path, as what is wanted, and never an exception."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DEEPEST = 8
"""How far PHP's brackets are followed; what lies deeper keeps its name."""
_STEPS = re.compile(r"\[([^\[\]]*)\]")


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


def nested(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a form that is written PHP's way as what they stand for.

    `contact[email]=a&deal[fields][0][key]=b` is {"contact": {"email": "a"}, "deal": {"fields": [{"key": "b"}]}}.
    Keys that count from 0 are a list; others, `fields[5]` too, are names. Of two fields that cannot both be there
    (`a` and `a[b]`) the first counts.
    """
    tree: dict[str, Any] = {}
    for name, value in form.items():
        head, bracket, _ = name.partition("[")
        steps = _STEPS.findall(name, len(head)) if bracket else []
        whole = head + "".join(f"[{step}]" for step in steps) == name and len(steps) <= DEEPEST
        _plant(tree, [head, *steps] if whole else [name], value)
    return {name: _counted(value) for name, value in tree.items()}


def _plant(tree: dict[str, Any], path: list[str], value: str) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            return
    tree.setdefault(path[-1], value)


def _counted(value: Any) -> Any:
    """Return lists in the place of what has the keys "0", "1", ..."""
    if not isinstance(value, dict):
        return value
    inner = {name: _counted(each) for name, each in value.items()}
    places = [str(place) for place in range(len(inner))]
    return [inner[place] for place in places] if inner.keys() == set(places) else inner
