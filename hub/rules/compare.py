"""What one version of the programme says differently from another, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hub.rules.program import Program
from hub.yamlfile import parse

_MEANS_NOTHING = ("version",)
_NAMED = "earning"
"""A list whose items have ids; the others are compared as they are."""


def compare(old: Program, new: Program) -> list[str]:
    """Return a sentence for each difference, in the order of the file. What is only written differently is none."""
    before, after = (parse(each.text.encode(), each.path).value for each in (old, new))
    said = [*_tables("", _plain(before), _plain(after))]
    said += _items(
        "rule", _by_id(before), _by_id(after), same=lambda name: old.rules[name] == new.rules[name]
    )
    shared = [name for name in old.rules if name in new.rules]
    if shared != [name for name in new.rules if name in old.rules]:
        said.append("the rules are in another order: ties and shares go to the first")
    return said


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if key not in (_NAMED, *_MEANS_NOTHING)}


def _by_id(value: Mapping[str, Any]) -> dict[str, Any]:
    return {rule["id"]: rule for rule in value.get(_NAMED, [])}


def _items(word: str, before: Mapping[str, Any], after: Mapping[str, Any], same: Any) -> Iterator[str]:
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            yield f"{word} {name} is gone"
        elif name not in before:
            what = ", ".join(f"{key}: {_said(inner)}" for key, inner in after[name].items() if key != "id")
            yield f"{word} {name} is new: {what}"
        elif not same(name):
            yield from _tables(f"{word} {name}: ", before[name], after[name])


def _tables(
    prefix: str, before: Mapping[str, Any], after: Mapping[str, Any], path: str = ""
) -> Iterator[str]:
    for key in dict.fromkeys([*before, *after]):
        at = f"{path}.{key}" if path else key
        was, becomes = before.get(key), after.get(key)
        if was == becomes:
            continue
        if isinstance(was, dict) and isinstance(becomes, dict):
            yield from _tables(prefix, was, becomes, at)
        elif key not in before:
            yield f"{prefix}{at} is new: {_said(becomes)}"
        elif key not in after:
            yield f"{prefix}{at} is gone: it was {_said(was)}"
        else:
            yield f"{prefix}{at} was {_said(was)} and is {_said(becomes)}"


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_said(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_said, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
