"""Canonical events as they are: what the REST API takes, with no mapping between.

    {"events": [{"name": "purchase.paid", "fact": "till:order/5551", "occurred_at": "2026-11-21T12:00:00Z",
                 "member": {"id": "c-77"}, "order": {...}}]}

Each is the model of its name in `hub.sdk.events`. Beside `member`, who it is about by what the caller knows of them,
may stand `member_id`: the hub's own id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from hub.journal import API
from hub.rules import refunds
from hub.sdk import HubError, Malformed
from hub.sdk.events import CATALOGUE, CustomEvent, Event, model_of
from hub.sdk.webhook import parse_json
from hub.yamlfile import did_you_mean

MOST = 100
"""Events of one delivery."""
CUSTOM = "custom."
NOT_TAKEN = {
    CustomEvent.name,
    "approval.decided",  # it would say by itself who decided: POST /approvals/{id}/decide knows the token
    "command.received",
    *(name for name in CATALOGUE if name.startswith("schedule.")),  # the hub's own calendar tells these
}
TAKEN = tuple(sorted(CATALOGUE.keys() - NOT_TAKEN))
"""Names of events that may be told; besides them any `custom.something`."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)

Faults = list[tuple[str, str]]
"""(field, what is wrong with it): ("events.0.order.net_minor", "Expected `int`, got `str`")."""


class Faulty(HubError):
    """A body is not what this module documents. `faults` has the first one of each event."""

    def __init__(self, faults: Faults) -> None:
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Told:
    """One event, and who it is about where the caller knows the hub's own id of them."""

    event: Event
    member: str | None


def read(body: bytes) -> list[Told]:
    """Return the events of a body.

    Raises:
        Faulty: with a fault of every event that is not one.
    """
    try:
        given = parse_json(body)
    except Malformed as error:
        raise Faulty([("body", str(error))]) from error
    events = given.get("events") if isinstance(given, dict) else None
    if not isinstance(events, list) or not 0 < len(events) <= MOST or len(given) > 1:
        raise Faulty([("body", f'it has to be {{"events": [...]}} with 1 to {MOST} of them')])
    told: list[Told] = []
    faults: Faults = []
    for n, each in enumerate(events):
        try:
            told.append(_told(each))
        except _Fault as fault:
            faults.append((f"events.{n}{fault.field}", fault.problem))
    if faults:
        raise Faulty(faults)
    return told


def write(events: Sequence[Told]) -> bytes:
    """Return the body of events."""
    plain = [
        {
            "name": each.event.name,
            **({"member_id": each.member} if each.member else {}),
            **msgspec.to_builtins(each.event),
        }
        for each in events
    ]
    return msgspec.json.encode({"events": plain})


def source_id(delivery_id: str, n: int) -> str:
    """Return the name of the nth event of a delivery."""
    return f"{delivery_id}#{n}"


class _Fault(Exception):
    def __init__(self, field: str, problem: str) -> None:
        super().__init__(problem)
        self.field, self.problem = field, problem


def _told(given: Any) -> Told:
    if not isinstance(given, dict):
        raise _Fault("", "it is no object")
    fields = dict(given)
    name, member = fields.get("name"), fields.pop("member_id", None)
    if not isinstance(name, str) or not name:
        raise _Fault(".name", "it is missing")
    if not _is_taken(name):
        raise _Fault(".name", f"{name[:100]!r} cannot be told here; {did_you_mean(name, TAKEN)}")
    for path, text in _texts(fields, ""):
        if "\0" in text:
            raise _Fault(path, "it has a character that no text may have (NUL)")
    try:
        event = refunds.restored(fields, "")
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `$")
        raise _Fault(at.rstrip("`"), message) from error
    if event.occurred_at < EARLIEST:
        raise _Fault(".occurred_at", f"it is before {EARLIEST:%Y-%m-%d}")
    if event.test:
        raise _Fault(".test", "there is no test mode here")
    return Told(event, None if member is None else _uuid(member))


def _is_taken(name: str) -> bool:
    own = name.startswith(CUSTOM) and len(CUSTOM) < len(name) <= 100
    return (own or name in TAKEN) and model_of(name) is not None


def _uuid(member: Any) -> str:
    try:
        return str(UUID(member))
    except (ValueError, AttributeError, TypeError):
        raise _Fault(".member_id", "it is no id of ours: GET /members finds it") from None


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every text of a value, keys included, with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield path, key
            yield from _texts(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from _texts(inner, f"{path}.{n}")


__all__ = ["API", "MOST", "TAKEN", "Faulty", "Told", "read", "source_id", "write"]
