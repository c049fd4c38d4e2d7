"""Shows what a changed mapping would make of events that came already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from hub.mapping.model import Ignored, Mapping
from hub.sdk.errors import MappingError
from hub.sdk.webhook import SourceEvent


@dataclass(frozen=True, slots=True)
class Change:
    """One event that the two mappings read differently.

    Attributes:
        event: the source event.
        was, becomes: only what differs, by path: "purchase.paid.order.net_minor" begins with the canonical event's
            name; "ignored" and "error" carry their reason.
    """

    event: SourceEvent
    was: dict[str, Any]
    becomes: dict[str, Any]


def diff(old: Mapping, new: Mapping, events: Iterable[SourceEvent], connection: str) -> Iterator[Change]:
    """Yield the events whose outcome differs, in their order."""
    for event in events:
        before, after = _outcome(old, event, connection), _outcome(new, event, connection)
        if before != after:
            yield Change(event, _beyond(before, after), _beyond(after, before))


def _beyond(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in mine.items() if path not in other or other[path] != value}


def _outcome(mapping: Mapping, event: SourceEvent, connection: str) -> dict[str, Any]:
    try:
        mapped = mapping.apply(event, connection)
    except MappingError as error:
        return {"error": error.problem.message}
    if isinstance(mapped, Ignored):
        return {"ignored": mapped.kind}
    outcome: dict[str, Any] = {}
    for emitted in mapped:
        outcome.update(_flat(msgspec.to_builtins(emitted), emitted.name))
    return outcome


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}")
